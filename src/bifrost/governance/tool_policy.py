"""Which tools a caller may use: pure rules, all of which must agree (contract §7)."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from bifrost.governance.models import ALL_TOOLS, McpConfig


@dataclass(frozen=True, slots=True)
class AllowedTools:
    """What a caller may use of one upstream: the tools of these names, or all of them (None), also those to come."""

    names: frozenset[str] | None = None

    def __contains__(self, tool: str) -> bool:
        return self.names is None or tool in self.names

    @property
    def all(self) -> bool:
        return self.names is None

    def and_(self, other: "AllowedTools") -> "AllowedTools":
        if self.names is None or other.names is None:
            return other if self.names is None else self
        return AllowedTools(self.names & other.names)


EVERY_TOOL, NO_TOOL = AllowedTools(), AllowedTools(frozenset())


@dataclass(frozen=True, kw_only=True)
class ToolPolicy:
    """The filters of one request.

    A caller reaches only upstreams that the `mcp_configs` of its key name, or that are open to all keys. The two header
    filters only ever narrow.
    """

    key_configs: Sequence[McpConfig]
    within: Sequence[Sequence[McpConfig]] = ()
    """Each of them narrows: the virtual MCP that is called, and those that are attached to the key."""

    include_clients: Collection[str] | None = None
    include_tools: Collection[str] | None = None

    def allows(self, upstream: str, tool: str, *, offered: Collection[str], open_to_all_keys: bool) -> bool:
        """`offered` is the upstream's own `tools_to_execute`."""
        return tool in self.allowed(upstream, offered=offered, open_to_all_keys=open_to_all_keys)

    def allowed(self, upstream: str, *, offered: Collection[str], open_to_all_keys: bool) -> AllowedTools:
        """Of all the tools of an upstream, so that a long list is not asked for one by one."""
        if self.include_clients is not None and not _lists(self.include_clients, upstream):
            return NO_TOOL
        allowed = _named(offered).and_(self._by_key(upstream, open_to_all_keys=open_to_all_keys))
        if self.include_tools is not None:
            allowed = allowed.and_(_included(upstream, self.include_tools))
        for configs in self._narrowing:
            allowed = allowed.and_(_any_of(configs.get(upstream, ())))
        return allowed

    def reaches(self, upstream: str, *, open_to_all_keys: bool) -> bool:
        """Whether any tool of this upstream can be allowed; spares asking an upstream in vain."""
        if self.include_clients is not None and not _lists(self.include_clients, upstream):
            return False
        if self._by_key(upstream, open_to_all_keys=open_to_all_keys) == NO_TOOL:
            return False
        return all(_any_of(configs.get(upstream, ())) != NO_TOOL for configs in self._narrowing)

    def _by_key(self, upstream: str, *, open_to_all_keys: bool) -> AllowedTools:
        configs = self._of_key.get(upstream)
        if configs is None:
            return EVERY_TOOL if open_to_all_keys else NO_TOOL
        return _any_of(configs)

    @cached_property
    def _of_key(self) -> dict[str, list[McpConfig]]:
        return _by_upstream(self.key_configs)

    @cached_property
    def _narrowing(self) -> tuple[dict[str, list[McpConfig]], ...]:
        return tuple(_by_upstream(configs) for configs in self.within)


def _by_upstream(configs: Iterable[McpConfig]) -> dict[str, list[McpConfig]]:
    found: dict[str, list[McpConfig]] = {}
    for config in configs:
        found.setdefault(config.mcp_client_name, []).append(config)
    return found


def _any_of(configs: Iterable[McpConfig]) -> AllowedTools:
    """Two entries for one upstream add up."""
    return _named([tool for config in configs for tool in config.tools_to_execute])


def _named(tools: Collection[str]) -> AllowedTools:
    return EVERY_TOOL if ALL_TOOLS in tools else AllowedTools(frozenset(tools))


def _included(upstream: str, wanted: Collection[str]) -> AllowedTools:
    """Of names as they are at /mcp."""
    if ALL_TOOLS in wanted:
        return EVERY_TOOL
    prefix = f"{upstream}-"
    return _named([name.removeprefix(prefix) for name in wanted if name.startswith(prefix)])


def _lists(names: Collection[str], name: str) -> bool:
    return ALL_TOOLS in names or name in names
