"""Redirect URIs, character by character: what is refused wherever it stands, and what is not."""

import pytest

from bifrost.protocol.redirect_uri import APP_SCHEMES, refusal, target


@pytest.mark.parametrize("character", '#\\*<>"{}|^` \x00\x1f\x7fé')
def test_a_character_that_no_uri_has_is_refused_wherever_it_stands(character: str) -> None:
    """RFC 3986 §2; a backslash is a slash for browsers, and `*` is no pattern here."""
    assert "character" in str(refusal(f"https://app.example.com/a{character}b"))
    assert "character" in str(refusal(f"com.example.app:/a{character}"))


@pytest.mark.parametrize("code", [*range(0x20), 0x5C, 0x7F])
def test_an_encoded_control_character_or_backslash_is_refused_in_either_case(code: int) -> None:
    """Attacks on redirect matching: servers and browsers decode them at different moments."""
    for encoded in (f"%{code:02x}", f"%{code:02X}"):
        assert refusal(f"https://app.example.com/{encoded}"), encoded


@pytest.mark.parametrize("code", [0x20, 0x2B, 0x4F, 0x50, 0x5B, 0x5D, 0x6C, 0x70, 0x7E, 0x80, 0xAF, 0xFA, 0xFF])
def test_another_encoded_character_is_accepted(code: int) -> None:
    """RFC 3986 §2.1: what is encoded is data."""
    for encoded in (f"%{code:02x}", f"%{code:02X}"):
        assert refusal(f"https://app.example.com/x{encoded}") is None, encoded


@pytest.mark.parametrize("percent", ["%", "%4", "%g0", "%0g", "%%41"])
def test_a_percent_sign_that_encodes_nothing_is_refused(percent: str) -> None:
    """RFC 3986 §2.1."""
    assert refusal(f"https://app.example.com/{percent}")


@pytest.mark.parametrize(
    ("port", "good"),
    [("0", False), ("1", True), ("65535", True), ("65536", False), ("99999", False), ("000080", False)],
)
def test_a_port_is_one_that_exists(port: str, good: bool) -> None:
    """RFC 3986 §3.2.3."""
    assert (refusal(f"https://app.example.com:{port}/") is None) is good
    assert (refusal(f"http://127.0.0.1:{port}/") is None) is good


@pytest.mark.parametrize(
    ("host", "good"),
    [
        *(
            (host, True)
            for host in (
                "a-b.c-d.example",
                "a_b.c_d.example",
                "A1.Example",
                "example.com.",
                "x",
                "[::1]",
                "[2001:DB8::1]",
                "[::ffff:1.2.3.4]",
                "[1:2:3:4:5:6:7:8]",
            )
        ),
        *((host, False) for host in ("", ".", "a..b", ".a", "a,b", "[::g]", "[1.2.3.4]", "[::1", "a:b", "a b")),
    ],
)
def test_the_host_of_https_is_a_name_or_an_address(host: str, good: bool) -> None:
    """RFC 3986 §3.2.2: whatever a browser could read in another way is refused."""
    assert (refusal(f"https://{host}/") is None) is good


@pytest.mark.parametrize("authority", ["[::1]", "[2001:db8::1]:70", "host", "x:port:1"])
def test_what_an_application_has_before_its_path_is_its_own(authority: str) -> None:
    """RFC 8252 §7.1."""
    assert refusal(f"com.example.app://{authority}/x") is None


@pytest.mark.parametrize("scheme", ["com.example2.app", "com.example+x.app", "com.example-x.app", "com.A.app"])
def test_a_scheme_has_the_characters_of_schemes(scheme: str) -> None:
    """RFC 3986 §3.1."""
    assert refusal(f"{scheme}:/callback") is None


def test_a_scheme_may_be_one_letter() -> None:
    """RFC 3986 §3.1."""
    assert refusal("x:/callback", app_schemes=("x",)) is None


@pytest.mark.parametrize("authority", ["[", "]", "[x]", "[::1", "::1]", "a[::1]"])
def test_brackets_are_for_addresses_also_in_applications(authority: str) -> None:
    """RFC 3986 §3.2.2."""
    assert "host" in str(refusal(f"com.example.app://{authority}/x"))


def test_what_follows_no_scheme_leads_nowhere() -> None:
    """RFC 8252 §7.1."""
    for uri in ("com.example.app:", "com.example.app://", "com.example.app://?x"):
        assert "nothing follows" in str(refusal(uri))


_NEVER = [
    "about",
    "blob",
    "chrome",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "javascript",
    "jar",
    "mailto",
    "mhtml",
]
_NEVER += ["resource", "sms", "tel", "urn", "vbscript", "view-source", "ws", "wss"]


@pytest.mark.parametrize("scheme", _NEVER)
def test_a_scheme_that_runs_something_is_refused_even_if_an_operator_adds_it(scheme: str) -> None:
    """Contract §3."""
    assert "never" in str(refusal(f"{scheme}:x", app_schemes=(scheme,)))
    assert "never" in str(refusal(f"{scheme.upper()}:x", app_schemes=(scheme,)))


def test_the_known_applications_are_these() -> None:
    """Contract §3: the list of known clients; each came with a real registration."""
    assert sorted(APP_SCHEMES) == [
        *("claude", "cline", "codex", "cursor", "goose", "jetbrains", "kiro", "lmstudio", "raycast", "roo"),
        *("vscode", "vscode-insiders", "vscodium", "warp", "windsurf", "zed"),
    ]


@pytest.mark.parametrize("uri", ["no uri", "\nhttps://app.example.com/", "https://app.example.com/?x\ny", ""])
def test_what_is_no_uri_is_shown_as_an_application(uri: str) -> None:
    """A person is never told of a host that was read from a part of something."""
    assert (target(uri).kind, target(uri).label) == ("app", "an application")


def test_of_a_uri_without_a_host_none_is_shown() -> None:
    """None is registered with https; nothing is invented for it."""
    assert (target("https:/callback").kind, target("https:/callback").label) == ("https", "")
