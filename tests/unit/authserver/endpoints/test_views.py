"""What the consent templates are given."""

import unicodedata
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.authserver.endpoints import views
from bifrost.authserver.models import AuthServerConfig, Client
from tests.unit.authserver.test_browser import FLOW

CONFIG = AuthServerConfig(
    issuer="https://gw.example.com",
    allow_anonymous=False,
    access_token_seconds=86_400,
    refresh_token_idle_seconds=30 * 86_400,
    refresh_token_absolute_seconds=180 * 86_400,
)
CLIENT = Client(
    client_id="bfcl_x",
    client_name="Test",
    redirect_uris=("http://127.0.0.1/cb",),
    grant_types=("authorization_code",),
    token_endpoint_auth_method="none",
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Cursor", "Cursor"),
        ("  Cursor  ", "Cursor"),
        ("Claude\u00a0Code\n", "Claude Code"),
        ("Bücher & Söhne <3", "Bücher & Söhne <3"),
        ("日本語アプリ", "日本語アプリ"),
        ("", views.UNNAMED),
        (" \t\n", views.UNNAMED),
        ("\u200b\u200c\u200d\u2060\ufeff", views.UNNAMED),
        ("\x00\x1b", views.UNNAMED),
        ("a\r\nSet-Cookie: b", "a Set-Cookie: b"),
        ("line\u2028separator\u2029paragraph", "line separator paragraph"),
        ("\u202egnirts\u202c", "gnirts"),
    ],
)
def test_a_name_is_shown_in_one_line_without_what_cannot_be_seen(name: str, shown: str) -> None:
    """Contract §5: control and bidi characters removed."""
    assert views.shown_name(name) == shown


BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
INVISIBLE = "\u00ad\u180e\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff\ufff9\ufffa\ufffb\U000e0001\U000e0041"


@pytest.mark.parametrize(
    "character", BIDI + INVISIBLE + "\x00\x07\x08\x1b\x7f\x80\x9b", ids=lambda c: f"U+{ord(c):04X}"
)
def test_no_bidirectional_zero_width_or_control_character_is_ever_shown(character: str) -> None:
    """Contract §5: a name that reads backwards could say whatever it likes."""
    assert character not in views.shown_name(f"Good{character}App")
    assert views.shown_name(character * 5) == views.UNNAMED


@pytest.mark.parametrize("length", [64, 65, 500, 100_000])
def test_a_long_name_is_cut_at_64_characters(length: int) -> None:
    """Contract §5."""
    assert views.shown_name("x" * length) == "x" * 64
    assert len(views.shown_name("ab " * length)) <= 64


@given(st.text(max_size=300))
def test_whatever_the_name_it_is_visible_short_and_in_one_line(name: str) -> None:
    """Contract §5."""
    shown = views.shown_name(name)
    assert 0 < len(shown) <= 64
    assert len(shown.splitlines()) == 1
    assert all(unicodedata.category(character)[0] not in "CZ" or character == " " for character in shown)


@pytest.mark.parametrize("code", sorted(views._SENTENCES))
def test_a_known_code_has_a_sentence(code: str) -> None:
    """Contract §5: failure goes back to the page with error=<code>."""
    sentence = views.sentence(code)
    assert sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    "code", [None, "", "Your account is locked, call 555", "<b>x</b>", "KEY_REFUSED", "key_refused "]
)
def test_free_text_from_a_query_is_never_shown(code: str | None) -> None:
    """Contract §5: only known codes render."""
    assert views.sentence(code) is None


@pytest.mark.parametrize(
    ("access", "idle", "words"),
    [
        (86_400, 30 * 86_400, "1 day, renewed for up to 30 days without use"),
        (3_600, 7_200, "1 hour, renewed for up to 2 hours without use"),
        (60, 90, "1 minute, renewed for up to 90 seconds without use"),
        (90 * 60, 36 * 3_600, "90 minutes, renewed for up to 36 hours without use"),
    ],
)
def test_the_lifetime_is_said_without_fractions(access: int, idle: int, words: str) -> None:
    """Contract §5: the lifetime."""
    assert views.lifetime(access, idle) == words


def test_the_page_is_given_facts_in_words() -> None:
    """Contract §5: name, redirect host, scopes in words, lifetime, resource."""
    shown = views.request(
        CLIENT, msgspec.structs.replace(FLOW, scope="mcp:read mcp:write"), CONFIG, "https://gw.example.com"
    )
    assert shown["client"]["name"] == "Test"
    assert shown["client"]["redirect_host"] == "127.0.0.1"
    assert shown["client"]["verified_host"] is None
    assert len(shown["scopes"]) == 2
    assert all(" " in words for words in shown["scopes"])
    assert shown["resource"] == "https://gw.example.com/mcp"


@pytest.mark.parametrize(
    ("uris", "loopback_only"),
    [
        (("http://127.0.0.1/cb",), True),
        (("http://127.0.0.1/cb", "http://localhost:3000/cb"), True),
        (("http://127.0.0.1/cb", "https://a.example/cb"), False),
        (("cursor://x/y",), False),
        (("https://a.example/cb",), False),
    ],
)
def test_a_client_that_only_lives_on_this_computer_is_warned_about(
    uris: tuple[str, ...], *, loopback_only: bool
) -> None:
    """Contract §5: an extra warning when all redirects are loopback."""
    shown = views.request(replace(CLIENT, redirect_uris=uris), FLOW, CONFIG, CONFIG.issuer)
    assert shown["client"]["loopback_only"] is loopback_only
