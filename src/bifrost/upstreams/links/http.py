"""One authenticated HTTP request to an upstream, once more with renewed credentials when it refused the old ones."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from bifrost.protocol import upstream_metadata
from bifrost.upstreams.auth.base import UpstreamAuth
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.base import Patience, Peer
from bifrost.upstreams.transports.streamable_http import Reply, StreamableHttp

CREDENTIAL_SECONDS = 60.0
"""More than it takes to renew a credential, also when another process died while it did."""

_UNAUTHORIZED, _FORBIDDEN = 401, 403
_SERVER_FAULT = 500


@dataclass(frozen=True, slots=True)
class HttpChannel:
    peer: Peer
    transport: StreamableHttp
    auth: UpstreamAuth

    @asynccontextmanager
    async def open(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        url: str = "",
        patience: Patience | None = None,
    ) -> AsyncIterator[Reply]:
        """To the configured URL, unless another is given. Raises UpstreamUnavailable, ConnectionRequired.

        `patience` is for the upstream alone: what its credential takes does not count.
        """
        credentials = await self._credentials(patience)
        async with self._once(method, url, {**credentials, **headers}, body) as reply:
            if reply.status != _UNAUTHORIZED or not await self._renewed(credentials, patience):
                await self._check(reply)
                yield reply
                return
        credentials = await self._credentials(patience)
        async with self._once(method, url, {**credentials, **headers}, body) as reply:
            await self._check(reply)
            yield reply

    async def _credentials(self, patience: Patience | None) -> Mapping[str, str]:
        if patience:
            patience.renew(CREDENTIAL_SECONDS)
        found = await self.auth.headers(self.peer.upstream, self.peer.identity)
        if patience:
            patience.renew()
        return found

    async def _renewed(self, refused: Mapping[str, str], patience: Patience | None) -> bool:
        """Whether there are other credentials now than those that the upstream refused."""
        if patience:
            patience.renew(CREDENTIAL_SECONDS)
        renewed = await self.auth.refused(self.peer.upstream, self.peer.identity, refused)
        if patience:
            patience.renew()
        return renewed

    def _once(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> AbstractAsyncContextManager[Reply]:
        upstream = self.peer.upstream
        return self.transport.open(
            method,
            url or upstream.connection_string,
            body=body,
            headers=headers,
            upstream=upstream.name,
            trust=upstream.tls_config,
        )

    async def _check(self, reply: Reply) -> None:
        if reply.status == _FORBIDDEN:
            challenge = upstream_metadata.bearer_parameters(reply.challenges)
            await self.auth.forbidden(self.peer.upstream, self.peer.identity, challenge)
        if reply.status in (_UNAUTHORIZED, _FORBIDDEN):
            raise UpstreamUnavailable(f"{self.peer.upstream.name} refused this gateway's credentials.")

    def no_answer(self, status: int) -> UpstreamUnavailable:
        name = self.peer.upstream.name
        if status >= _SERVER_FAULT:
            return UpstreamUnavailable(f"{name} failed (HTTP {status}).")
        return UpstreamUnavailable(f"{name} gave no answer (HTTP {status}).")

    def too_slow(self, seconds: float) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"{self.peer.upstream.name} did not answer within {seconds:g} seconds.")
