"""GET authorize: every parameter, every way in which it can be wrong, and the whole of every refusal."""

from collections.abc import Callable

import pytest

from tests.flows._authorization import (
    APP_URI,
    AUTHORIZE,
    PARAMETERS,
    accepted,
    assert_error_body,
    assert_error_page,
    assert_no_way_back,
    assert_silent,
    refused,
    registered,
    request,
)
from tests.flows._raw import PERSON, PROGRAM, ask
from tests.support.gateway import RING, TestGateway
from tests.support.oauth import OAuthClient

pytestmark = pytest.mark.anyio

REQUIRED = ("response_type", "client_id", "redirect_uri", "code_challenge", "code_challenge_method")
OPTIONAL = ("state", "scope", "resource")
NOT_REPEATABLE = tuple(name for name in PARAMETERS if name != "resource")


@pytest.mark.parametrize("value", [None, b""], ids=["missing", "empty"])
@pytest.mark.parametrize("name", REQUIRED)
async def test_a_required_parameter_that_is_missing_or_empty_is_named(
    running: TestGateway, name: str, value: bytes | None
) -> None:
    """A27, contract §4: an empty value counts as absent; TC-012, TC-023, TC-024."""
    client = await registered(running)
    await refused(running, request(client, **{name: value}), param=name)


@pytest.mark.parametrize("value", [None, b""], ids=["missing", "empty"])
@pytest.mark.parametrize("name", OPTIONAL)
async def test_an_optional_parameter_may_be_missing_or_empty(
    running: TestGateway, name: str, value: bytes | None
) -> None:
    """A21, contract §4: state, scope and resource are optional, and their defaults hold."""
    client = await registered(running)
    row = await accepted(running, request(client, **{name: value}))
    state = None if name == "state" else client.state
    assert (row["state"], row["scope"], row["resource"]) == (state, "mcp:read mcp:write", "/mcp")


REPETITIONS: dict[str, Callable[[str, str], str]] = {
    "equal": lambda name, good: f"{name}={good}&{name}={good}",
    "bad last": lambda name, good: f"{name}={good}&{name}=other",
    "bad first": lambda name, good: f"{name}=other&{name}={good}",
    "one empty": lambda name, good: f"{name}={good}&{name}=",
    "name escaped": lambda name, good: f"{name}={good}&%{ord(name[0]):02x}{name[1:]}=other",
}


@pytest.mark.parametrize("how", REPETITIONS)
@pytest.mark.parametrize("name", NOT_REPEATABLE)
async def test_a_repeated_parameter_is_refused_before_anything_is_believed(
    running: TestGateway, name: str, how: str
) -> None:
    """A22, contract §4, OAuth 2.1 §3.1, TC-013: two values are two meanings, so there is no way back either."""
    client = await registered(running)
    good = request(client, **dict.fromkeys(set(PARAMETERS) - {name}, None)).decode().partition("=")[2]
    rest = request(client, **{name: None})
    page = await refused(running, rest + b"&" + REPETITIONS[how](name, good).encode(), param=name)
    assert_no_way_back(page)


async def test_an_unknown_parameter_is_ignored_but_not_when_it_is_repeated(running: TestGateway) -> None:
    """A21, contract §4: unknown parameters are ignored, a repeated parameter is an error."""
    client = await registered(running)
    await accepted(running, request(client) + b"&nonce=n&prompt=consent&client_id%5B%5D=x&%ff=%ff&bad=%zz&=&&nul=%00")
    page = await refused(running, request(client) + b"&nonce=1&nonce=2", param="nonce")
    assert_no_way_back(page)


async def test_a_flood_of_parameters_is_one_more_refusal(running: TestGateway) -> None:
    """Contract §4: every refusal is 400."""
    client = await registered(running)
    flood = b"".join(b"&p%d=x" % number for number in range(2_000))
    page = await refused(running, request(client) + flood, param="", code=None)
    assert_no_way_back(page)


MALFORMED = {
    "too long": b"x" * 4_097,
    "invalid UTF-8": b"%ff",
    "invalid UTF-8, unescaped": b"\xff",
    "overlong UTF-8": b"%c0%af",
    "surrogate in UTF-8": b"%ed%a0%80",
    "truncated UTF-8": b"%c3",
    "escape without digits": b"%",
    "escape with one digit": b"a%4",
    "escape that is not hexadecimal": b"%zz",
    "NUL": b"a%00b",
    "NUL, unescaped": b"a\x00b",
    "line feed": b"a%0ab",
    "carriage return": b"a%0d",
    "tab": b"%09a",
    "escape character": b"%1b[31m",
    "delete": b"a%7f",
}


