"""Who may ask the token endpoint, and in which form (contract §6, RFC 6749 §2.3.1)."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from tests.flows._tokens import (
    FORM,
    another_code,
    assert_token_headers,
    authorized,
    basic,
    basic_raw,
    error_of,
    secret_of,
    signed_in,
)
from tests.support import oauth
from tests.support.gateway import TestGateway, running_gateway

pytestmark = pytest.mark.anyio

METHODS = ("client_secret_post", "client_secret_basic")
Pairs = list[tuple[str, str]]


def _grant(client: oauth.OAuthClient, code: str) -> dict[str, str]:
    return {"grant_type": "authorization_code", "code": code, "code_verifier": client.verifier}


async def _post(running: TestGateway, form: dict[str, Any] | Pairs, *authorization: str) -> httpx2.Response:
    body = urlencode(form if isinstance(form, list) else list(form.items()))
    headers = [("Content-Type", FORM), *(("Authorization", value) for value in authorization)]
    return await running.http.post(oauth.TOKEN, content=body, headers=headers)


async def test_a_client_must_say_who_it_is(running: TestGateway) -> None:
    """Contract §6, TC-037, D6: client_id is required, and its absence does not touch the code."""
    client, code = await authorized(running)
    assert error_of(await _post(running, _grant(client, code))) == "invalid_request"
    assert error_of(await _post(running, {**_grant(client, code), "client_id": ""})) == "invalid_request"
    assert (await client.redeem(code)).status_code == 200


@pytest.mark.parametrize("client_id", ["unknown", "bfcl_unknown", "https://evil.test/client.json", "x" * 4_000, "é"])
async def test_an_unknown_client_is_a_401(running: TestGateway, client_id: str) -> None:
    """A52, contract §6, R15: invalid_client, so that the client registers again; no challenge unless Basic was used."""
    client, code = await authorized(running)
    answer = await client.redeem(code, client_id=client_id)
    assert error_of(answer, 401) == "invalid_client"
    assert "www-authenticate" not in answer.headers
    answer = await _post(running, _grant(client, code), basic(client_id, "x"))
    assert error_of(answer, 401) == "invalid_client"
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert (await client.redeem(code)).status_code == 200


async def test_a_damaged_client_id_is_unknown_whatever_is_damaged(running: TestGateway) -> None:
    """Contract §3: the id is sealed; cut anywhere or changed anywhere it is no client, and never a fault of ours."""
    client, code = await authorized(running)
    whole = client.client_id
    damaged = [whole[:length] for length in range(1, len(whole))]
    damaged += [f"{whole[:at]}{'A' if whole[at] != 'A' else 'B'}{whole[at + 1 :]}" for at in range(len(whole))]
    damaged += [f"{whole}A", f"{whole}=", f"{whole}\u00e9", whole.swapcase()]
    for client_id in damaged:
        assert error_of(await client.redeem(code, client_id=client_id), 401) == "invalid_client", client_id
    assert (await client.redeem(code)).status_code == 200


GARBAGE = {
    "no base64": "Basic %%%",
    "a NUL in the name": basic("a\x00", "secret"),
    "a line feed in the secret": basic("client", "sec\nret"),
    "no value": "Basic",
    "no colon": basic_raw(b"client"),
    "no id": basic_raw(b":secret"),
    "not UTF-8": basic_raw(b"\xff\xfe:x"),
    "a broken escape": basic_raw(b"%zz:%"),
    "an escape that is not UTF-8": basic_raw(b"%ff:x"),
    "NUL": basic_raw(b"\x00:\x00"),
    "another scheme": "Bearer abc",
    "no scheme": "abc",
    "long": basic_raw(b"x" * 6_000 + b":y"),
}


@pytest.mark.parametrize("value", GARBAGE.values(), ids=GARBAGE)
async def test_a_broken_authorization_header_is_a_401_with_a_challenge(running: TestGateway, value: str) -> None:
    """A52, TC-047: never a 500, never ignored in favour of the body."""
    client, code = await authorized(running)
    answer = await _post(running, _grant(client, code), value)
    assert error_of(answer, 401) == "invalid_client"
    assert answer.headers["www-authenticate"].startswith("Basic ")
    beside = await _post(running, {**_grant(client, code), "client_id": client.client_id}, value)
    assert error_of(beside, beside.status_code) in ("invalid_client", "invalid_request")
    assert (await client.redeem(code)).status_code == 200


async def test_two_authorization_headers_are_refused(running: TestGateway) -> None:
    """OAuth 2.1 §2.4: one way of authentication."""
    client, code = await authorized(running)
    value = basic(client.client_id, "")
    answer = await _post(running, _grant(client, code), value, value)
    assert error_of(answer, 401) == "invalid_client"


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_a_public_client_may_name_itself_by_basic_without_a_secret(running: TestGateway, scheme: str) -> None:
    """R22, TC-047: the scheme's name has no case; the body need not repeat the id."""
    client, code = await authorized(running)
    value = basic(client.client_id, "").replace("Basic", scheme)
    assert (await _post(running, _grant(client, code), value)).status_code == 200


