"""The upstreams that `mcp_configs` name: those that are not there are a slip of the pen, or come later."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bifrost.governance.models import McpConfig


async def _all_there(_names: tuple[str, ...]) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class NamedUpstreams:
    unknown: Callable[[tuple[str, ...]], Awaitable[tuple[str, ...]]] = _all_there
    """Of these names, those that no upstream has."""

    async def missing(self, configs: Sequence[McpConfig], had: Sequence[McpConfig] = ()) -> str:
        """A sentence with the names that no upstream has; empty when each has one.

        Those that were there before (`had`) are left alone: their upstream was deleted since, and what was read may
        be sent back.
        """
        before = {config.mcp_client_name for config in had}
        names = tuple(config.mcp_client_name for config in configs if config.mcp_client_name not in before)
        unknown = await self.unknown(names) if names else ()
        return f"There is no MCP client named {', '.join(name[:100] for name in unknown)}." if unknown else ""
