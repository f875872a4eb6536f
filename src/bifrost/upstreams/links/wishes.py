"""What a session wishes on every link to an upstream of the older era: how much that says, and of what."""

import structlog

from bifrost.base.errors import DomainError
from bifrost.protocol import mcp
from bifrost.protocol.jsonrpc import RpcError
from bifrost.upstreams.links.base import HANDSHAKE_SECONDS, NOBODY, Forgotten, Link

log = structlog.get_logger()


async def set_level(link: Link, level: str) -> None:
    """Where the upstream offers that. One that refuses says more or less than is wanted, and is of use all the same."""
    if level and link.facts.offers("logging"):
        try:
            await link.request(mcp.SET_LEVEL, {"level": level}, NOBODY, HANDSHAKE_SECONDS)
        except (DomainError, RpcError, Forgotten):
            log.info("upstream_log_level_not_set", upstream=link.peer.upstream.name)


async def subscribe(link: Link, uris: tuple[str, ...]) -> None:
    """To each of them; that one is refused, or is no more, is no reason to hear nothing of the others.

    Raises UpstreamUnavailable, Forgotten.
    """
    for uri in uris:
        try:
            await link.request(mcp.RESOURCES_SUBSCRIBE, {"uri": uri}, NOBODY, HANDSHAKE_SECONDS)
        except RpcError as error:
            log.info("resource_not_subscribed", upstream=link.peer.upstream.name, code=error.code)