@pytest.mark.parametrize("how", MALFORMED)
@pytest.mark.parametrize("name", PARAMETERS)
async def test_a_malformed_value_is_refused_with_the_name_of_its_parameter(
    running: TestGateway, name: str, how: str
) -> None:
    """Contract §4; TC-025; one meaning for every byte."""
    client = await registered(running)
    page = await refused(running, request(client, **{name: MALFORMED[how]}), param=name)
    if name in ("client_id", "redirect_uri"):
        assert_no_way_back(page)
    else:
        assert page.links


NON_ASCII = {
    "response_type": "unsupported_response_type",
    "client_id": "invalid_client",
    "redirect_uri": "invalid_redirect_uri",
    "code_challenge": "invalid_request",
    "code_challenge_method": "invalid_request",
    "resource": "invalid_target",
}


@pytest.mark.parametrize(("name", "code"), NON_ASCII.items())
async def test_a_value_beyond_ascii_is_refused_where_only_ascii_can_be_right(
    running: TestGateway, name: str, code: str
) -> None:
    """Contract §4; the look-alike letters of TC-002 among them."""
    client = await registered(running)
    original = str(client.request()[name])
    for value in (original.replace("e", "\u0435", 1) + "é", "日本語", "😀"):
        await refused(running, request(client, **{name: value}), param=name, code=code)


@pytest.mark.parametrize("value", ["état", "日本語", "😀", "a b+c&d=e;f%2F\"'<>\\", "x" * 4_096, "٣", "\u202e"])
async def test_the_state_is_kept_as_it_was_sent(running: TestGateway, value: str) -> None:
    """TC-172, contract §4: returned byte for byte."""
    client = await registered(running)
    assert (await accepted(running, request(client, state=value)))["state"] == value
    page = await refused(running, request(client, state=value, response_type="token"), param="response_type", code=None)
    assert page.links


@pytest.mark.parametrize(
    "value",
    ["token", "id_token", "code token", "code id_token", "CODE", "code ", " code", "none", "code,code", "x" * 99],
)
async def test_every_response_type_but_code_is_unsupported(running: TestGateway, value: str) -> None:
    """A30, contract §4, OAuth 2.1 §4.1.1, TC-017."""
    client = await registered(running)
    await refused(
        running, request(client, response_type=value), param="response_type", code="unsupported_response_type"
    )


def _last_character_changed(client: OAuthClient) -> str:
    flipped = "A" if client.client_id[-1] != "A" else "B"
    return client.client_id[:-1] + flipped


UNKNOWN_CLIENTS: dict[str, Callable[[OAuthClient], str]] = {
    "one word": lambda _client: "x",
    "our prefix alone": lambda _client: "bfcl_",
    "our prefix and noise": lambda _client: "bfcl_" + RING.mac("noise", use="noise"),
    "without our prefix": lambda client: client.client_id.removeprefix("bfcl_"),
    "last character changed": _last_character_changed,
    "one character more": lambda client: client.client_id + "A",
    "one character less": lambda client: client.client_id[:-1],
    "padded": lambda client: client.client_id + "=",
    "space around": lambda client: f" {client.client_id} ",
    "other case": lambda client: client.client_id.swapcase(),
    "not base64": lambda client: client.client_id + "!",
    "longer than any id": lambda _client: "bfcl_" + "A" * 2_044,
    "SQL": lambda _client: "' OR '1'='1",
    "markup": lambda _client: "<script>alert(1)</script>",
    "number": lambda _client: "0",
}


@pytest.mark.parametrize("how", UNKNOWN_CLIENTS)
async def test_an_unknown_client_is_refused_without_a_way_back(running: TestGateway, how: str) -> None:
    """Contract §4, TC-015: whatever the redirect URI is, the page does not lead there."""
    client = await registered(running)
    wrong = UNKNOWN_CLIENTS[how](client)
    for uri in (APP_URI, "https://evil.test/", None):
        sent = request(client, client_id=wrong, redirect_uri=uri)
        page = await refused(running, sent, param="client_id", code="invalid_client")
        assert_no_way_back(page)


async def test_the_client_of_another_server_is_unknown(running: TestGateway) -> None:
    """Contract §3: an id is authenticated with the key ring; TC-015."""
    client = await registered(running)
    sealed = client.client_id.removeprefix("bfcl_")
    plain, _ = RING.open_name(sealed, use="client_id")
    foreign = "bfcl_" + type(RING)([b"z" * 32]).seal_name(plain, use="client_id")
    other_use = "bfcl_" + RING.seal_name(plain, use="client_secret")
    for wrong in (foreign, other_use):
        page = await refused(running, request(client, client_id=wrong), param="client_id", code="invalid_client")
        assert_no_way_back(page)


