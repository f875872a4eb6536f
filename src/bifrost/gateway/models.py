"""Nouns of the gateway."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec
from msgspec import Raw

from bifrost.governance.models import McpConfig
from bifrost.governance.tool_policy import ToolPolicy
from bifrost.identity.callers import Caller
from bifrost.protocol import jsonrpc, mcp
from bifrost.upstreams.extra_headers import Field
from bifrost.upstreams.links.base import NO_FIELDS, NOBODY, Fields, Requester
from bifrost.upstreams.models import Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of things that upstreams list: how they are asked for, and what names one."""

    area: str
    method: str
    member: str
    key: str
    changed: str


TOOLS = Kind(area="tools", method=mcp.TOOLS_LIST, member="tools", key="name", changed=mcp.TOOLS_CHANGED)
PROMPTS = Kind(area="prompts", method=mcp.PROMPTS_LIST, member="prompts", key="name", changed=mcp.PROMPTS_CHANGED)
RESOURCES = Kind(
    area="resources", method=mcp.RESOURCES_LIST, member="resources", key="uri", changed=mcp.RESOURCES_CHANGED
)
TEMPLATES = Kind(
    area="resources",
    method=mcp.TEMPLATES_LIST,
    member="resourceTemplates",
    key="uriTemplate",
    changed=mcp.RESOURCES_CHANGED,
)
KINDS = (TOOLS, RESOURCES, TEMPLATES, PROMPTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A tool, prompt, resource or template as its upstream describes it: every member kept as its bytes, known or not.

    `mirrored` are the arguments that a stateless upstream wants repeated in header fields: path and field name.
    """

    key: str
    before: bytes = field(repr=False)
    """The entry up to the value of its key, in the place of which each endpoint has its own; `after` is the rest."""

    after: bytes = field(repr=False)
    read_only: bool = False
    mirrored: tuple[tuple[tuple[str, ...], str], ...] = ()

    @classmethod
    def of(
        cls,
        kind: Kind,
        key: str,
        members: Mapping[str, Raw],
        *,
        read_only: bool,
        mirrored: tuple[tuple[tuple[str, ...], str], ...] = (),
    ) -> "Entry":
        names = list(members)
        place = names.index(kind.key)
        before = jsonrpc.encode({name: members[name] for name in names[:place]})[:-1]
        after = jsonrpc.encode({name: members[name] for name in names[place + 1 :]})[1:]
        return cls(
            key=key,
            before=before + (b"," if place else b"") + b'"%s":' % kind.key.encode(),
            after=(b"," if place + 1 < len(names) else b"") + after,
            read_only=read_only,
            mirrored=mirrored,
        )

    def named(self, name: str) -> Raw:
        """The whole of it, under this name (or URI)."""
        return Raw(b"".join((self.before, jsonrpc.encode(name), self.after)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`/mcp` (no `only`), where names carry their upstream's prefix, or `/mcp/{slug}` of one upstream, where not.

    A virtual MCP is one or the other, and `within` is what it holds.
    """

    path: str
    only: Upstream | None = None
    within: tuple[tuple[McpConfig, ...], ...] = ()


NOTHING: Mapping[str, str] = MappingProxyType({})


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """The program that asks, as far as upstreams need to know: what it declared, and where it hears them meanwhile.

    `session` names its own session (older era only); in the stateless revision every request says all of this itself.
    """

    version: str = mcp.ASSUMED_VERSION
    capabilities: bytes = b"{}"
    session: str = ""
    log_level: str = ""
    requester: Requester = NOBODY
    mirrored: Mapping[str, str] = NOTHING
    """Its `Mcp-Param-*` header fields (2026-07-28)."""

    @property
    def modern(self) -> bool:
        return self.version in mcp.MODERN_VERSIONS

    @property
    def opens_urls(self) -> bool:
        """Whether it takes elicitations by URL, which began with 2025-11-25."""
        elicitation = jsonrpc.object_members(jsonrpc.object_members(Raw(self.capabilities)).get("elicitation"))
        return self.version >= mcp.LATEST_LEGACY and bytes(elicitation.get("url", b"")).startswith(b"{")


def _nothing_sent(_name: str) -> list[str]:
    return []


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One authenticated request: who, where, through which filters, and from what client."""

    caller: Caller
    endpoint: Endpoint
    policy: ToolPolicy
    sent: Field = _nothing_sent
    """The header fields of the request."""

    client: Client = Client()

    def __repr__(self) -> str:
        """Without what was sent: the credential is in it."""
        return f"Call({self.principal!r})"

    def by(self, client: Client) -> "Call":
        return msgspec.structs.replace(self, client=client)

    @property
    def principal(self) -> str:
        """Whose sessions, states and streams these are: never anybody else's, at no other endpoint."""
        identity = self.caller.identity
        return f"{identity.kind}:{identity.id} {self.caller.client_id or ''} {self.endpoint.path}"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes: the upstream, and what it calls the thing that is asked for."""

    upstream: Upstream
    method: str
    param: str
    """The parameter that names the thing, `name` or `uri`."""

    key: str
    seconds: float
    mirrored: tuple[tuple[tuple[str, ...], str], ...] = ()
    fields: Fields = NO_FIELDS
    """What goes along in the head."""

    def mirroring(self, tool: Entry) -> "Route":
        return msgspec.structs.replace(self, mirrored=tool.mirrored) if tool.mirrored else self
