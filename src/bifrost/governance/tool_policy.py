"""Which tools a caller may use: pure rules, all of which must agree (contract §7)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from bifrost.governance.models import ALL_TOOLS, McpConfig

MAX_REMEMBERED = 4_096
"""Sets of rules that were read once. They are found by what they say, so none of them can be out of date."""

Configs = tuple[McpConfig, ...]


@dataclass(frozen=True, slots=True)
class AllowedTools:
    """What a caller may use of one upstream: the tools of these names, or all of them (None), also those to come."""

    names: frozenset[str] | None = None

    def __contains__(self, tool: str) -> bool:
        return self.names is None or tool in self.names

    @property
    def all(self) -> bool:
        return self.names is None

    @property
    def any(self) -> bool:
        return self.names is None or bool(self.names)

    def and_(self, other: "AllowedTools") -> "AllowedTools":
        if self.names is None or other.names is None:
            return other if self.names is None else self
        return AllowedTools(self.names & other.names)


EVERY_TOOL, NO_TOOL = AllowedTools(), AllowedTools(frozenset())


class ToolPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of one request.

    A caller reaches only upstreams that the `mcp_configs` of its key name, or that are open to all keys. The two header
    filters only ever narrow.
    """

    key_configs: Configs
    within: tuple[Configs, ...] = ()
    """Each of them narrows: the virtual MCP that is called, and those that are attached to the key."""

    include_clients: Collection[str] | None = None
    include_tools: Collection[str] | None = None

    def allows(self, upstream: str, tool: str, *, offered: tuple[str, ...], open_to_all_keys: bool) -> bool:
        """`offered` is the upstream's own `tools_to_execute`."""
        return tool in self.allowed(upstream, offered=offered, open_to_all_keys=open_to_all_keys)

    def allowed(self, upstream: str, *, offered: tuple[str, ...], open_to_all_keys: bool) -> AllowedTools:
        """Of all the tools of an upstream, so that a long list is not asked for one by one."""
        if self.include_clients is not None and not _lists(self.include_clients, upstream):
            return NO_TOOL
        allowed = _named(offered).and_(self._by_key(upstream, open_to_all_keys=open_to_all_keys))
        if self.include_tools is not None:
            allowed = allowed.and_(_included(upstream, self.include_tools))
        for narrower in self._narrowed(upstream):
            allowed = allowed.and_(narrower)
        return allowed

    def reaches(self, upstream: str, *, open_to_all_keys: bool) -> bool:
        """Whether any tool of this upstream can be allowed; spares asking an upstream in vain."""
        if self.include_clients is not None and not _lists(self.include_clients, upstream):
            return False
        by_each = (self._by_key(upstream, open_to_all_keys=open_to_all_keys), *self._narrowed(upstream))
        return all(allowed.any for allowed in by_each)

    def _narrowed(self, upstream: str) -> list[AllowedTools]:
        return [_by_upstream(configs).get(upstream, NO_TOOL) for configs in self.within]

    def _by_key(self, upstream: str, *, open_to_all_keys: bool) -> AllowedTools:
        return _by_upstream(self.key_configs).get(upstream, EVERY_TOOL if open_to_all_keys else NO_TOOL)


@lru_cache(maxsize=MAX_REMEMBERED)
def _by_upstream(configs: Configs) -> Mapping[str, AllowedTools]:
    """Two entries for one upstream add up."""
    tools: dict[str, tuple[str, ...]] = {}
    for config in configs:
        tools[config.mcp_client_name] = tools.get(config.mcp_client_name, ()) + config.tools_to_execute
    return {upstream: _named(named) for upstream, named in tools.items()}


@lru_cache(maxsize=MAX_REMEMBERED)
def _named(tools: tuple[str, ...]) -> AllowedTools:
    return EVERY_TOOL if ALL_TOOLS in tools else AllowedTools(frozenset(tools))


def _included(upstream: str, wanted: Collection[str]) -> AllowedTools:
    """Of names as they are at /mcp."""
    if ALL_TOOLS in wanted:
        return EVERY_TOOL
    prefix = f"{upstream}-"
    own = frozenset(name.removeprefix(prefix) for name in wanted if name.startswith(prefix))
    return EVERY_TOOL if ALL_TOOLS in own else AllowedTools(own)


def _lists(names: Collection[str], name: str) -> bool:
    return ALL_TOOLS in names or name in names
