"""Asking an upstream without a credential, to hear who guards it."""

from dataclasses import dataclass

from bifrost.protocol import jsonrpc, mcp, upstream_metadata
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.transports.streamable_http import StreamableHttp

PROBE_SECONDS = 10.0
_UNAUTHORIZED = 401
_CLIENT_INFO = {"name": "bifrost", "version": "1"}


@dataclass(frozen=True, slots=True)
class Probe:
    transport: StreamableHttp

    async def challenge(self, upstream: Upstream) -> dict[str, str]:
        """The parameters of its Bearer challenge (RFC 6750 §3); empty when it gave none. Raises UpstreamUnavailable.

        Some let anybody say hello and ask who it is only when something is wanted.
        """
        greeting = {"protocolVersion": mcp.LATEST_LEGACY, "capabilities": {}, "clientInfo": _CLIENT_INFO}
        for method, params in ((mcp.INITIALIZE, greeting), (mcp.TOOLS_LIST, {})):
            exchange = await self.transport.exchange(
                upstream.connection_string,
                body=jsonrpc.request(1, method, params),
                headers={},
                seconds=PROBE_SECONDS,
                upstream=upstream.name,
                request_id=1,
                trust=upstream.tls_config,
                vetted=upstream.vetted,
            )
            if exchange.status == _UNAUTHORIZED:
                return upstream_metadata.bearer_parameters(exchange.challenges)
        return {}
