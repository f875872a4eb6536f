"""One authenticated HTTP request to an upstream, once more with renewed credentials when it refused the old ones."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from bifrost.protocol import upstream_metadata
from bifrost.upstreams.auth.base import UpstreamAuth
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.base import Patience, Peer
from bifrost.upstreams.transports.streamable_http import Reply, StreamableHttp

CREDENTIAL_SECONDS = 60.0
"""More than it takes to renew a credential, also when another process died while it did."""

_UNAUTHORIZED, _FORBIDDEN = _REFUSALS = 401, 403
_SERVER_FAULT = 500


@dataclass(frozen=True, slots=True)
class HttpChannel:
    peer: Peer
    transport: StreamableHttp
    auth: UpstreamAuth

    def open(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        url: str = "",
        patience: Patience | None = None,
        lasting: bool = False,
    ) -> AbstractAsyncContextManager[Reply]:
        """To the configured URL, unless another is given. Raises UpstreamUnavailable, ConnectionRequired.

        `patience` is for the upstream alone: what its credential takes does not count. `lasting`: it is listened to.
        """
        return _Opening(self, method, url or self.peer.upstream.connection_string, headers, body, patience, lasting)

    async def asked(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        patience: Patience | None,
        lasting: bool,
    ) -> Reply:
        """The answer as far as its head, to be closed. Raises UpstreamUnavailable, ConnectionRequired."""
        credentials = await self._credentials(patience)
        reply = await self._once(method, url, _joined(credentials, headers), body, lasting)
        try:
            if reply.status == _UNAUTHORIZED and await self._renewed(credentials, patience):
                reply.close()
                credentials = await self._credentials(patience)
                reply = await self._once(method, url, _joined(credentials, headers), body, lasting)
            await self._check(reply)
        except BaseException:
            reply.close()
            raise
        return reply

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

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, lasting: bool
    ) -> Reply:
        upstream = self.peer.upstream
        return await self.transport.ask(
            method,
            url,
            body=body,
            headers=headers,
            upstream=upstream.name,
            trust=upstream.tls_config,
            lasting=lasting,
            vetted=upstream.vetted,
        )

    async def _check(self, reply: Reply) -> None:
        if reply.status not in _REFUSALS:
            return
        if reply.status == _FORBIDDEN:
            challenge = upstream_metadata.bearer_parameters(reply.challenges)
            await self.auth.forbidden(self.peer.upstream, self.peer.identity, challenge)
        raise UpstreamUnavailable(f"{self.peer.upstream.name} refused this gateway's credentials.")

    def no_answer(self, status: int) -> UpstreamUnavailable:
        name = self.peer.upstream.name
        if status >= _SERVER_FAULT:
            return UpstreamUnavailable(f"{name} failed (HTTP {status}).")
        return UpstreamUnavailable(f"{name} gave no answer (HTTP {status}).")

    def too_slow(self, seconds: float) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"{self.peer.upstream.name} did not answer within {seconds:g} seconds.")


class _Opening:
    """An answer for as long as it is read."""

    __slots__ = ("_asked", "_channel", "_reply")

    def __init__(self, channel: HttpChannel, *asked: Any) -> None:
        self._channel, self._asked = channel, asked

    async def __aenter__(self) -> Reply:
        self._reply = await self._channel.asked(*self._asked)
        return self._reply

    async def __aexit__(self, *_why: object) -> None:
        self._reply.close()


def _joined(credentials: Mapping[str, str], headers: Mapping[str, str]) -> Mapping[str, str]:
    """What the gateway is configured to say there is never replaced by what a caller sent, however it is spelt."""
    if not credentials:
        return headers
    own = {name.lower() for name in credentials}
    return {**{name: value for name, value in headers.items() if name.lower() not in own}, **credentials}