CHALLENGES: dict[str, Callable[[str], str]] = {
    "42 characters": lambda good: good[:-1],
    "44 characters": lambda good: good + "A",
    "padded": lambda good: good + "=",
    "128 characters": lambda good: (good * 3)[:128],
    "+": lambda good: "+" + good[1:],
    "/": lambda good: good[:-1] + "/",
    ".": lambda good: good[:10] + "." + good[11:],
    "~": lambda good: "~" + good[1:],
    "space": lambda good: " " + good[1:],
    "space after": lambda good: good + " ",
    "é": lambda good: "é" + good[1:],
    "full-width": lambda good: "\uff21" + good[1:],
    "a word": lambda _good: "challenge",
    "not the encoding of any 32 bytes": lambda good: good[:-1] + "B",
}


@pytest.mark.parametrize("how", CHALLENGES)
async def test_a_challenge_that_no_sha256_can_have_is_refused(running: TestGateway, how: str) -> None:
    """A29, contract §4: 43 characters of base64url that decode to 32 bytes; TC-025."""
    client = await registered(running)
    wrong = CHALLENGES[how](client.challenge)
    assert wrong != client.challenge
    await refused(running, request(client, code_challenge=wrong), param="code_challenge")


@pytest.mark.parametrize("value", ["plain", "s256", "S512", "S256 ", " S256", "S-256", "S256,plain", "none", "0"])
async def test_every_challenge_method_but_s256_is_refused(running: TestGateway, value: str) -> None:
    """A28, contract §4, TC-024."""
    client = await registered(running)
    await refused(running, request(client, code_challenge_method=value), param="code_challenge_method")


LADDER: tuple[tuple[str, str | bytes, str], ...] = (
    ("client_id", "nobody", "invalid_client"),
    ("redirect_uri", "https://evil.test/cb", "invalid_redirect_uri"),
    ("response_type", "token", "unsupported_response_type"),
    ("code_challenge", "challenge", "invalid_request"),
    ("resource", "https://evil.test/mcp", "invalid_target"),
    ("scope", b"%ff", "invalid_request"),
)


@pytest.mark.parametrize("step", range(len(LADDER)), ids=[name for name, _, _ in LADDER])
async def test_of_several_faults_the_first_in_the_order_of_checks_is_told(running: TestGateway, step: int) -> None:
    """Contract §4: repeated parameters, client, redirect URI, response type, PKCE, resource, scope."""
    client = await registered(running)
    name, _, code = LADDER[step]
    wrong = request(client, **{name: value for name, value, _ in LADDER[step:]})
    page = await refused(running, wrong, param=name, code=code)
    assert bool(page.links) == (name not in ("client_id", "redirect_uri"))
    page = await refused(running, wrong + b"&state=again", param="state")
    assert_no_way_back(page)


@pytest.mark.parametrize(
    ("accept", "person"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/plain, */*", False),
        ("application/json, text/html;q=0.5", False),
        ("text/html;q=0", False),
        ("image/avif,*/*;q=0.8", False),
        ("text/html", True),
        ("TEXT/HTML", True),
        ("text/html;q=0.9, application/json;q=0.2", True),
        ("text/html, application/xhtml+xml, image/jxr, */*", True),
        (PERSON[1], True),
    ],
)
async def test_a_page_is_for_whoever_prefers_one(running: TestGateway, accept: str | None, person: bool) -> None:
    """Contract §2: a browser is a request that prefers text/html."""
    answer = await ask(running, AUTHORIZE, headers=[("accept", accept)] if accept else [])
    assert_silent(answer)
    if person:
        assert_error_page(answer, status=400)
    else:
        assert_error_body(answer, status=400, code="invalid_request", param="client_id")


async def test_every_refusal_has_an_event_id_of_its_own(running: TestGateway) -> None:
    """Contract §2: the event id is the id of the request, whatever the request says it is."""
    answers = [
        await ask(running, AUTHORIZE, headers=[PROGRAM, ("x-request-id", "evt_forged")]) for _attempt in range(2)
    ]
    ids = {answer.json()["event_id"] for answer in answers}
    assert len(ids) == 2
    assert "evt_forged" not in ids


async def test_a_hostile_parameter_name_does_no_harm_in_the_answer(running: TestGateway) -> None:
    """Contract §2 and TC-075: what the request says is text."""
    name = b"%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"
    person = await ask(running, AUTHORIZE, name + b"=1&" + name + b"=2", headers=[PERSON])
    assert "img" not in person.text
    assert_no_way_back(assert_error_page(person, status=400))
    long = await ask(running, AUTHORIZE, b"n" * 5_000 + b"=1&" + b"n" * 5_000 + b"=2", headers=[PROGRAM])
    assert long.status_code == 400
    assert len(long.content) < 1_000
