"""Authorization codes at the token endpoint (contract §6)."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.flows._tokens import another_code, assert_token_headers, authorized, error_of, opens, signed_in
from tests.support import oauth
from tests.support.clock import FakeClock
from tests.support.gateway import ISSUER, KEY_ID, TestGateway, running_gateway, upstream

pytestmark = pytest.mark.anyio

VERIFIER = "x" * 43
TWO_URIS = {"redirect_uris": [oauth.REDIRECT_URI, "https://app.example/cb"]}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no verifier": ({"code_verifier": None}, "invalid_grant"),
    "an empty verifier": ({"code_verifier": ""}, "invalid_grant"),
    "another verifier": ({"code_verifier": VERIFIER}, "invalid_grant"),
    "a short verifier": ({"code_verifier": "x" * 42}, "invalid_grant"),
    "a long verifier": ({"code_verifier": "x" * 129}, "invalid_grant"),
    "a verifier that is not ASCII": ({"code_verifier": "é" * 43}, "invalid_grant"),
    "another redirect URI": ({"redirect_uri": "https://app.example/cb"}, "invalid_grant"),
    "another port": ({"redirect_uri": oauth.REDIRECT_URI.replace("33418", "33419")}, "invalid_grant"),
    "a redirect URI with a slash more": ({"redirect_uri": f"{oauth.REDIRECT_URI}/"}, "invalid_grant"),
    "a foreign resource": ({"resource": "https://evil.test/mcp"}, "invalid_target"),
    "a resource with a fragment": ({"resource": f"{ISSUER}/mcp#x"}, "invalid_target"),
    "a relative resource": ({"resource": "/mcp"}, "invalid_target"),
    "a resource that is no endpoint": ({"resource": f"{ISSUER}/api"}, "invalid_target"),
    "a resource that only begins like ours": ({"resource": f"{ISSUER}.evil.test/mcp"}, "invalid_target"),
    "two resources": ({"resource": [f"{ISSUER}/mcp", "https://evil.test/mcp"]}, "invalid_target"),
}


@pytest.mark.parametrize(("changes", "error"), WRONG.values(), ids=WRONG)
async def test_a_wrong_request_is_refused_and_does_not_burn_the_code(
    running: TestGateway, changes: dict[str, Any], error: str
) -> None:
    """A52, TC-028, contract §6, TC-026, TC-027, TC-038, TC-049: everything is checked before the code is claimed."""
    client, code = await authorized(running, metadata=TWO_URIS)
    assert error_of(await client.redeem(code, **changes)) == error
    assert await running.rows("access_tokens") == []
    assert (await client.redeem(code)).status_code == 200


SHAPED: dict[str, Callable[[oauth.OAuthClient], str]] = {
    "the challenge itself": lambda client: client.challenge,
    "padded": lambda client: f"{client.verifier}=",
    "with a newline": lambda client: f"{client.verifier}\n",
    "with a space": lambda client: f"{client.verifier} ",
    "in another case": lambda client: client.verifier.swapcase(),
    "cut": lambda client: client.verifier[:-1],
}


@pytest.mark.parametrize("shape", SHAPED.values(), ids=SHAPED)
async def test_what_only_looks_like_the_verifier_is_refused(
    running: TestGateway, shape: Callable[[oauth.OAuthClient], str]
) -> None:
    """A29, A56, TC-027."""
    client, code = await authorized(running)
    assert error_of(await client.redeem(code, code_verifier=shape(client))) in ("invalid_grant", "invalid_request")
    assert (await client.redeem(code)).status_code == 200


@pytest.mark.parametrize(
    "resource",
    [
        None,
        f"{ISSUER}/mcp",
        f"{ISSUER}/mcp/",
        "HTTP://LocalHost:8080/mcp",
        ISSUER,
        f"{ISSUER}/",
        [f"{ISSUER}/mcp", f"{ISSUER}/mcp/"],
        "http://127.0.0.1:8080/mcp",
    ],
)
async def test_every_spelling_of_the_resource_is_the_same_resource(running: TestGateway, resource: Any) -> None:
    """Contract §4, TC-049: case of scheme and host, one trailing slash, a bare origin, and absence mean /mcp."""
    client, code = await authorized(running)
    answer = await client.redeem(code, resource=resource)
    assert answer.status_code == 200
    assert await opens(running, answer.json()["access_token"]) == 200


async def test_the_redirect_uri_may_be_left_out_or_repeated_as_it_was(running: TestGateway) -> None:
    """A57, contract §6, R30: checked when sent, with the port of the request and not that of the registration."""
    asked = oauth.REDIRECT_URI.replace("33418", "50999")
    for sent, status in ((asked, 200), (None, 200), (oauth.REDIRECT_URI, 400)):
        client, code = await authorized(running, redirect_uri=asked)
        assert (await client.redeem(code, redirect_uri=sent)).status_code == status


@pytest.mark.parametrize(("failures", "status"), [(4, 200), (5, 400), (6, 400)])
async def test_five_failed_attempts_burn_the_code(running: TestGateway, failures: int, status: int) -> None:
    """Contract §6, TC-030."""
    client, code = await authorized(running)
    for _ in range(failures):
        assert error_of(await client.redeem(code, code_verifier=VERIFIER)) == "invalid_grant"
    answer = await client.redeem(code)
    assert answer.status_code == status
    assert len(await running.rows("access_tokens")) == (status == 200)
    (grant,) = await running.rows("grants")
    assert grant["revoked_reason"] is None, "a guess is no replay"


async def test_attempts_of_every_kind_are_counted_together(running: TestGateway) -> None:
    """TC-030: changing what is wrong gives no new guesses."""
    client, code = await authorized(running, metadata=TWO_URIS)
    thief = await oauth.register(running.http, client_name="Thief")
    for changes in ({"code_verifier": None}, {"redirect_uri": "x"}, {"resource": "https://evil.test"}):
        assert (await client.redeem(code, **changes)).status_code == 400
    for _ in range(2):
        assert error_of(await thief.redeem(code)) == "invalid_grant"
    assert error_of(await client.redeem(code)) == "invalid_grant"


async def test_a_code_of_another_client_is_refused_and_stays_good_for_its_own(running: TestGateway) -> None:
    """A39, TC-036, also with the right verifier."""
    client, code = await authorized(running)
    thief = await oauth.register(running.http, client_name="Thief")
    assert error_of(await thief.redeem(code, code_verifier=client.verifier)) == "invalid_grant"
    assert (await client.redeem(code)).status_code == 200


@pytest.mark.parametrize("seconds", [0, 1, 30, 299, 300, 3_600])
async def test_a_valid_replay_takes_back_everything_the_code_gave(
    running: TestGateway, clock: FakeClock, seconds: int
) -> None:
    """A39, contract §6, TC-033: the access token gets 401 at /mcp, the refresh token invalid_grant."""
    client, code = await authorized(running)
    tokens = (await client.redeem(code)).json()
    clock.advance(seconds=seconds)
    assert await opens(running, tokens["access_token"]) == 200
    assert error_of(await client.redeem(code)) == "invalid_grant"
    assert await opens(running, tokens["access_token"]) == 401
    assert error_of(await client.refresh(tokens["refresh_token"])) == "invalid_grant"
    (grant,) = await running.rows("grants")
    assert grant["revoked_reason"] == "authorization_code_replayed"


async def test_a_valid_replay_reaches_the_tokens_of_later_refreshes(running: TestGateway) -> None:
    """Contract §6: the whole grant, not only the first pair."""
    client, code = await authorized(running)
    tokens = (await client.redeem(code)).json()
    later = (await client.refresh(tokens["refresh_token"])).json()
    await client.redeem(code)
    assert await opens(running, later["access_token"]) == 401
    assert error_of(await client.refresh(later["refresh_token"])) == "invalid_grant"


@pytest.mark.parametrize("changes", [{"code_verifier": VERIFIER}, {"code_verifier": None}, {"redirect_uri": "x"}])
async def test_an_invalid_replay_changes_nothing(running: TestGateway, changes: dict[str, Any]) -> None:
    """Contract §6, TC-034: whoever saw a code cannot end the session with it, however often they try."""
    client, code = await authorized(running)
    tokens = (await client.redeem(code)).json()
    for _ in range(7):
        assert error_of(await client.redeem(code, **changes)) == "invalid_grant"
    assert await opens(running, tokens["access_token"]) == 200
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200


async def test_a_replay_by_another_client_changes_nothing(running: TestGateway) -> None:
    """TC-034, also with the right verifier."""
    client, code = await authorized(running)
    tokens = (await client.redeem(code)).json()
    thief = await oauth.register(running.http, client_name="Thief")
    assert error_of(await thief.redeem(code, code_verifier=client.verifier)) == "invalid_grant"
    assert await opens(running, tokens["access_token"]) == 200


async def test_a_replay_is_noticed_after_a_restart(sqlite_url: str, tmp_path: Path) -> None:
    """TC-050: that a code was used is remembered durably."""
    async with running_gateway(sqlite_url, tmp_path) as running:
        client, code = await authorized(running)
        tokens = (await client.redeem(code)).json()
    async with running_gateway(sqlite_url, tmp_path) as running:
        client.http = running.http
        assert await opens(running, tokens["access_token"]) == 200
        assert error_of(await client.redeem(code)) == "invalid_grant"
        assert await opens(running, tokens["access_token"]) == 401


@pytest.mark.parametrize(("seconds", "status"), [(299, 200), (300, 400), (301, 400)])
async def test_a_code_lives_for_five_minutes(running: TestGateway, clock: FakeClock, seconds: int, status: int) -> None:
    """A39, contract §5, TC-039. Who comes too late is not taken for a thief."""
    client, code = await authorized(running)
    clock.advance(seconds=seconds)
    assert (await client.redeem(code)).status_code == status
    (grant,) = await running.rows("grants")
    assert grant["revoked_reason"] is None


async def test_a_code_must_be_fresh_and_its_clients_both_at_once(running: TestGateway, clock: FakeClock) -> None:
    """TC-039: fresh but foreign, and foreign and expired, are refused as well."""
    client, code = await authorized(running)
    thief = await oauth.register(running.http, client_name="Thief")
    thief.verifier = client.verifier
    assert error_of(await thief.redeem(code)) == "invalid_grant"
    clock.advance(seconds=301)
    assert error_of(await thief.redeem(code)) == "invalid_grant"


@pytest.mark.parametrize("code", ["bfac_unknown", "x", "' OR 1=1--", "bfac_%", "é", "y" * 4_000])
async def test_an_unknown_code_is_an_invalid_grant(running: TestGateway, code: str) -> None:
    """RFC 6749 §5.2."""
    client = await oauth.register(running.http)
    assert error_of(await client.redeem(code)) == "invalid_grant"


async def test_what_is_stored_of_a_code_is_no_code(running: TestGateway) -> None:
    """TC-179: only a hash is stored, and the hash opens nothing."""
    client, code = await authorized(running)
    (row,) = await running.rows("authorization_codes")
    assert code not in repr(row)
    assert client.verifier not in repr(row)
    assert error_of(await client.redeem(row["code_hash"])) == "invalid_grant"


async def test_the_code_is_missing(running: TestGateway) -> None:
    """RFC 6749 §5.2."""
    client = await oauth.register(running.http)
    for form in ({}, {"code": ""}):
        answer = await client.token(grant_type="authorization_code", code_verifier=client.verifier, **form)
        assert error_of(answer) == "invalid_request"


@pytest.mark.parametrize("sent", ["mcp:read mcp:write", "mcp:write", "admin", " ".join(["x"] * 200), "a\tb"])
async def test_a_scope_at_the_token_endpoint_never_widens_the_code(running: TestGateway, sent: str) -> None:
    """TC-048: the code was granted for reading; nothing that is sent with it makes it more."""
    client, code = await authorized(running, scope="mcp:read")
    answer = await client.redeem(code, scope=sent)
    if answer.status_code == 200:
        assert answer.json()["scope"] == "mcp:read"
    else:
        assert error_of(answer) in ("invalid_scope", "invalid_request")


async def test_unknown_and_empty_parameters_are_ignored(running: TestGateway) -> None:
    """A50, OAuth 2.1 §3.2, TC-046."""
    client, code = await authorized(running, scope="", extra="foobar")
    answer = await client.redeem(code, extra="foobar", redirect_uri="", resource="", scope="")
    assert answer.status_code == 200
    assert answer.json()["scope"] == "mcp:read mcp:write"


async def test_a_token_response_names_everything_and_is_kept_by_nobody(running: TestGateway) -> None:
    """Contract §6, TC-043, TC-044: opaque, prefixed, at least 160 random bits, and named scope and lifetime.

    A51, A54.
    """
    client, code = await authorized(running, scope="mcp:read openid")
    assert code.startswith("bfac_")
    answer = await client.redeem(code)
    assert_token_headers(answer)
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 86_400, "mcp:read")
    for token, prefix in ((body["access_token"], "bfat_"), (body["refresh_token"], "bfrt_"), (code, "bfac_")):
        assert token.startswith(prefix)
        assert len(token.removeprefix(prefix)) >= 27


async def test_two_grants_of_one_client_live_side_by_side(running: TestGateway) -> None:
    """R11: signing in again does not silently end the older session."""
    client, first = await signed_in(running)
    second = (await client.redeem(await another_code(running, client))).json()
    for tokens in (first, second):
        assert await opens(running, tokens["access_token"]) == 200
        assert (await client.refresh(tokens["refresh_token"])).status_code == 200


async def test_a_code_for_one_endpoint_gives_a_token_for_that_endpoint_only(sqlite_url: str, tmp_path: Path) -> None:
    """Contract §6, R73: the token is bound to the resource of the request, and the token request cannot change it."""
    notes = upstream("notes", "http://127.0.0.1:9/mcp")
    async with running_gateway(sqlite_url, tmp_path, mcp={"client_configs": [notes]}) as running:
        client, code = await authorized(running, resource=f"{ISSUER}/mcp/notes")
        for resource in (f"{ISSUER}/mcp", ISSUER):
            assert error_of(await client.redeem(code, resource=resource)) == "invalid_target"
        token = (await client.redeem(code)).json()["access_token"]
        assert (await opens(running, token, "/mcp/notes"), await opens(running, token)) == (200, 401)


async def test_a_code_of_a_key_that_was_switched_off_is_not_redeemed_meanwhile(running: TestGateway) -> None:
    """Contract §6: a deactivated key ends what hangs on it at once; the code is as it was when the key comes back."""
    key = f"/api/governance/virtual-keys/{KEY_ID}"
    async with running.browser() as browser, running.administrator() as administrator:
        client, code = await oauth.authorized(running.http, browser)
        await administrator.put(key, json={"is_active": False})
        for _ in range(6):
            assert error_of(await client.redeem(code)) == "invalid_grant"
        assert await running.rows("access_tokens") == []
        await administrator.put(key, json={"is_active": True})
        assert (await client.redeem(code)).status_code == 200


async def test_a_code_says_nothing_about_what_it_is_bound_to(running: TestGateway) -> None:
    """A42, OAuth 2.1 §4.1.2: neither challenge nor verifier, in whatever form; a random value and no more."""
    client, code = await authorized(running)
    another = await another_code(running, client)
    assert code != another
    for secret in (client.verifier, client.challenge, client.client_id):
        hashed = urlsafe_b64encode(sha256(secret.encode()).digest()).decode().rstrip("=")
        assert secret not in code
        assert hashed not in code


async def test_a_replay_takes_everything_back_while_the_key_is_switched_off_as_well(running: TestGateway) -> None:
    """Contract §6, TC-033: or the thief's tokens would come alive again together with the key."""
    client, code = await authorized(running)
    assert (await client.redeem(code)).status_code == 200
    await running.gateway.virtual_keys.revoke(KEY_ID)
    assert error_of(await client.redeem(code)) == "invalid_grant"
    (grant,) = await running.rows("grants")
    assert grant["revoked_reason"] == "authorization_code_replayed"


async def test_of_many_that_redeem_a_code_at_once_at_most_one_is_given_tokens(running: TestGateway) -> None:
    """Contract §6, TC-033: whoever was slower is told that the code is used, and shows that two hold it."""
    client, code = await authorized(running)
    answers = await asyncio.gather(*(client.redeem(code) for _ in range(10)))
    given = [answer.json()["access_token"] for answer in answers if answer.status_code == 200]
    assert len(given) == 1
    assert {error_of(answer) for answer in answers if answer.status_code != 200} == {"invalid_grant"}
    assert await opens(running, given[0]) == 401
