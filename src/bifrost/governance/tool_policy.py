"""Which tools a caller may use: pure rules, all of which must agree (contract §7)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bifrost.governance.models import ALL_TOOLS, McpConfig


@dataclass(frozen=True, slots=True, kw_only=True)
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
        return (
            _lists(offered, tool)
            and self._included(upstream, tool)
            and self._key_allows(upstream, tool, open_to_all_keys=open_to_all_keys)
            and all(_any_allows(configs, upstream, tool) for configs in self.within)
        )

    def reaches(self, upstream: str, *, open_to_all_keys: bool) -> bool:
        """Whether any tool of this upstream can be allowed; spares asking an upstream in vain."""
        if self.include_clients is not None and not _lists(self.include_clients, upstream):
            return False
        if not all(_any_reaches(configs, upstream) for configs in self.within):
            return False
        return open_to_all_keys or _any_reaches(self.key_configs, upstream)

    def _included(self, upstream: str, tool: str) -> bool:
        if self.include_clients is not None and not _lists(self.include_clients, upstream):
            return False
        wanted = self.include_tools
        return wanted is None or _lists(wanted, f"{upstream}-{tool}") or f"{upstream}-{ALL_TOOLS}" in wanted

    def _key_allows(self, upstream: str, tool: str, *, open_to_all_keys: bool) -> bool:
        named = [config for config in self.key_configs if config.mcp_client_name == upstream]
        if not named:
            return open_to_all_keys
        return _any_allows(named, upstream, tool)


def _any_reaches(configs: Sequence[McpConfig], upstream: str) -> bool:
    return any(config.mcp_client_name == upstream and config.tools_to_execute for config in configs)


def _any_allows(configs: Sequence[McpConfig], upstream: str, tool: str) -> bool:
    return any(config.mcp_client_name == upstream and _lists(config.tools_to_execute, tool) for config in configs)


def _lists(names: Collection[str], name: str) -> bool:
    return ALL_TOOLS in names or name in names
