"""What an upstream may look like. Each refusal names the member and says how to put it right."""

import re
from collections.abc import Iterator

from bifrost.governance.models import MICRO
from bifrost.http import tls
from bifrost.http.tls import MACHINE, Trust
from bifrost.upstreams import extra_headers
from bifrost.upstreams.errors import UpstreamInvalid
from bifrost.upstreams.models import BY_OAUTH, NewUpstream, OAuthConfig, StdioConfig

MAX_TIMEOUT_SECONDS = 600
MAX_CONCURRENT_CALLS = 10_000
MIN_SYNC_SECONDS = 30
MAX_SYNC_SECONDS = 86_400 * 7
MAX_HEADER_KEYS = 20
MAX_PRICE = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9_]{1,48}")
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_URL = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?][!-\"$-\[\]-~]{0,2048})?"
)
"""No user information, no fragment, no backslash: what one reader takes for the host, every other one does."""

MAX_PORT = 65_535
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}|")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t -~]{0,8192}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_ARGUMENT = re.compile(r"[^\x00]{0,4096}")

_Rule = tuple[str, bool, str]
"""Member, whether it holds, and what would."""


def check(wanted: NewUpstream) -> None:
    """Raises UpstreamInvalid, naming the member. No value is repeated, which may be a secret, but a header's name."""
    for member, holds, rule in (*_rules(wanted), *_joint_rules(wanted)):
        if not holds:
            raise UpstreamInvalid(f"The upstream {wanted.name!r} has an invalid {member}: {rule}.", param=member)


def is_header_name(name: str) -> bool:
    return _HEADER_NAME.fullmatch(name) is not None


def is_header(name: str, value: str) -> bool:
    return is_header_name(name) and _HEADER_VALUE.fullmatch(value) is not None


def _rules(wanted: NewUpstream) -> Iterator[_Rule]:
    """Each about one member."""
    yield "name", _matches(_NAME, wanted.name), "letters, digits and _, at most 48 (no hyphen: it separates the tool)"
    slug = wanted.endpoint_slug or wanted.name.lower()
    yield "endpoint_slug", _matches(_SLUG, slug), "a-z, 0-9, - and _, beginning with a letter or digit"
    yield "oauth_config_id", _matches(_ID, wanted.oauth_config_id), "letters, digits, - and _, at most 100"
    yield "headers", all(is_header(*pair) for pair in wanted.headers.items()), "header names with visible ASCII values"
    said = extra_headers.ours(wanted.headers, static=True)
    yield "headers", not said, f"{said} is set by the gateway itself, or by HTTP"
    yield "per_user_header_keys", all(map(is_header_name, wanted.per_user_header_keys)), "names of headers"
    distinct = len({name.lower() for name in wanted.per_user_header_keys}) == len(wanted.per_user_header_keys)
    said = extra_headers.ours(wanted.per_user_header_keys)
    yield "per_user_header_keys", not said, f"{said} is set by the gateway itself, or by HTTP"
    few = len(wanted.per_user_header_keys) <= MAX_HEADER_KEYS
    yield "per_user_header_keys", distinct and few, f"each name once, at most {MAX_HEADER_KEYS}"
    yield from _extra_header_rules(wanted.allowed_extra_headers)
    timeout = wanted.tool_execution_timeout
    yield "tool_execution_timeout", 1 <= timeout <= MAX_TIMEOUT_SECONDS, f"between 1 and {MAX_TIMEOUT_SECONDS} seconds"
    calls = wanted.max_concurrent_calls
    yield "max_concurrent_calls", 0 <= calls <= MAX_CONCURRENT_CALLS, f"0 to {MAX_CONCURRENT_CALLS}, 0 is no limit"
    interval = wanted.tool_sync_interval
    in_range = -MAX_SYNC_SECONDS <= interval <= 0 or MIN_SYNC_SECONDS <= interval <= MAX_SYNC_SECONDS
    rule = f"{MIN_SYNC_SECONDS} to {MAX_SYNC_SECONDS} seconds, 0 for the usual interval, less than 0 for never"
    yield "tool_sync_interval", in_range, rule
    yield "tls_config", _can_be_trusted(wanted.tls_config), "ca_cert_pem must be certificates of authorities in PEM"
    fair = all(price == 0 or 1 / MICRO <= price <= MAX_PRICE for price in wanted.tool_pricing.values())
    yield "tool_pricing", fair, f"0, or between {1 / MICRO:f} and {MAX_PRICE}"
    yield from _stdio_rules(wanted.stdio_config)


