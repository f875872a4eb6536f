"""Which client sends a request, and what shows it (RFC 6749 §2.3.1, OAuth 2.1 §2.4, RFC 7523 §2.2)."""

import base64
import json
from collections import Counter
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from bifrost.authserver.endpoints.client_auth import ClientAuth, _presented, basic_credentials
from bifrost.authserver.errors import ClientRefused, ClientUnreachable
from bifrost.authserver.limits import Limits
from bifrost.authserver.models import Client
from bifrost.base.errors import TooMany
from bifrost.base.ids import hash_secret
from bifrost.http.client_address import TrustedProxies
from bifrost.http.params import Parameters
from bifrost.protocol import oauth
from bifrost.protocol.oauth import OAuthError
from tests.support.clock import FakeClock
from tests.support.gateway import RING
from tests.unit._requests import request

pytestmark = pytest.mark.anyio

TYPE = {"client_assertion_type": oauth.CLIENT_ASSERTION_TYPE}
Form = dict[str, str]


def _client(client_id: str, method: str, secret: str = "") -> Client:
    return Client(
        client_id=client_id,
        client_name="An app",
        redirect_uris=(),
        grant_types=(),
        token_endpoint_auth_method=method,
        secret_hash=hash_secret(secret) if secret else "",
    )


REGISTERED = {
    client.client_id: client
    for client in (
        _client("public", oauth.NONE),
        _client("secretive", oauth.CLIENT_SECRET_POST, "s:1"),
        _client("signing", oauth.PRIVATE_KEY_JWT),
    )
}
LOST = {"refused": ClientRefused("It is blocked."), "silent": ClientUnreachable()}


