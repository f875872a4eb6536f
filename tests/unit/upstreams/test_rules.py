"""What an upstream may look like, and what a refusal says."""

from dataclasses import replace
from typing import Any

import pytest

from bifrost.http.tls import Trust
from bifrost.upstreams.errors import UpstreamInvalid
from bifrost.upstreams.models import NewUpstream, OAuthConfig, StdioConfig
from bifrost.upstreams.rules import check

WANTED = NewUpstream(name="notes", connection_string="http://127.0.0.1:8181/mcp")
PROGRAM = replace(WANTED, connection_type="stdio", connection_string="", stdio_config=StdioConfig(command="notes"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"name": "Notes_2"},
        {"name": "a"},
        {"name": "x" * 48},
        {"endpoint_slug": "my-notes_2"},
        {"endpoint_slug": "0"},
        {"connection_string": "https://notes.example.com/mcp?tenant=1"},
        {"connection_string": "http://[::1]:8181/mcp"},
        {"auth_type": "headers", "headers": {"Authorization": "Bearer x", "X-Tenant": "a b\tc", "X-Empty": ""}},
        {"auth_type": "headers"},
        {"tool_execution_timeout": 1},
        {"tool_execution_timeout": 600},
    ],
)
def test_an_upstream_that_can_work_is_accepted(changes: dict[str, Any]) -> None:
    """Contract §§8, 9."""
    check(replace(WANTED, **changes))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("name", ""),
        ("name", "my-notes"),
        ("name", "my notes"),
        ("name", "nötes"),
        ("name", "notes\n"),
        ("name", "x" * 49),
        ("name", "a/b"),
        ("endpoint_slug", "Notes"),
        ("endpoint_slug", "-notes"),
        ("endpoint_slug", "_notes"),
        ("endpoint_slug", "a/b"),
        ("endpoint_slug", "a" * 65),
        ("endpoint_slug", "notes\n"),
        ("connection_string", ""),
        ("connection_string", "notes.example.com"),
        ("connection_string", "ftp://notes.example.com"),
        ("connection_string", "file:///etc/passwd"),
        ("connection_string", "HTTP//x"),
        ("connection_string", "https://notes.example.com/a b"),
        ("connection_string", "https://notes.example.com/\r\nX: y"),
        ("connection_string", "https://nötes.example"),
        ("connection_string", "https://"),
        ("tool_execution_timeout", 0),
        ("tool_execution_timeout", -1),
        ("tool_execution_timeout", 601),
    ],
)
def test_an_upstream_that_cannot_work_is_refused_by_the_name_of_the_member(member: str, value: Any) -> None:
    """Contract §10; §7: upstream names have no hyphen."""
    with pytest.raises(UpstreamInvalid) as caught:
        check(replace(WANTED, **{member: value}))
    assert caught.value.param == member


@pytest.mark.parametrize(
    "headers",
    [{"": "x"}, {"A B": "x"}, {"A:": "x"}, {"Ä": "x"}, {"A": "x\r\nB: y"}, {"A": "x\n"}, {"A": "\x00"}, {"A": "ü"}]
    + [{"A": "x" * 8_193}, {"A" * 101: "x"}, {"A\n": "x"}],
)
def test_a_header_that_could_become_two_is_refused_without_showing_its_value(headers: dict[str, str]) -> None:
    """RFC 9110 §5.5."""
    with pytest.raises(UpstreamInvalid) as caught:
        check(replace(WANTED, auth_type="headers", headers=headers))
    assert caught.value.param == "headers"
    assert len(caught.value.message) < 200


FRAMES = ("Host", "Content-Length", "Transfer-Encoding", "connection", "Keep-Alive", "TE", "Trailer", "Upgrade")
CARRIES = ("Accept", "Accept-Encoding", "Content-Type", "Content-Encoding", "Last-Event-ID")
SPEAKS = ("Mcp-Session-Id", "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name", "Mcp-Param-Region", "mcp-anything-new")
ALL_OF_OURS = (*FRAMES, *CARRIES, *SPEAKS)


@pytest.mark.parametrize("name", ALL_OF_OURS)
@pytest.mark.parametrize(
    ("member", "auth_type"),
    [("headers", "headers"), ("per_user_header_keys", "per_user_headers"), ("allowed_extra_headers", "none")],
)
def test_a_header_that_is_ours_is_refused_by_its_name(member: str, auth_type: str, name: str) -> None:
    """RFC 9110 §7.6.1, 2026-07-28 transports: a second Host, length, session or revision beside ours has two readings.

    It is said when it is configured, and not by an upstream that cannot be reached.
    """
    value = {"X-Fine": "x", name: "x"} if member == "headers" else ("X-Fine", name)
    with pytest.raises(UpstreamInvalid, match=rf"invalid {member}: {name} ") as caught:
        check(replace(WANTED, auth_type=auth_type, **{member: value}))  # type: ignore[arg-type]
    assert caught.value.param == member
    assert "X-Fine" not in caught.value.message


