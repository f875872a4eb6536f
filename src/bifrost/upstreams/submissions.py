"""Header values that a person gives for an upstream: checked, tried once at the upstream, and only then kept."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from bifrost.base import events
from bifrost.base.clock import Clock
from bifrost.identity.models import Identity
from bifrost.protocol import jsonrpc, mcp
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.accounts import Credential, Owner, target_of
from bifrost.upstreams.errors import ENDED, HeadersRefused, SignInRefused, UpstreamUnavailable
from bifrost.upstreams.models import Upstream
from bifrost.upstreams.oauth.store import UpstreamOAuthStore
from bifrost.upstreams.sessions import UpstreamSessions
from bifrost.upstreams.single_questions import Questions
from bifrost.upstreams.transports.streamable_http import StreamableHttp

TRIAL_SECONDS = 10.0
MAX_VALUE_CHARACTERS = 4_096
_VALUE = re.compile(rf"[!-~](?:[\t -~]{{0,{MAX_VALUE_CHARACTERS - 2}}}[!-~])?")
"""RFC 9110 §5.5, in ASCII: no space at either end, nothing that could end the header."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Trial:
    """An UpstreamAuth that sends these headers, remembers whether they were refused, and keeps nothing."""

    values: dict[str, str] = field(repr=False)
    was_refused: bool = False

    def owner(self, identity: Identity) -> str:
        return f"{identity.kind}:{identity.id}"

    async def headers(self, upstream: Upstream, identity: Identity) -> dict[str, str]:  # noqa: ARG002 - the interface
        return self.values

    async def refused(self, upstream: Upstream, identity: Identity, sent: Mapping[str, str]) -> bool:  # noqa: ARG002 - the interface
        self.was_refused = True
        return False

    async def forbidden(self, upstream: Upstream, identity: Identity, challenge: Mapping[str, str]) -> None:  # noqa: ARG002 - the interface
        self.was_refused = True


@dataclass(frozen=True, slots=True)
class Submissions:
    store: UpstreamOAuthStore
    transport: StreamableHttp
    clock: Clock

    async def submit(self, upstream: Upstream, owner: Owner, identity: Identity, values: Mapping[str, str]) -> None:
        """Keep the values for this owner, once the upstream has accepted them.

        Exactly the headers that the upstream asks for, by their names as the administrator wrote them.
        Raises HeadersRefused, UpstreamUnavailable, SignInRefused.
        """
        given = {name: values.get(name, "").strip() for name in upstream.per_user_header_keys}
        for name, value in given.items():
            if not _VALUE.fullmatch(value):
                raise HeadersRefused(
                    "A value is missing or cannot stand in a header.", code="headers_invalid", param=name
                )
        await self._try(upstream, identity, given)
        credential = Credential(upstream_id=upstream.id, owner=owner, headers=given, target=target_of(upstream))
        if not await self.store.connected(credential, self.clock.now()):
            raise SignInRefused(ENDED)
        events.tell(events.Name.UPSTREAM_CONNECTED, actor=f"{owner.kind}:{owner.id}", target=upstream.id)
        log.info("upstream_connected", upstream=upstream.name, owner=owner.kind)

    async def _try(self, upstream: Upstream, identity: Identity, values: dict[str, str]) -> None:
        """List the tools with them, in a session of its own that nobody uses afterwards."""
        trial = _Trial(values)
        sessions = UpstreamSessions(self.transport, {upstream.auth_type: trial})
        try:
            await Questions(sessions).request(upstream, identity, mcp.TOOLS_LIST, {}, seconds=TRIAL_SECONDS)
        except UpstreamUnavailable:
            if trial.was_refused:
                raise HeadersRefused("The service did not accept these values.") from None
            raise
        except RpcError as error:
            if error.code != jsonrpc.METHOD_NOT_FOUND:  # a server without tools has accepted them all the same
                raise HeadersRefused("The service did not accept these values.") from error
        finally:
            await sessions.close()