async def test_a_public_client_has_no_secret_that_could_be_right(running: TestGateway) -> None:
    """RFC 6749 §2.3: a secret by Basic for a client without one does not authenticate it."""
    client, code = await authorized(running)
    assert (
        error_of(await _post(running, _grant(client, code), basic(client.client_id, "guess")), 401) == "invalid_client"
    )


@pytest.mark.parametrize("method", METHODS)
async def test_a_confidential_client_authenticates_by_post_or_basic(running: TestGateway, method: str) -> None:
    """A53, contract §3, R21, R22: with the id in the body beside Basic, or without."""
    client, code = await authorized(running, metadata={"token_endpoint_auth_method": method})
    secret = client.registration["client_secret"]
    authorization = basic(client.client_id, secret)
    form, by_id = _grant(client, code), {"client_id": client.client_id}
    answers = [await _post(running, form, authorization)]
    form = _grant(client, await another_code(running, client))
    answers.append(await _post(running, form | by_id, authorization))
    if method == "client_secret_post":
        form = _grant(client, await another_code(running, client))
        answers.append(await _post(running, form | by_id | {"client_secret": secret}))
    assert [answer.status_code for answer in answers] == [200] * len(answers)


async def test_the_parts_of_basic_are_form_urlencoded(running: TestGateway) -> None:
    """RFC 6749 §2.3.1, R22: escapes that were not needed mean the same."""
    client, code = await authorized(running, metadata={"token_endpoint_auth_method": METHODS[1]})
    escaped = [
        "".join(f"%{ord(character):02x}" for character in part)
        for part in (client.client_id, client.registration["client_secret"])
    ]
    answer = await _post(running, _grant(client, code), basic_raw(":".join(escaped).encode()))
    assert answer.status_code == 200


async def test_a_secret_is_known_as_widely_used_clients_send_it(sqlite_url: str, tmp_path: Path) -> None:
    """Ours: the SDK of MCP for TypeScript encodes nothing, and secrets that people draw in base64 have a +."""
    secret = "a+secret/drawn=in+base64%2B0123"
    client = {"client_id": "n8n", "client_name": "n8n", "redirect_uris": [oauth.REDIRECT_URI], "client_secret": secret}
    async with running_gateway(sqlite_url, tmp_path, client={"registered_clients": [client]}) as running:
        form = {"grant_type": "refresh_token", "refresh_token": "bfrt_unknown"}
        for authorization in (basic("n8n", secret), basic_raw(f"n8n:{secret}".encode())):
            assert error_of(await _post(running, form, authorization)) == "invalid_grant"
        wrong = basic("n8n", secret.replace("+", " "))
        assert error_of(await _post(running, form, wrong), 401) == "invalid_client"


async def test_basic_and_body_must_name_the_same_client_and_one_secret(running: TestGateway) -> None:
    """A53, R22: two different ids or two secrets are an invalid_request; the code is not touched."""
    client, code = await authorized(running, metadata={"token_endpoint_auth_method": METHODS[1]})
    other = await oauth.register(running.http, client_name="Other")
    authorization = basic(client.client_id, client.registration["client_secret"])
    for added in ({"client_id": other.client_id}, secret_of(client), {"client_secret": "another"}):
        assert error_of(await _post(running, {**_grant(client, code), **added}, authorization)) == "invalid_request"
    assert (await _post(running, _grant(client, code), authorization)).status_code == 200