class _Clients:
    """What is registered, and which ids were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(self, client_id: str) -> Client | None:
        self.asked.append(client_id)
        if client_id in LOST:
            raise LOST[client_id]
        return REGISTERED.get(client_id)


class _Assertions:
    async def check(self, client: Client, assertion: str) -> None:
        if assertion != _assertion(client.client_id):
            raise OAuthError(oauth.INVALID_CLIENT, "It is not its own.")


class _Counters:
    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()

    async def count(self, bucket: str, add: int, _expires_at: int) -> int:
        self._counted[bucket] += add
        return self._counted[bucket]


@pytest.fixture
def clients() -> _Clients:
    return _Clients()


@pytest.fixture
def auth(clients: _Clients, clock: FakeClock) -> ClientAuth:
    limits = Limits(_Counters(), clock, RING)
    return ClientAuth(cast("Any", clients), cast("Any", _Assertions()), limits, TrustedProxies(()))


async def _sent(auth: ClientAuth, form: Form, *authorization: str, peer: str = "203.0.113.7") -> str:
    """The id of the client that is believed to have sent it."""
    headers = [("Authorization", value) for value in authorization]
    asked = request(headers, method="POST", peer=(peer, 40_000))
    return (await auth.authenticate(asked, Parameters(urlencode(form).encode()))).client_id


def _basic(pair: bytes) -> str:
    return f"Basic {base64.b64encode(pair).decode()}"


def _assertion(subject: str, signature: str = "MQ") -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": "ES256"}, {"sub": subject}))
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), signature])


ACCEPTED: dict[str, tuple[str, Form, list[str]]] = {
    "named in the body": ("public", {"client_id": "public"}, []),
    "named by Basic": ("public", {}, [_basic(b"public:")]),
    "named twice": ("public", {"client_id": "public"}, [_basic(b"public:")]),
    "a secret in the body": ("secretive", {"client_id": "secretive", "client_secret": "s:1"}, []),
    "a secret by Basic": ("secretive", {}, [_basic(b"secretive:s%3A1")]),
    "a colon in the secret": ("secretive", {}, [_basic(b"secretive:s:1")]),
    "blanks around it": ("secretive", {}, [_basic(b"secretive:s:1").replace(" ", "  ") + " "]),
    "named beside Basic": ("secretive", {"client_id": "secretive"}, [_basic(b"secretive:s:1")]),
    "an assertion": ("signing", {**TYPE, "client_assertion": _assertion("signing")}, []),
    "named beside an assertion": (
        "signing",
        {**TYPE, "client_assertion": _assertion("signing"), "client_id": "signing"},
        [],
    ),
    "a secret that nothing asks for": ("public", {"client_id": "public", "client_secret": "x"}, []),
}


@pytest.mark.parametrize(("client_id", "form", "authorization"), ACCEPTED.values(), ids=ACCEPTED)
async def test_a_client_is_known_by_what_it_registered_for(
    auth: ClientAuth, client_id: str, form: Form, authorization: list[str]
) -> None:
    """A53, R22: by one proof, and as often named as it likes."""
    assert await _sent(auth, form, *authorization) == client_id


Refusal = tuple[str, str, bool]
"""`error`, the parameter it is about, and whether Basic is asked for."""

REQUEST, CLIENT = oauth.INVALID_REQUEST, oauth.INVALID_CLIENT
TWO_WAYS: dict[str, tuple[str, Form, list[str]]] = {
    "no name": ("client_id", {}, []),
    "two names": ("client_id", {"client_id": "public"}, [_basic(b"secretive:s:1")]),
    "two secrets": ("client_secret", {"client_secret": "s:1"}, [_basic(b"secretive:s:1")]),
    "no type": ("client_assertion_type", {"client_assertion": _assertion("signing")}, []),
    "another type": (
        "client_assertion_type",
        {"client_assertion": _assertion("signing"), "client_assertion_type": "urn:x"},
        [],
    ),
    "only the type": ("client_assertion_type", {**TYPE, "client_id": "public"}, []),
    "signed, with a secret": (
        "client_assertion",
        {**TYPE, "client_assertion": _assertion("signing"), "client_secret": "x"},
        [],
    ),
    "signed, with Basic": (
        "client_assertion",
        {**TYPE, "client_assertion": _assertion("signing")},
        [_basic(b"signing:")],
    ),
    "signed by another": (
        "client_id",
        {**TYPE, "client_assertion": _assertion("signing"), "client_id": "public"},
        [],
    ),
}


@pytest.mark.parametrize(("param", "form", "authorization"), TWO_WAYS.values(), ids=TWO_WAYS)
async def test_a_request_with_no_or_two_readings_is_refused_before_any_client_is_looked_up(
    auth: ClientAuth, clients: _Clients, param: str, form: Form, authorization: list[str]
) -> None:
    """OAuth 2.1 §2.4, RFC 7521 §4.2: invalid_request, about the parameter that is wrong."""
    assert await _refusal(auth, form, *authorization) == (REQUEST, param, False)
    assert clients.asked == []


async def _refusal(auth: ClientAuth, form: Form, *authorization: str) -> Refusal:
    with pytest.raises(OAuthError) as refused:
        await _sent(auth, form, *authorization)
    return refused.value.code, refused.value.param, refused.value.basic


UNREADABLE = {
    "two headers": [_basic(b"public:"), _basic(b"public:")],
    "another scheme": ["Bearer " + _basic(b"public:").partition(" ")[2]],
    "not base64 all through": [_basic(b"public:").replace("cH", "c!H")],
    "no colon": [_basic(b"public")],
    "no name": [_basic(b":")],
    "a control character in the name": [_basic(b"public\x00:")],
    "a control character in the secret": [_basic(b"secretive:s:1%0a")],
    "a name that is not UTF-8": [_basic(b"%ff:")],
    "a secret that is not UTF-8": [_basic(b"public:%ff")],
    "bytes that are not UTF-8": [_basic(b"\xff:")],
}


@pytest.mark.parametrize("authorization", UNREADABLE.values(), ids=UNREADABLE)
async def test_a_header_that_cannot_be_read_is_never_passed_over(
    auth: ClientAuth, clients: _Clients, authorization: list[str]
) -> None:
    """A52, TC-047: a 401 that asks for Basic, whatever the body says; nothing is looked up by it."""
    assert await _refusal(auth, {"client_id": "public"}, *authorization) == (CLIENT, "", True)
    assert clients.asked == []


UNPROVEN: dict[str, tuple[str, Form, list[str]]] = {
    "unknown": ("client_id", {"client_id": "nobody"}, []),
    "unknown, by Basic": ("client_id", {}, [_basic(b"nobody:x")]),
    "blocked": ("client_id", {"client_id": "refused"}, []),
    "never read": ("client_id", {"client_id": "silent"}, []),
    "guessed where there is none": ("client_id", {}, [_basic(b"public:x")]),
    "no secret": ("client_id", {"client_id": "secretive"}, []),
    "an empty one by Basic": ("client_id", {}, [_basic(b"secretive:")]),
    "another secret": ("client_id", {"client_id": "secretive", "client_secret": "s:2"}, []),
    "not signed": ("client_id", {"client_id": "signing", "client_secret": "x"}, []),
    "signed without a key": ("client_id", {**TYPE, "client_assertion": _assertion("secretive")}, []),
    "signed wrongly": ("", {**TYPE, "client_assertion": _assertion("signing", "Mg")}, []),
    "nothing that was signed": ("client_assertion", {**TYPE, "client_assertion": "x"}, []),
}


@pytest.mark.parametrize(("param", "form", "authorization"), UNPROVEN.values(), ids=UNPROVEN)
async def test_a_client_that_does_not_prove_itself_is_refused(
    auth: ClientAuth, param: str, form: Form, authorization: list[str]
) -> None:
    """A55, RFC 6749 §5.2: invalid_client; a challenge only for those who used the header."""
    assert await _refusal(auth, form, *authorization) == (CLIENT, param, bool(authorization))


async def _guess(auth: ClientAuth, times: int, **form: str) -> None:
    for _ in range(times):
        assert (await _refusal(auth, form))[0] == CLIENT


async def test_the_right_secret_is_not_told_after_thirty_wrong_ones(auth: ClientAuth) -> None:
    """A54, contract §3: in a minute, from one address; with less than that it is."""
    right = {"client_id": "secretive", "client_secret": "s:1"}
    await _guess(auth, 29, client_id="secretive", client_secret="wrong")
    assert await _sent(auth, right) == "secretive"
    await _guess(auth, 1, client_id="secretive", client_secret="wrong")
    with pytest.raises(TooMany):
        await _sent(auth, right)
    assert await _sent(auth, right, peer="203.0.113.8") == "secretive"


async def test_wrong_proofs_of_many_clients_keep_nobody_else_waiting(auth: ClientAuth) -> None:
    """Contract §3: all who guess together are no reason to refuse a client that nobody guesses at."""
    for number in range(200):
        await _guess(auth, 1, client_id=f"nobody-{number}")
    await _guess(auth, 1, client_id="secretive", client_secret="wrong")
    await _guess(auth, 30, client_id="public", **TYPE, client_assertion=_assertion("public"))
    assert await _sent(auth, {"client_id": "public"}) == "public"


@pytest.mark.parametrize(
    ("header", "named"),
    [
        (_basic(b"a:b"), ("a", ("b",))),
        (_basic(b"a:"), ("a", ("",))),
        (_basic(b"a:b+c"), ("a", ("b c", "b+c"))),
        (None, None),
    ],
    ids=str,
)
def test_name_and_secret_of_a_resource_server_are_read_alike(header: str | None, named: Any) -> None:
    """RFC 7662 §2.1."""
    assert basic_credentials(request({"Authorization": header} if header else {})) == named


@pytest.mark.parametrize(
    "form", [{"client_id": "a", "client_secret": "s:1"}, {**TYPE, "client_assertion": _assertion("a")}]
)
def test_a_proof_is_not_shown_where_its_client_is(form: Form) -> None:
    """OAuth 2.1 §7.1: neither a secret nor an assertion in what may be logged."""
    shown = repr(_presented(request(), Parameters(urlencode(form).encode())))
    assert "'a'" in shown
    assert not any(value in shown for name, value in form.items() if name in ("client_secret", "client_assertion"))
