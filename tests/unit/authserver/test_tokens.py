"""Tokens: for how long and for whom they are made, and when they are good (contract §6)."""

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from bifrost.authserver.models import AccessTokenRow, AuthServerConfig, Client, Grant, NewTokens, TokenResponse
from bifrost.authserver.tokens import Tokens
from bifrost.base.ids import hash_secret
from bifrost.identity.models import AccessTokenFacts, Identity, Standing
from bifrost.protocol import oauth
from tests.support.clock import FakeClock

EARLIER = "ZQWoWy9_9QQqdlshr26bXTbHcuzf_IaM0w1ui4aN2723dd0N5KpuaxjPLxy6eaKbZUemUR9kXVVDJD-DsWvS"
"""Of a version that bound no token to a key."""
BOUND = "MYIt8o49F0oQMcMo9e1pbIp2uQ1EheyRf4gkWb_2rOEuPskr-uKx14uYR2Si7Dh0Gq2-WGgakZUVWXR9jttJiAjVF9qavOI"

NOW = 2_000
ANN = Identity("user", "ann")
CONFIG = AuthServerConfig(
    issuer="https://bifrost.test",
    allow_anonymous=False,
    access_token_seconds=60,
    refresh_token_idle_seconds=600,
    refresh_token_absolute_seconds=6_000,
)
PUBLIC = Client(
    client_id="app", client_name="An app", redirect_uris=(), grant_types=(), token_endpoint_auth_method=oauth.NONE
)
CONFIDENTIAL = replace(PUBLIC, token_endpoint_auth_method=oauth.CLIENT_SECRET_POST)
GRANT = Grant(
    id="g", client_id="app", identity=ANN, scope="mcp:read", resource="/mcp/notes", created_at=0, expires_at=0
)
STANDING = Standing()


class _World:
    """What tokens stand on: a store that has one grant and one token, who has a standing, and a key that signs."""

    def __init__(self, row: AccessTokenRow | None = None, standing: Standing | None = STANDING) -> None:
        self.row, self.stands = row, standing
        self.looked_up: list[str] = []

    async def access_token(self, token_hash: str) -> AccessTokenRow | None:
        self.looked_up.append(token_hash)
        return self.row

    async def grant(self, grant_id: str) -> Grant | None:
        return GRANT if grant_id == GRANT.id else None

    async def standing(self, identity: Identity) -> Standing | None:
        return self.stands if identity == ANN else None

    async def sign(self, claims: dict[str, Any]) -> str:
        return "eyJ" + json.dumps(claims)


def _row(**changes: Any) -> AccessTokenRow:
    facts = {"scope": "mcp:read", "created_at": 0, "expires_at": NOW + 1, "grant_id": "g", "client_id": "app"}
    more = {"identity": ANN, "resource": "/mcp/notes", "revoked_at": None, "jkt": "thumb"}
    return AccessTokenRow(**{**facts, **more, **changes})


def _tokens(world: _World | None = None, **config: Any) -> Tokens:
    anything = cast("Any", world)
    return Tokens(anything, anything, replace(CONFIG, **config), FakeClock(NOW), anything)


async def _minted(client: Client = PUBLIC, **changes: Any) -> tuple[TokenResponse, NewTokens]:
    given: dict[str, Any] = {"jkt": "", "with_refresh": True, "grant_id": "g", **changes}
    config = {
        "jwt_for": given.pop("jwt_for", frozenset()),
        "refresh_token_absolute_seconds": given.pop("absolute", 6_000),
    }
    return await _tokens(_World(), **config).mint(client, scope="mcp:read", **given)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("ends", "lives", "access_ends", "refresh_ends", "grant_ends"),
    [
        (None, 60, 62_000, 602_000, 6_002_000),
        (1_000_000, 60, 62_000, 602_000, 1_000_000),
        (500_000, 60, 62_000, 500_000, 500_000),
        (32_500, 30, 32_500, 32_500, 32_500),
    ],
)
async def test_no_token_outlives_its_grant(
    ends: int | None, lives: int, access_ends: int, refresh_ends: int, grant_ends: int
) -> None:
    """Contract §6: idle and absolute expiry; what is told to the client is never more than is kept."""
    response, new = await _minted(grant_expires_at=ends)
    assert new.refresh
    assert (new.access.expires_at, new.refresh.expires_at, new.grant_expires_at) == (
        access_ends,
        refresh_ends,
        grant_ends,
    )
    assert (new.access.created_at, new.refresh.created_at, response.expires_in) == (NOW, NOW, lives)


@pytest.mark.anyio
async def test_what_is_stored_is_of_what_the_client_gets() -> None:
    """Contract §6: hashes, on one grant."""
    response, new = await _minted()
    assert response.access_token.startswith("bfat_")
    assert (response.refresh_token or "").startswith("bfrt_")
    assert new.refresh
    assert new.access.token_hash == hash_secret(response.access_token)
    assert new.refresh.token_hash == hash_secret(response.refresh_token or "")
    assert (new.access.grant_id, new.refresh.grant_id) == ("g", "g")
    assert (new.access.scope, response.scope) == ("mcp:read", "mcp:read")