@pytest.mark.parametrize("method", METHODS)
async def test_a_confidential_client_without_its_secret_is_refused(running: TestGateway, method: str) -> None:
    """A55: no secret, a wrong one, a cut one, another client's; the code is not touched and not counted."""
    client, code = await authorized(running, metadata={"token_endpoint_auth_method": method})
    other = await oauth.register(running.http, token_endpoint_auth_method=method)
    secret = client.registration["client_secret"]
    wrong = ["", "wrong", secret[:-1], f"{secret}x", secret.swapcase(), other.registration["client_secret"], "é"]
    for guess in wrong:
        answer = await _post(running, {**_grant(client, code), "client_id": client.client_id, "client_secret": guess})
        assert error_of(answer, 401) == "invalid_client"
        assert "www-authenticate" not in answer.headers
        answer = await _post(running, _grant(client, code), basic(client.client_id, guess))
        assert error_of(answer, 401) == "invalid_client"
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert (await client.redeem(code, client_secret=secret)).status_code == 200


async def test_refreshing_needs_the_secret_too(running: TestGateway) -> None:
    """A55: and without it the refresh token is not used up."""
    client, tokens = await signed_in(running, metadata={"token_endpoint_auth_method": METHODS[0]})
    assert error_of(await client.refresh(tokens["refresh_token"]), 401) == "invalid_client"
    assert (await client.refresh(tokens["refresh_token"], **secret_of(client))).status_code == 200


@pytest.mark.parametrize(
    ("grant_type", "error"),
    [
        (None, "invalid_request"),
        ("", "invalid_request"),
        ("password", "unsupported_grant_type"),
        ("client_credentials", "unsupported_grant_type"),
        ("implicit", "unsupported_grant_type"),
        ("urn:ietf:params:oauth:grant-type:token-exchange", "unsupported_grant_type"),
        ("urn:ietf:params:oauth:grant-type:jwt-bearer", "unsupported_grant_type"),
        ("AUTHORIZATION_CODE", "unsupported_grant_type"),
        ("authorization_code ", "unsupported_grant_type"),
    ],
)
async def test_only_two_grant_types_are_offered(running: TestGateway, grant_type: str | None, error: str) -> None:
    """A52, A62, X1, X3, X5, contract §6, TC-040."""
    client, code = await authorized(running)
    assert error_of(await client.redeem(code, grant_type=grant_type)) == error
    assert (await client.redeem(code)).status_code == 200


@pytest.mark.parametrize("name", ["grant_type", "code", "code_verifier", "client_id", "redirect_uri", "extra"])
async def test_a_repeated_parameter_is_refused(running: TestGateway, name: str) -> None:
    """TC-040, OAuth 2.1 §3.2, A50: whichever it is, and also when both say the same."""
    client, code = await authorized(running)
    fields = {**_grant(client, code), "client_id": client.client_id, "redirect_uri": oauth.REDIRECT_URI, "extra": "x"}
    pairs = [*fields.items(), (name, fields[name])]
    assert error_of(await _post(running, pairs)) == "invalid_request"
    assert (await client.redeem(code)).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "",
        None,
        f"application/json, {FORM}",
        f"{FORM}, application/json",
        f"{FORM};charset=utf-7",
        "a/b;" + "x" * 5_000,
        "application/x-www-form-urlencoded-evil",
    ],
)
async def test_only_a_form_is_read(running: TestGateway, content_type: str | None) -> None:
    """TC-041: 400 or 415, never a second reading of the same bytes, never a 500."""
    client, code = await authorized(running)
    body = urlencode({**_grant(client, code), "client_id": client.client_id}).encode()
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await running.http.post(oauth.TOKEN, content=body, headers=headers)
    assert answer.status_code in (400, 415)
    assert error_of(answer, answer.status_code) == "invalid_request"
    assert (await client.redeem(code)).status_code == 200


