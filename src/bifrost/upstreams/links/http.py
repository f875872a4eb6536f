"""One authenticated HTTP request to an upstream, once more with renewed credentials when it refused the old ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bifrost.base.time_limit import Alarm
from bifrost.protocol import upstream_metadata
from bifrost.upstreams.auth.base import UpstreamAuth
from bifrost.upstreams.errors import UpstreamUnavailable
from bifrost.upstreams.links.base import Patience, Peer
from bifrost.upstreams.transports.streamable_http import Prepared, Reply, StreamableHttp

CREDENTIAL_SECONDS = 60.0
"""More than it takes to renew a credential, also when another process died while it did."""

KEPT_BYTES = 16 * 1024
"""Of a head that is kept: a field may repeat an argument, which may be as long as a message."""

_UNAUTHORIZED, _FORBIDDEN = _REFUSALS = 401, 403
_SERVER_FAULT = 500


@dataclass(slots=True)
class HttpChannel:
    peer: Peer
    transport: StreamableHttp
    auth: UpstreamAuth
    alarm: Alarm = field(default_factory=Alarm)
    """For the time limits of all its requests."""

    _made: tuple[tuple[object, ...], Prepared] | None = field(default=None, repr=False)
    """What was sent last but for its body, with what it was made of: most requests have the same."""

    async def open(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        url: str = "",
        more: bytes = b"",
        patience: Patience | None = None,
        lasting: bool = False,
    ) -> Reply:
        """The answer as far as its head, to be closed. Raises UpstreamUnavailable, ConnectionRequired.

        To the configured URL, unless another is given. `more` are the field lines that this request has besides.
        `patience` is for the upstream alone: what its credential takes does not count. `lasting`: it is listened to.
        """
        if patience is None:
            credentials: Mapping[str, str] = await self.auth.headers(self.peer.upstream, self.peer.identity)
        else:
            credentials = await self._credentials(patience)
        prepared = self._prepared(method, url, credentials, headers, lasting)
        reply = await self.transport.send(prepared, body, more)
        if reply.response.status not in _REFUSALS:
            return reply
        try:
            if reply.status == _UNAUTHORIZED and await self._renewed(credentials, patience):
                reply.close()
                prepared = self._prepared(method, url, await self._credentials(patience), headers, lasting)
                reply = await self.transport.send(prepared, body, more)
            await self._check(reply)
        except BaseException:
            reply.close()
            raise
        return reply

    def _prepared(
        self, method: str, url: str, credentials: Mapping[str, str], headers: Mapping[str, str], lasting: bool
    ) -> Prepared:
        """Raises UpstreamUnavailable."""
        asked = (method, url, credentials, headers, lasting)
        if self._made is not None and self._made[0] == asked:
            return self._made[1]
        upstream = self.peer.upstream
        made = self.transport.prepared(
            method,
            url or upstream.connection_string,
            _joined(credentials, headers),
            upstream=upstream.name,
            trust=upstream.tls_config,
            lasting=lasting,
            vetted=upstream.vetted,
        )
        if len(made.head.lines) <= KEPT_BYTES:
            self._made = (method, url, dict(credentials), dict(headers), lasting), made
        return made

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


def _joined(credentials: Mapping[str, str], headers: Mapping[str, str]) -> Mapping[str, str]:
    """What the gateway is configured to say there is never replaced by what a caller sent, however it is spelt."""
    if not credentials:
        return headers
    own = {name.lower() for name in credentials}
    return {**{name: value for name, value in headers.items() if name.lower() not in own}, **credentials}
