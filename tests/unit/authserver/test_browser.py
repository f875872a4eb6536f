"""The browser's secret, and the token of its forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bifrost.authserver.browser import BrowserSecrets, csrf_token
from bifrost.authserver.models import PendingFlow
from bifrost.base.ids import hash_secret
from bifrost.base.sealing import KeyRing

SECRETS = BrowserSecrets(KeyRing([b"k" * 32]))
FOREIGN = BrowserSecrets(KeyRing([b"f" * 32]))
FLOW = PendingFlow(
    id="flow_1",
    browser_hash="",
    client_id="bfcl_x",
    redirect_uri="http://127.0.0.1/cb",
    state=None,
    code_challenge="c" * 43,
    scope="mcp:read",
    resource="/mcp",
    created_at=0,
    expires_at=1,
)


def flow_of(secret: str) -> PendingFlow:
    return replace(FLOW, browser_hash=hash_secret(secret))


def test_a_secret_that_this_server_made_is_recognised() -> None:
    """Contract §4: a browser that already carries a secret keeps it."""
    secret = SECRETS.new()
    assert SECRETS.presented([secret]).secrets == (secret,)
    assert SECRETS.keep_or_new(SECRETS.presented([secret])) == secret


def test_no_two_secrets_are_equal_and_none_needs_quoting_in_a_cookie() -> None:
    """RFC 6265 §4.1.1."""
    made = {SECRETS.new() for _ in range(100)}
    assert len(made) == 100
    assert all(character.isalnum() or character in "-_." for secret in made for character in secret)


OURS = SECRETS.new()
PLANTED = {
    "empty": "",
    "only a dot": ".",
    "no mac": "x",
    "empty mac": "x.",
    "empty secret": ".x",
    "short": "a.b",
    "no dot": "x" * 43,
    "not ascii": "ü.ü",
    "made up": "x" * 43 + "." + "y" * 32,
    "of another server": FOREIGN.new(),
    "longer mac": OURS + "x",
    "longer secret": "x" + OURS,
    "without its dot": OURS.replace(".", ""),
    "without its mac": OURS.partition(".")[0] + ".",
    "with more behind it": f"{OURS}.x",
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED.keys())
def test_a_secret_that_this_server_did_not_make_is_never_adopted(planted: str) -> None:
    """Contract §4: whoever plants a cookie must not know the secret of the flow that follows."""
    browser = SECRETS.presented([planted])
    assert browser.secrets == ()
    assert SECRETS.keep_or_new(browser) != planted


def test_a_browser_with_two_secrets_of_ours_gets_a_fresh_one_and_can_still_finish_with_either() -> None:
    """Contract §4: an ambiguous browser; several flows in one browser all finish."""
    one, other = SECRETS.new(), SECRETS.new()
    browser = SECRETS.presented([one, "planted", other, one])
    assert browser.secrets == (one, other)
    assert SECRETS.keep_or_new(browser) not in (one, other)
    assert browser.secret_of(flow_of(one)) == one
    assert browser.secret_of(flow_of(other)) == other


def test_another_browser_has_no_secret_of_the_flow() -> None:
    """Contract §5: missing or different → 403."""
    assert SECRETS.presented([SECRETS.new()]).secret_of(flow_of(SECRETS.new())) is None
    assert SECRETS.presented([]).secret_of(flow_of(SECRETS.new())) is None
    assert SECRETS.presented([SECRETS.new()]).secret_of(FLOW) is None


def test_a_secret_outlives_the_rotation_of_the_keys() -> None:
    """Contract §8: a sign-in under way is not lost."""
    secret = SECRETS.new()
    rotated = BrowserSecrets(KeyRing([b"n" * 32, b"k" * 32]))
    assert rotated.presented([secret]).secrets == (secret,)


def test_the_secrets_are_not_shown() -> None:
    """Contract §2: nothing secret in a log line."""
    secret = SECRETS.new()
    assert secret not in repr(SECRETS.presented([secret]))


@given(st.text(max_size=60))
def test_no_cookie_makes_reading_fail(value: str) -> None:
    """Cookies are whatever a sibling host wrote."""
    assert SECRETS.presented([value]).secrets == ()


def test_a_csrf_token_belongs_to_one_flow_in_one_browser() -> None:
    """Contract §5: own CSRF token; stable, so that a page opened twice still works."""
    one, other = SECRETS.new(), SECRETS.new()
    assert csrf_token(one, "flow_1") == csrf_token(one, "flow_1")
    assert len({csrf_token(one, "flow_1"), csrf_token(one, "flow_2"), csrf_token(other, "flow_1")}) == 3


def test_a_csrf_token_says_nothing_about_the_secret() -> None:
    """It stands in a page; the secret must not."""
    secret = SECRETS.new()
    token = csrf_token(secret, "flow_1")
    assert len(token) == 64
    assert token not in secret
    assert secret not in token
    assert token != hash_secret(secret)