@pytest.mark.parametrize("content_type", [f"{FORM};charset=UTF-8", f"{FORM}; charset=utf-8", FORM.title()])
async def test_usual_spellings_of_the_content_type_are_read(running: TestGateway, content_type: str) -> None:
    """RFC 9110 §8.3.1: media types have no case, and clients add their charset."""
    client, code = await authorized(running)
    body = urlencode({**_grant(client, code), "client_id": client.client_id}).encode()
    answer = await running.http.post(oauth.TOKEN, content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 200


async def test_nothing_secret_is_read_from_the_url(running: TestGateway) -> None:
    """A53, contract §6, TC-042: refused, so that a client that leaks into logs is noticed."""
    client, tokens = await signed_in(running, metadata={"token_endpoint_auth_method": METHODS[0]})
    code = await another_code(running, client)
    secrets = {
        "code": code,
        "code_verifier": client.verifier,
        "client_secret": client.registration["client_secret"],
        "refresh_token": tokens["refresh_token"],
    }
    form = {**_grant(client, code), "client_id": client.client_id, **secret_of(client)}
    for name, value in secrets.items():
        body = {key: text for key, text in form.items() if key != name}
        answer = await running.http.post(oauth.TOKEN, params={name: value}, data=body)
        assert error_of(answer) == "invalid_request", name
        answer = await running.http.post(oauth.TOKEN, params={name: value}, data=form)
        assert error_of(answer) == "invalid_request", name
    assert error_of(await running.http.post(oauth.TOKEN, params=form)) == "invalid_request"
    assert (await client.redeem(code, **secret_of(client))).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
async def test_the_token_endpoint_answers_to_post_only(running: TestGateway, method: str) -> None:
    """TC-042, A50: 405 with Allow."""
    client, code = await authorized(running)
    answer = await running.http.request(method, oauth.TOKEN, params=_grant(client, code))
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["cache-control"] == "no-store"


async def test_every_answer_forbids_storing_it(running: TestGateway) -> None:
    """A51, TC-043: registrations and errors included."""
    registered = await running.http.post(oauth.REGISTER, json={"redirect_uris": [oauth.REDIRECT_URI]})
    assert_token_headers(registered)
    for answer in (
        await running.http.post(oauth.REGISTER, json={}),
        await running.http.post(oauth.REGISTER, content=b"{", headers={"Content-Type": "application/json"}),
        await running.http.get(oauth.REGISTER),
        await running.http.post(oauth.TOKEN),
        await running.http.post(oauth.TOKEN, data={"a": "x" * 70_000}),
    ):
        error_of(answer, answer.status_code)


async def test_storage_that_does_not_answer_is_a_503_and_keeps_the_code(running: TestGateway) -> None:
    """Contract §2: the client may simply try again."""
    client, code = await authorized(running)
    await running.gateway.database.close()
    answer = await client.redeem(code)
    assert error_of(answer, 503) == "temporarily_unavailable"
    assert int(answer.headers["retry-after"]) > 0
    await running.gateway.database.open()
    assert (await client.redeem(code)).status_code == 200


async def test_the_root_alias_is_the_same_endpoint(running: TestGateway) -> None:
    """Contract §1, R44: for clients that skip discovery, errors included."""
    client, code = await authorized(running)
    form = {**_grant(client, code), "client_id": client.client_id}
    wrong = await running.http.post("/token", data={**form, "code_verifier": "x" * 43})
    assert error_of(wrong) == "invalid_grant"
    assert (await running.http.get("/token")).headers["allow"] == "POST"
    answer = await running.http.post("/token", data=form)
    assert_token_headers(answer)
    refreshed = await running.http.post(
        "/token",
        data={
            "grant_type": "refresh_token",
            "refresh_token": answer.json()["refresh_token"],
            "client_id": client.client_id,
        },
    )
    assert refreshed.status_code == 200


async def test_bytes_that_are_no_form_are_refused(running: TestGateway) -> None:
    """TC-041: broken escapes, bytes that are not UTF-8, control characters, too many fields."""
    client, code = await authorized(running)
    good = urlencode({**_grant(client, code), "client_id": client.client_id}).encode()
    code_field = b"code=" + code.encode()
    for bad in (
        b"code=%zz",
        b"code=%ff%fe",
        b"code=%00",
        b"code=\xff",
        b"&".join(b"a%d=1" % n for n in range(100_000)),
    ):
        body = good.replace(code_field, bad)[:60_000]
        answer = await running.http.post(oauth.TOKEN, content=body, headers={"Content-Type": FORM})
        assert answer.status_code in (400, 413)
        assert error_of(answer, answer.status_code) == "invalid_request"
    assert (await client.redeem(code)).status_code == 200