@pytest.mark.anyio
@pytest.mark.parametrize(("absolute", "ends"), [(6_000, 62_000), (50, 52_000)])
async def test_a_grant_that_nothing_renews_ends_with_its_token(absolute: int, ends: int) -> None:
    """OAuth 2.1 §4.3: no refresh token where none is wanted, and then nothing to keep the grant for."""
    response, new = await _minted(with_refresh=False, absolute=absolute)
    assert (response.refresh_token, new.refresh) == (None, None)
    assert (new.access.expires_at, new.grant_expires_at) == (ends, ends)


@pytest.mark.anyio
async def test_a_confidential_clients_refresh_token_is_bound_to_no_key() -> None:
    """RFC 9449 §5: the client proves itself; the access token is bound in either case."""
    for client, bound in ((PUBLIC, "thumb"), (CONFIDENTIAL, "")):
        response, new = await _minted(client, jkt="thumb")
        assert new.refresh
        assert (response.jkt, new.access.jkt, new.refresh.jkt) == ("thumb", "thumb", bound)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("client", "jwt_for"),
    [(PUBLIC, {"app"}), (PUBLIC, {"*"}), (replace(PUBLIC, access_token_format=oauth.JWT), set())],
    ids=["chosen", "everybody", "its own choice"],
)
async def test_a_jwt_says_what_is_true_of_its_grant(client: Client, jwt_for: set[str]) -> None:
    """RFC 9068 §2.2, RFC 9449 §6.1: in whole seconds; `cnf` only for a bound token."""
    for jkt, confirmed in (("", {}), ("thumb", {"cnf": {"jkt": "thumb"}})):
        response, _ = await _minted(client, jkt=jkt, jwt_for=frozenset(jwt_for))
        claims = json.loads(response.access_token.removeprefix("eyJ"))
        assert len(claims.pop("jti")) >= 22
        assert claims == {
            "iss": "https://bifrost.test",
            "sub": "user:ann",
            "aud": "https://bifrost.test/mcp/notes",
            "client_id": "app",
            "scope": "mcp:read",
            "iat": 2,
            "exp": 62,
            **confirmed,
        }


@pytest.mark.anyio
async def test_without_a_choice_or_a_grant_a_token_is_opaque() -> None:
    """Contract §6: the default, and never a JWT that says nothing of whom."""
    for given in ({"jwt_for": frozenset({"another"})}, {"jwt_for": frozenset({"*"}), "grant_id": "gone"}):
        response, _ = await _minted(**given)
        assert response.access_token.startswith("bfat_")


def test_what_is_kept_of_a_rotation_is_given_again_with_the_time_that_is_left() -> None:
    """Contract §6: the same pair, to whoever presents the predecessor."""
    tokens = _tokens()
    given = TokenResponse(access_token="bfat_a", expires_in=60, scope="mcp:read", refresh_token="bfrt_b", jkt="thumb")
    kept = tokens.seal("bfrt_predecessor", given)
    for now, left in ((NOW, 60), (NOW + 500, 59), (NOW + 60_000, 0), (NOW + 90_000, 0)):
        again = replace(tokens, clock=FakeClock(now)).unseal("bfrt_predecessor", kept)
        assert again == replace(given, expires_in=left)


def test_a_client_whose_answer_was_lost_in_an_update_gets_it_from_the_version_after_it() -> None:
    """Contract §6: the same successor pair again, or whoever refreshed at that moment would have to sign in."""
    for kept, jkt in ((EARLIER, ""), (BOUND, "thumb")):
        again = _tokens().unseal("bfrt_predecessor", kept)
        assert (again.access_token, again.refresh_token) == ("bfat_a", "bfrt_b")
        assert (again.scope, again.expires_in, again.jkt) == ("mcp:read", 3, jkt)


@pytest.mark.anyio
@pytest.mark.parametrize("token", ["bfat_x", "eyJ.x.x"])
async def test_a_token_that_is_good_says_what_it_is_good_for(token: str) -> None:
    """Contract §6: all of it from the row, whatever the token says of itself."""
    world = _World(_row())
    assert await _tokens(world).verify(token) == AccessTokenFacts(
        standing=STANDING,
        identity=ANN,
        client_id="app",
        grant_id="g",
        scope="mcp:read",
        resource="/mcp/notes",
        jkt="thumb",
        expires_at=NOW + 1,
    )
    assert world.looked_up == [hash_secret(token)]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "world",
    [
        _World(None),
        _World(_row(revoked_at=1)),
        _World(_row(expires_at=NOW)),
        _World(_row(), standing=None),
    ],
    ids=["unknown", "revoked", "expired", "nobody"],
)
async def test_a_token_that_is_not_good_is_nothing(world: _World) -> None:
    """Contract §6: unknown, taken back, at its end, or of somebody who may do nothing any more."""
    assert await _tokens(world).verify("bfat_x") is None


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("token", "questions"),
    [
        ("bfat_".ljust(8_192, "x"), 1),
        ("bfat_".ljust(8_193, "x"), 0),
        ("bfrt_x", 0),
        ("x bfat_", 0),
        ("", 0),
    ],
    ids=["as long as may be", "longer", "another kind", "its end", "nothing"],
)
async def test_what_can_be_no_token_of_ours_costs_no_question_to_the_database(token: str, questions: int) -> None:
    """TC-144, contract §6: anybody may send anything; neither its kind nor its length makes work."""
    world = _World()
    assert await _tokens(world).verify(token) is None
    assert len(world.looked_up) == questions
