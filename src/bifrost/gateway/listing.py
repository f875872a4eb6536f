"""What one upstream listed of a kind: read once, and kept as the bytes that go out, under the names of an endpoint."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from msgspec import Raw

from bifrost.gateway.models import TOOLS, Entry, Kind
from bifrost.protocol import jsonrpc, mcp, mirrored_headers
from bifrost.protocol.jsonrpc import RpcError
from bifrost.protocol.mirrored_headers import InvalidAnnotation, Mirrored
from bifrost.upstreams.links.base import without

_EXECUTION, _TASK_SUPPORT = "execution", "taskSupport"

Shown = tuple[str, Raw]
"""The upstream's own key of an entry, and the whole entry as a client gets it."""

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Listing:
    """`complete`: it is all that the upstream lists. Times in milliseconds."""

    entries: dict[str, Entry]
    fetched_at: int
    size: int = 0
    complete: bool = True
    ttl: int = 0
    """For how long it may be kept, as the upstream says; 0 when it does not."""

    _shown: dict[str, tuple[Shown, ...]] = field(default_factory=dict)

    def shown(self, prefix: str) -> tuple[Shown, ...]:
        """Every entry with this before its own name; made once, since lists are asked for more often than they change.

        An upstream has two prefixes, its own and none, and a third only while it is being renamed. A name that becomes
        too long with its prefix is left out: a client that cannot take it may refuse the whole list.
        """
        found = self._shown.get(prefix)
        if found is None:
            most = mcp.MAX_NAME_CHARACTERS - len(prefix)
            fitting = [(key, entry) for key, entry in self.entries.items() if not prefix or len(key) <= most]
            if len(fitting) < len(self.entries):
                log.warning("names_too_long_with_prefix", prefix=prefix, left_out=len(self.entries) - len(fitting))
            found = tuple((key, entry.named(f"{prefix}{key}")) for key, entry in fitting)
            if len(self._shown) > 1:
                self._shown.clear()
            self._shown[prefix] = found
        return found


def read(listed: Iterable[Raw], kind: Kind) -> dict[str, Entry]:
    """Entries without a name, or with one that was there before, are left out: nobody could ask for them.

    Raises RpcError.
    """
    try:
        found = [jsonrpc.members(entry) for entry in listed]
    except (ValueError, RecursionError) as error:
        raise RpcError(jsonrpc.INTERNAL_ERROR, f"The list of {kind.area} cannot be read.") from error
    entries: dict[str, Entry] = {}
    for members in found:
        entry = _entry(kind, members)
        if entry is not None and entries.setdefault(entry.key, entry) is not entry:
            log.warning("entry_left_out", kind=kind.member, key=entry.key[:128], reason="its name is there already")
    return entries


def _entry(kind: Kind, members: dict[str, Raw]) -> Entry | None:
    key = jsonrpc.text(members.get(kind.key))
    if not key:
        return None
    # one name that a client cannot take may cost it the whole list, so what no revision ever allowed is left out
    if kind.key == "name" and not mcp.is_name(key):
        log.warning("entry_left_out", kind=kind.member, key=key[:128], reason="its name is too long or not printable")
        return None
    if kind is not TOOLS:
        return Entry.of(kind, key, members, read_only=True)
    members = _without_task_support(members)
    try:
        mirrored = _mirrored(members.get("inputSchema"))
    except InvalidAnnotation:
        log.warning("tool_left_out", tool=key[:128], reason="its x-mcp-header annotations are invalid")
        return None
    return Entry.of(kind, key, members, read_only=_read_only(members), mirrored=mirrored)


def _without_task_support(members: dict[str, Raw]) -> dict[str, Raw]:
    """Tasks of 2025-11-25 are not offered, so no tool is said to be possible or needed as one."""
    execution = jsonrpc.object_members(members.get(_EXECUTION))
    if _TASK_SUPPORT not in execution:
        return members
    kept = without(_TASK_SUPPORT, execution)
    return {**members, _EXECUTION: jsonrpc.raw(kept)} if kept else without(_EXECUTION, members)


def _mirrored(schema: Raw | None) -> Mirrored:
    """Raises InvalidAnnotation."""
    if schema is None or mirrored_headers.ANNOTATION.encode() not in bytes(schema):
        return ()
    try:
        return mirrored_headers.mirrored(jsonrpc.value(schema))
    except (ValueError, RecursionError):
        return ()


def _read_only(members: dict[str, Raw]) -> bool:
    """Only a tool that says so counts as one that changes nothing."""
    try:
        annotations = jsonrpc.value(members.get("annotations", Raw(b"null")))
    except (ValueError, RecursionError):
        return False
    return isinstance(annotations, dict) and annotations.get("readOnlyHint") is True