@pytest.mark.parametrize("name", ["Authorization", "User-Agent", "Proxy-Authorization", "X-Tenant", "Cookie"])
def test_what_an_administrator_may_say_to_an_upstream(name: str) -> None:
    """Contract §8: static headers are the upstream's credential, whatever it is called there."""
    check(replace(WANTED, auth_type="headers", headers={name: "x"}))


def test_headers_that_would_never_be_sent_are_refused() -> None:
    """Contract §8: auth_type none sends nothing, and a secret nobody uses is a mistake."""
    with pytest.raises(UpstreamInvalid) as caught:
        check(replace(WANTED, headers={"Authorization": "Bearer x"}))
    assert caught.value.param == "auth_type"


@pytest.mark.parametrize(
    "wanted",
    [
        PROGRAM,
        replace(PROGRAM, stdio_config=StdioConfig(command="npx", args=("-y", "it", ""), envs=("HOME", "_KEY2"))),
        replace(WANTED, connection_type="sse"),
        replace(WANTED, auth_type="oauth", oauth_config_id="oac-1"),
        replace(WANTED, auth_type="per_user_oauth", oauth_config=OAuthConfig(client_id="us")),
        replace(WANTED, auth_type="per_user_headers", per_user_header_keys=("X-Api-Key", "X-Tenant")),
        replace(WANTED, tool_pricing={"a": 0, "b": 0.000001, "c": 1_000_000}),
        replace(WANTED, tool_sync_interval=-1),
        replace(WANTED, tool_sync_interval=30),
        replace(WANTED, tool_sync_interval=86_400 * 7),
        replace(WANTED, connection_string="https://notes.example/mcp", tls_config=Trust(insecure_skip_verify=True)),
        replace(WANTED, allowed_extra_headers=("X-Request-Id",)),
    ],
)
def test_every_member_of_the_published_api_can_be_given(wanted: NewUpstream) -> None:
    """Contract §9."""
    check(wanted)


@pytest.mark.parametrize(
    ("wanted", "member"),
    [
        (replace(PROGRAM, connection_string="https://notes.example/mcp"), "connection_string"),
        (replace(PROGRAM, stdio_config=StdioConfig()), "stdio_config"),
        (replace(PROGRAM, stdio_config=StdioConfig(command="a\0b")), "stdio_config"),
        (replace(PROGRAM, stdio_config=StdioConfig(command="a", args=("x" * 4_097,))), "stdio_config"),
        (replace(PROGRAM, stdio_config=StdioConfig(command="a", envs=("KEY=secret",))), "stdio_config.envs"),
        (replace(PROGRAM, auth_type="headers", headers={"A": "b"}), "auth_type"),
        (replace(WANTED, stdio_config=StdioConfig(command="a")), "stdio_config"),
        (replace(WANTED, auth_type="per_user_oauth", headers={"A": "b"}), "headers"),
        (replace(WANTED, auth_type="per_user_headers"), "per_user_header_keys"),
        (replace(WANTED, per_user_header_keys=("X-Api-Key",)), "per_user_header_keys"),
        (replace(WANTED, auth_type="per_user_headers", per_user_header_keys=("A", "a")), "per_user_header_keys"),
        (replace(WANTED, auth_type="per_user_headers", per_user_header_keys=("A\n",)), "per_user_header_keys"),
        (replace(WANTED, oauth_config=OAuthConfig(scopes=("read",))), "oauth_config"),
        (replace(WANTED, oauth_config_id="oac-1"), "oauth_config"),
        (replace(WANTED, auth_type="oauth", oauth_config_id="a/b"), "oauth_config_id"),
        (replace(WANTED, tls_config=Trust(insecure_skip_verify=True)), "tls_config"),
        (replace(PROGRAM, tls_config=Trust(insecure_skip_verify=True)), "tls_config"),
        (
            replace(WANTED, connection_string="https://notes.example/mcp", tls_config=Trust(ca_cert_pem="text")),
            "tls_config",
        ),
        *(
            (replace(WANTED, tool_pricing={"a": price}), "tool_pricing")
            for price in (-1, 0.0000001, 1_000_001, float("inf"), float("nan"))
        ),
        (replace(WANTED, tool_sync_interval=10), "tool_sync_interval"),
        (replace(WANTED, tool_sync_interval=86_400 * 7 + 1), "tool_sync_interval"),
        (replace(WANTED, tool_sync_interval=-(10**30)), "tool_sync_interval"),
    ],
)
def test_members_that_contradict_each_other_are_refused(wanted: NewUpstream, member: str) -> None:
    """Contract §9: a member that would have no effect is a mistake, and is said to be one."""
    with pytest.raises(UpstreamInvalid) as caught:
        check(wanted)
    assert caught.value.param == member
