"""What is fuzzed: everything that reads what a stranger wrote, each with what must hold of any bytes at all.

`run.py` looks for bytes that break one; `test_corpus.py` tries again all that was ever kept, in every run of the tests.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from bifrost.authserver.sealed_clients import SealedClients
from bifrost.base.errors import Invalid
from bifrost.base.sealing import KeyRing
from bifrost.http import strict_json
from bifrost.http.addresses import is_public
from bifrost.http.params import Parameters
from bifrost.protocol import client_registration, jsonrpc, jws, mcp, pkce, redirect_uri
from bifrost.protocol.jsonrpc import RpcError
from bifrost.protocol.jws import JwsError
from bifrost.protocol.oauth import OAuthError
from bifrost.upstreams.transports.sse import Event, events

CLIENTS = SealedClients(KeyRing([b"f" * 32]), redirect_uri.APP_SCHEMES)
_NEVER_V4 = tuple(map(IPv4Network, ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")))
_NEVER_V6 = tuple(map(IPv6Network, ("::/16", "64:ff9b::/32", "2002::/16", "fc00::/7", "fe80::/9", "ff00::/8")))


def matched_redirect_uri(data: bytes) -> None:
    """A presented URI that matches leads to the registered host, to every parser that browsers and clients use."""
    registered, _, presented = data.decode(errors="surrogateescape").partition("\n")
    if redirect_uri.refusal(registered) is not None:
        return
    parts = urlsplit(registered)
    assert parts.fragment == ""
    assert parts.username is None
    assert registered.isascii()
    assert registered.isprintable()
    redirect_uri.target(registered)
    if redirect_uri.matches(registered, presented):
        theirs = urlsplit(presented)
        assert (theirs.scheme, theirs.hostname) == (parts.scheme, parts.hostname)
        assert (theirs.path, theirs.query, theirs.fragment) == (parts.path, parts.query, "")
        assert redirect_uri.refusal(presented) is None
        assert theirs.port == parts.port or redirect_uri.target(registered).kind == "loopback"


def strict_json_body(data: bytes) -> None:
    """What is accepted is what every other parser reads, and a registration of it is accepted or refused in words."""
    try:
        value = strict_json.loads(data)
    except Invalid:
        return
    assert value == json.loads(data)
    if isinstance(value, dict):
        with contextlib.suppress(OAuthError):
            accepted = client_registration.accept(value, redirect_uri.APP_SCHEMES)
            client_id, _ = CLIENTS.register(accepted)
            client = CLIENTS.open(client_id)
            assert client is not None
            assert (client.client_name, client.redirect_uris) == (accepted.client_name, accepted.redirect_uris)


def form(data: bytes) -> None:
    """Every value has one meaning, or is refused."""
    try:
        parameters = Parameters(data)
        parameters.refuse_repeated()
        for name in parameters.names():
            value = parameters.get(name)
            assert value is None or value.isprintable() or not value.isascii()
    except Invalid:
        return


def sealed_client_id(data: bytes) -> None:
    """Only ids that we made open, in the one spelling that we gave them."""
    client_id = data.decode(errors="replace")
    client = CLIENTS.open(client_id)
    if client is not None and client.is_public:
        body = {"redirect_uris": list(client.redirect_uris), "client_name": client.client_name}
        made, _ = CLIENTS.register(client_registration.accept(body, redirect_uri.APP_SCHEMES))
        assert made == client_id


def outside_address(data: bytes) -> None:
    """No spelling of a private address is public."""
    host = data.decode(errors="replace")
    if not is_public(host):
        return
    address = ip_address(host.partition("%")[0])
    assert address.is_global
    assert not address.is_multicast
    if isinstance(address, IPv4Address):
        assert not any(address in network for network in _NEVER_V4)
    else:
        _check_v6(address)


def _check_v6(address: IPv6Address) -> None:
    assert not any(address in network for network in _NEVER_V6)
    assert address.ipv4_mapped is None
    assert address.sixtofour is None
    assert address.teredo is None


def server_sent_events(data: bytes) -> None:
    """It does not matter how a stream is cut."""
    cut = data[0] if data else 0
    whole = asyncio.run(_events([data]))
    assert asyncio.run(_events([data[:cut], data[cut:]])) == whole
    assert all(event.id is None or event.id.isprintable() for event in whole)


async def _events(chunks: list[bytes]) -> list[Event]:
    async def given() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [event async for event in events(given())]


def json_rpc_message(data: bytes) -> None:
    """A message that is read is valid JSON for others too, and its error answers are as well."""
    try:
        message = jsonrpc.decode(data)
    except RpcError as error:
        json.loads(jsonrpc.error_response(None, error))
        return
    assert json.loads(data)["jsonrpc"] == "2.0"
    with contextlib.suppress(RpcError):
        jsonrpc.outcome(message)


def compact_jws(data: bytes) -> None:
    """Nothing that nobody signed is taken."""
    with contextlib.suppress(JwsError, Invalid):
        token = jws.split(data.decode(errors="replace"))
        header = strict_json.loads(token.header) if token.header.startswith(b"{") else {}
        jws.check(token, header, ())
        raise AssertionError("a signature by no key was taken")


def header_value(data: bytes) -> None:
    """Names in header fields say the same when they are read back, and never end the field."""
    text = data.decode(errors="replace")
    encoded = mcp.header_value(text)
    assert encoded.isascii()
    assert encoded.isprintable()
    assert mcp.header_text(encoded) == text
    mcp.header_text(text)


def code_verifier(data: bytes) -> None:
    """Nothing but the verifier proves the challenge."""
    verifier, _, challenge = data.decode(errors="replace").partition("\n")
    assert not pkce.verifies(verifier, challenge) or pkce.is_challenge(challenge)


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        matched_redirect_uri,
        strict_json_body,
        form,
        sealed_client_id,
        outside_address,
        server_sent_events,
        json_rpc_message,
        compact_jws,
        header_value,
        code_verifier,
    )
}
