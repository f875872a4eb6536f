"""What every pipe to an upstream has in common."""

from collections.abc import Mapping
from typing import Protocol

from bifrost.upstreams.models import Upstream
from bifrost.upstreams.transports.streamable_http import Reply


class Duplex(Protocol):
    on_trial: bool
    """While it is set, it is no failure when the upstream ends: it was asked something that not all of them know."""

    """A pipe of JSON-RPC messages to one upstream for one owner; what a message means is the link's business.

    `send` may be called while `receive` waits, and by several tasks: each message arrives whole.
    """

    async def send(self, message: bytes) -> None:
        """One message, without a line end. Raises UpstreamUnavailable."""
        ...

    async def receive(self) -> bytes:
        """The next message. Raises UpstreamUnavailable when the pipe has ended, or a message is over its limit."""
        ...

    async def close(self) -> None:
        """Ends the pipe, now; a second time does nothing."""
        ...


class Channel(Protocol):
    """Authenticated HTTP requests to one upstream for one owner; credentials it refuses are renewed once."""

    async def open(
        self,
        method: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        url: str = "",
        lasting: bool = False,
    ) -> Reply:
        """The answer as far as its head, to be closed; `lasting` is a stream without an end.

        To the configured URL, or to another one. Raises UpstreamUnavailable.
        """
        ...


class Pipes(Protocol):
    """One way to reach upstreams over a pipe; the link that uses a pipe is opened again when the pipe has ended."""

    async def open(self, upstream: Upstream, owner: str, channel: Channel) -> Duplex:
        """A new pipe; nothing has been said on it yet. Raises UpstreamUnavailable, ConnectionRequired."""
        ...
