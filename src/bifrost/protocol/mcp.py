"""The Model Context Protocol's own words: revisions, headers, methods, error codes, and the era of a request."""

import base64
import re

MODERN = "2026-07-28"
"""The stateless revision: every request says its version and capabilities in `_meta`."""

MODERN_VERSIONS = (MODERN,)
LEGACY_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Revisions that begin with `initialize`, the newest first."""

LATEST_LEGACY = LEGACY_VERSIONS[0]
ASSUMED_VERSION = "2025-03-26"
"""What a request without a version header speaks (2025-06-18, transports)."""

VERSION_HEADER = "mcp-protocol-version"
METHOD_HEADER = "mcp-method"
NAME_HEADER = "mcp-name"
SESSION_HEADER = "mcp-session-id"

META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
META_SERVER_INFO = "io.modelcontextprotocol/serverInfo"

META_LOG_LEVEL = "io.modelcontextprotocol/logLevel"
META_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
PROGRESS_TOKEN = "progressToken"  # noqa: S105 - a name, not a secret

INITIALIZE = "initialize"
PING = "ping"
DISCOVER = "server/discover"
TOOLS_LIST = "tools/list"
TOOLS_CALL = "tools/call"
RESOURCES_LIST = "resources/list"
RESOURCES_READ = "resources/read"
RESOURCES_SUBSCRIBE = "resources/subscribe"
RESOURCES_UNSUBSCRIBE = "resources/unsubscribe"
TEMPLATES_LIST = "resources/templates/list"
PROMPTS_LIST = "prompts/list"
PROMPTS_GET = "prompts/get"
COMPLETE_ARGUMENT = "completion/complete"
SET_LEVEL = "logging/setLevel"
LISTEN = "subscriptions/listen"
ELICITATION_CREATE = "elicitation/create"
SAMPLING_CREATE = "sampling/createMessage"
ROOTS_LIST = "roots/list"

INITIALIZED = "notifications/initialized"
CANCELLED = "notifications/cancelled"
PROGRESS = "notifications/progress"
LOG_MESSAGE = "notifications/message"
TOOLS_CHANGED = "notifications/tools/list_changed"
RESOURCES_CHANGED = "notifications/resources/list_changed"
PROMPTS_CHANGED = "notifications/prompts/list_changed"
RESOURCE_UPDATED = "notifications/resources/updated"
ROOTS_CHANGED = "notifications/roots/list_changed"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"

CLIENT_CAPABILITY = {SAMPLING_CREATE: "sampling", ELICITATION_CREATE: "elicitation", ROOTS_LIST: "roots"}
"""What a client must have declared to be asked this by a server."""

FORM, URL = "form", "url"
"""The ways to ask a person something (`elicitation/create`)."""

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

RESOURCE_NOT_FOUND = -32002
URL_ELICITATION_REQUIRED = -32042
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022

COMPLETE = "complete"
INPUT_REQUIRED = "input_required"
PRIVATE = "private"

NAMED_METHODS = {TOOLS_CALL: "name", "prompts/get": "name", "resources/read": "uri"}
"""Methods whose `Mcp-Name` header must say the same as this parameter (2026-07-28, transports)."""

MAX_NAME_CHARACTERS = 128
"""2026-07-28, tools: of a name as a client sees it."""

_HEADER_SAFE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_ENCODED = re.compile(r"=\?base64\?(?P<body>[A-Za-z0-9+/]*={0,2})\?=")


def is_name(text: str) -> bool:
    """Whether a tool or prompt may be called so: what no revision ever allowed, a client or a database may not take."""
    return text.isprintable() and 0 < len(text) <= MAX_NAME_CHARACTERS


def header_value(text: str) -> str:
    """A value as it may stand in `Mcp-Name`: as it is, or in the base64 form when a header could not carry it."""
    if _HEADER_SAFE.fullmatch(text) and not _ENCODED.fullmatch(text):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def header_text(value: str) -> str | None:
    """The text that a header value stands for; None when the encoded form is broken."""
    encoded = _ENCODED.fullmatch(value)
    if not encoded:
        return value
    try:
        return base64.b64decode(encoded["body"], validate=True).decode()
    except ValueError:
        return None