def _extra_header_rules(names: tuple[str, ...]) -> Iterator[_Rule]:
    member = "allowed_extra_headers"
    yield member, all(map(is_header_name, names)) and "*" not in names, "names of headers, each by itself"
    never = extra_headers.never_passed_on(names)
    rule = f"{never} proves who somebody is, says who they are, or belongs to HTTP, MCP or the gateway"
    yield member, not never, rule
    few = len({name.lower() for name in names}) == len(names) <= MAX_HEADER_KEYS
    yield member, few, f"each name once, at most {MAX_HEADER_KEYS}"


def _stdio_rules(config: StdioConfig) -> Iterator[_Rule]:
    variables = all(_matches(_VARIABLE, name) for name in config.envs)
    yield "stdio_config.envs", variables, "names of environment variables, without values"
    texts = all(_matches(_ARGUMENT, text) for text in (config.command, *config.args))
    yield "stdio_config", texts, "command and args without NUL, each at most 4096 characters"


def _joint_rules(wanted: NewUpstream) -> Iterator[_Rule]:
    """Members that need or exclude each other."""
    program = wanted.connection_type == "stdio"
    if program:
        yield "connection_string", not wanted.connection_string, "leave it out, a stdio upstream is a program"
        yield "stdio_config", bool(wanted.stdio_config.command), "the command must be given"
        yield "auth_type", wanted.auth_type == "none", "none, a program takes its secrets from stdio_config.envs"
    else:
        yield "connection_string", _is_url(wanted.connection_string), "an http or https URL, without user and fragment"
        yield "stdio_config", wanted.stdio_config == StdioConfig(), "leave it out unless connection_type is stdio"
    over_tls = wanted.tls_config == MACHINE or wanted.connection_string.startswith("https://")
    yield "tls_config", over_tls, "leave it out unless the connection_string is an https URL"
    by_headers = wanted.auth_type in ("headers", "none") or not wanted.headers
    yield "auth_type", not wanted.headers or wanted.auth_type != "none", "it has headers, so it must be headers"
    yield "headers", by_headers, "leave them out unless auth_type is headers"
    asked = bool(wanted.per_user_header_keys)
    rule = "name the headers that everybody gives when auth_type is per_user_headers, and only then"
    yield "per_user_header_keys", asked == (wanted.auth_type == "per_user_headers"), rule
    extra = {name.lower() for name in wanted.allowed_extra_headers}
    own = {name.lower() for name in (*wanted.headers, *wanted.per_user_header_keys)}
    yield "allowed_extra_headers", not extra & own, "no header that the upstream gets from us already"
    rule = "leave it out unless connection_type is http"
    yield "allowed_extra_headers", not extra or wanted.connection_type == "http", rule
    known = wanted.oauth_config != OAuthConfig() or bool(wanted.oauth_config_id)
    rule = "leave it out unless auth_type is oauth or per_user_oauth"
    yield "oauth_config", not known or wanted.auth_type in BY_OAUTH, rule


def _can_be_trusted(trust: Trust) -> bool:
    try:
        tls.context(trust)
    except ValueError:
        return False
    return True


def _is_url(text: str) -> bool:
    match = _URL.fullmatch(text)
    return match is not None and 0 < int(match["port"] or 80) <= MAX_PORT


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None
