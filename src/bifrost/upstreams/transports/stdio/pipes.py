"""The pipes of `connection_type` stdio: an upstream's configuration becomes a running program."""

from dataclasses import dataclass

import structlog

from bifrost.upstreams.errors import UpstreamInvalid, UpstreamUnavailable
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.transports.base import Channel, Duplex
from bifrost.upstreams.transports.stdio.command import AllowedCommands
from bifrost.upstreams.transports.stdio.programs import StdioPrograms

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StdioPipes:
    commands: AllowedCommands
    programs: StdioPrograms

    async def open(self, upstream: Upstream, owner: str, _channel: Channel) -> Duplex:
        """Judged again at every start: the list may have become shorter. Raises UpstreamUnavailable."""
        try:
            program = self.commands.program(upstream.stdio_config)
        except UpstreamInvalid as error:
            log.warning("stdio_program_not_allowed", upstream=upstream.name, reason=error.message)
            raise UpstreamUnavailable(f"{upstream.name} may not be started; the log says why.") from error
        return await self.programs.open(upstream.id, upstream.name, program, owner)
