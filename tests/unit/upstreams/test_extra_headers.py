"""Which header fields of a caller an upstream may be given, and what is left of them."""

from dataclasses import replace
from typing import Any

import pytest

from bifrost.upstreams.errors import UpstreamInvalid
from bifrost.upstreams.extra_headers import may_be_passed_on, passed_on
from bifrost.upstreams.models import NewUpstream
from bifrost.upstreams.rules import check

WANTED = NewUpstream(name="notes", connection_string="http://127.0.0.1:8181/mcp")
NEVER = (
    "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-API-Key", "api-key", "x-goog-api-key", "x-bf-vk",
    "X-Bf-Mcp-Session-Id", "X-Bf-Anything", "DPoP", "Host", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade",
    "Transfer-Encoding", "Content-Length", "Content-Type", "Accept", "Mcp-Session-Id", "Mcp-Name", "MCP-Param-Region",
    "MCP-Protocol-Version", "Last-Event-ID", "X-Forwarded-For", "X-Forwarded-User", "Forwarded", "Via", "X-Real-IP",
    "Origin", "Referer", "Sec-Fetch-Site", "User-Agent", "Expect", "Proxy-Connection",
)  # fmt: skip


def _sent(**fields: str | list[str]) -> Any:
    """A request's fields; `_` stands for a hyphen."""
    lines = {name.replace("_", "-"): [value] if isinstance(value, str) else value for name, value in fields.items()}
    return lambda name: lines.get(name, [])


@pytest.mark.parametrize("name", NEVER)
def test_a_header_that_proves_or_says_who_somebody_is_can_not_be_allowed(name: str) -> None:
    """Contract §7: the caller's token never goes upstream. RFC 9110 §7.6.1: nor does what is for one hop."""
    assert not may_be_passed_on(name)
    with pytest.raises(UpstreamInvalid) as caught:
        check(replace(WANTED, allowed_extra_headers=(name,)))
    assert caught.value.param == "allowed_extra_headers"


@pytest.mark.parametrize(
    "changes",
    [
        {"allowed_extra_headers": ("*",)},
        {"allowed_extra_headers": ("X Y",)},
        {"allowed_extra_headers": ("X-A\r\nB",)},
        {"allowed_extra_headers": ("",)},
        {"allowed_extra_headers": ("X-A", "x-a")},
        {"allowed_extra_headers": tuple(f"X-{n}" for n in range(21))},
        {"allowed_extra_headers": ("x-tenant",), "auth_type": "headers", "headers": {"X-Tenant": "blue"}},
        {
            "allowed_extra_headers": ("x-key",),
            "auth_type": "per_user_headers",
            "per_user_header_keys": ("X-Key",),
        },
    ],
)
def test_a_list_that_could_be_misread_is_refused(changes: dict[str, Any]) -> None:
    """House: every header is named by itself, and none is sent by two."""
    with pytest.raises(UpstreamInvalid) as caught:
        check(replace(WANTED, **changes))
    assert caught.value.param == "allowed_extra_headers"


def test_only_what_is_allowed_and_was_sent_is_passed_on() -> None:
    """RFC 9110 §5.1, §5.3: names in any case, repeated fields as one list."""
    sent = _sent(x_request_id="r1", x_tag=["a", "b"], x_other="no", authorization="Bearer canary")
    allowed = ("X-Request-Id", "X-Tag", "X-Absent", "Authorization")
    assert passed_on(allowed, sent) == {"X-Request-Id": "r1", "X-Tag": "a, b"}


def test_what_the_connection_names_stays_on_this_hop() -> None:
    """RFC 9110 §7.6.1."""
    sent = _sent(x_foo="1", x_bar="2", connection=["close, X-Foo"])
    assert passed_on(("X-Foo", "X-Bar"), sent) == {"X-Bar": "2"}


@pytest.mark.parametrize("value", ["", " a", "a ", "a\r\nX-Evil: 1", "a\nb", "a\x00b", "ü", "a" * 8_193])
def test_a_value_that_is_not_plain_is_left_out(value: str) -> None:
    """RFC 9110 §5.5: nothing that another reader could take for the end of the field."""
    assert passed_on(("X-Foo",), _sent(x_foo=value)) == {}
