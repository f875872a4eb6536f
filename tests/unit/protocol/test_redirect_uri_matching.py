"""Redirect URIs: a presented one never leads to another place than the registered one."""

from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bifrost.protocol.redirect_uri import matches, refusal, target, with_response

LOOPBACK_HOSTS = ("127.0.0.1", "[::1]", "localhost")

SAME = [
    ("https://a.example/cb", "https://a.example/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:5000/cb"),
    ("http://127.0.0.1:5000/cb", "http://127.0.0.1:6000/cb"),
    ("http://127.0.0.1:5000/cb", "http://127.0.0.1/cb"),
    ("http://localhost:3000/cb?x=1", "http://localhost:4000/cb?x=1"),
    ("http://[::1]/cb", "http://[::1]:1/cb"),
    ("http://localhost", "http://localhost:65535"),
    ("cursor://host/cb", "cursor://host/cb"),
]

DIFFERENT = [
    ("https://a.example/cb", "https://a.example/cb/"),
    ("https://a.example/cb", "https://a.example/CB"),
    ("https://a.example/cb", "https://A.example/cb"),
    ("https://a.example/cb", "https://a.example:443/cb"),
    ("https://a.example/cb", "http://a.example/cb"),
    ("https://a.example/cb", "https://a.example/cb?x=1"),
    ("https://a.example/cb?x=1", "https://a.example/cb"),
    ("https://a.example/cb", "https://a.example/cb2"),
    ("https://a.example/cb", "https://a.example/cb#x"),
    ("https://a.example/cb", "https://a.example/%63b"),
    ("https://a.example/cb", "https://a.example/x/../cb"),
    ("https://a.example/cb", "https://a.example.evil.example/cb"),
    ("https://a.example/cb", "https://a.example@evil.example/cb"),
    ("https://a.example/cb", "https://evil.example/cb"),
    ("https://a.example:8443/cb", "https://a.example:9443/cb"),
    ("https://127.0.0.1:5000/cb", "https://127.0.0.1:6000/cb"),
    ("http://127.0.0.1/cb", "http://localhost/cb"),
    ("http://127.0.0.1/cb", "http://[::1]/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:5000/other"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:5000/cb?x=1"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:5000/cb/"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:0/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:65536/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:5000@evil.example/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1:5000:6000/cb"),
    ("http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb"),
    ("http://127.0.0.1/cb", "https://127.0.0.1/cb"),
    ("http://127.0.0.1/cb", "HTTP://127.0.0.1/cb"),
    ("http://localhost", "http://localhost:3000/"),
    ("http://localhost/cb", "http://localhost:3000.evil.example/cb"),
    ("http://localhost/cb", "http://localhost:3000\\@evil.example/cb"),
    ("http://localhost/cb", "http://localhost:٣/cb"),
    ("http://localhost/cb", "http://localhost:3000/cb\n"),
    ("cursor://host/cb", "cursor://host:1/cb"),
    ("cursor://host/cb", "cursor://other/cb"),
]


@pytest.mark.parametrize(("registered", "presented"), SAME)
def test_a_registered_redirect_uri_matches(registered: str, presented: str) -> None:
    """Contract §4: exactly, as a string, but for the port of a loopback redirect."""
    assert matches(registered, presented)


@pytest.mark.parametrize(("registered", "presented"), DIFFERENT)
def test_any_other_redirect_uri_does_not_match(registered: str, presented: str) -> None:
    """Contract §4; OAuth 2.1 §4.1.1; RFC 8252 §7.3."""
    assert not matches(registered, presented)


LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
HOST = st.builds(".".join, st.lists(LABEL, min_size=1, max_size=3)) | st.sampled_from(LOOPBACK_HOSTS)
PORT = st.just("") | st.integers(0, 70_000).map(lambda port: f":{port}")
REST = st.text("abc/?&=.%2e@:;-~", max_size=10).map(lambda text: f"/{text}") | st.just("")
URI = st.builds(
    lambda scheme, host, port, rest: f"{scheme}://{host}{port}{rest}",
    st.sampled_from(["http", "https", "cursor"]),
    HOST,
    PORT,
    REST,
)
ANYTHING = (
    URI
    | st.text(max_size=40)
    | st.builds(lambda uri, noise, at: uri[:at] + noise + uri[at:], URI, st.text(max_size=3), st.integers(0, 40))
)


@given(URI, ANYTHING)
def test_a_match_never_leads_to_another_host(registered: str, presented: str) -> None:
    """Contract §4: whatever a browser makes of the presented URI, its host is the registered one."""
    assume(refusal(registered) is None)
    if matches(registered, presented):
        ours, theirs = urlsplit(registered), urlsplit(presented)
        assert (theirs.scheme, theirs.hostname) == (ours.scheme, ours.hostname)
        assert (theirs.path, theirs.query, theirs.fragment) == (ours.path, ours.query, ours.fragment)
        assert theirs.username is None


@given(URI, ANYTHING)
def test_only_on_loopback_may_a_match_differ_at_all(registered: str, presented: str) -> None:
    """RFC 8252 §7.3: the exception is for native applications on this computer."""
    if matches(registered, presented) and registered != presented:
        assert target(registered).kind == target(presented).kind == "loopback"


@given(st.sampled_from(LOOPBACK_HOSTS), st.integers(1, 65_535), st.integers(1, 65_535))
def test_on_loopback_any_port_matches_any_port(host: str, one: int, other: int) -> None:
    """Contract §4: whether or not a port was registered."""
    assert matches(f"http://{host}:{one}/cb", f"http://{host}:{other}/cb")
    assert matches(f"http://{host}/cb", f"http://{host}:{other}/cb")
    assert refusal(f"http://{host}:{other}/cb") is None


@given(URI, st.text(max_size=5))
def test_what_matches_is_as_acceptable_as_what_was_registered(registered: str, noise: str) -> None:
    """Contract §3: a match never lets in what registration would have refused."""
    presented = registered + noise
    if refusal(registered) is None and matches(registered, presented):
        assert refusal(presented) is None


@given(ANYTHING)
def test_what_may_be_registered_is_one_host_and_no_other(uri: str) -> None:
    """Contract §3: an independent parser sees no userinfo, no fragment, and a host where one is promised."""
    if refusal(uri) is not None:
        return
    parts = urlsplit(uri)
    assert parts.fragment == ""
    assert parts.username is None
    assert uri.isascii()
    assert uri.isprintable()
    if parts.scheme in ("http", "https"):
        assert parts.hostname
        assert parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")
        assert target(uri).label == parts.netloc


@given(URI, st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_response_never_changes_where_the_redirect_leads(uri: str, state: str) -> None:
    """OAuth 2.1 §2.3: parameters are added to the query, nothing else changes."""
    assume(refusal(uri) is None)
    answer = with_response(uri, code="bfac_x", state=state)
    assert answer.startswith(uri)
    ours, theirs = urlsplit(uri), urlsplit(answer)
    assert (theirs.scheme, theirs.netloc, theirs.path, theirs.fragment) == (ours.scheme, ours.netloc, ours.path, "")
