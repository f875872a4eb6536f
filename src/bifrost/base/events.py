"""What happened, for whoever has to know later: use-cases say it here, and a recorder around the request keeps it.

Outside of a recorder nothing is kept, so that a use-case can say what it does wherever it runs.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Self

Result = Literal["success", "failure"]


class Name(StrEnum):
    """Every event but the operations of the management API, which have their own names; and what has happened then.

    docs/audit-events.md is written from it.
    """

    meaning: str

    ACCESS_TOKEN_REVOKED = "access_token_revoked", "A client gave an access token back (RFC 7009)."
    ADMINISTRATOR_REFUSED = "administrator_refused", "Somebody came with a wrong credential of an administrator."
    ADMINISTRATOR_SET_UP = "administrator_set_up", "The first administrator was made, with the one-time link."
    ADMINISTRATOR_SETUP_LINK = (
        "administrator_setup_link",
        "A link with which the first administrator can be made was printed.",
    )
    ADMINISTRATOR_SIGNED_IN = "administrator_signed_in", "An administrator began a browser's session."
    ADMINISTRATOR_TOKEN_CREATE = "administrator_token_create", "The command line made an administrator's token."
    ADMINISTRATOR_TOKEN_REVOKE = "administrator_token_revoke", "The command line ended an administrator's token."
    AUTHORIZATION_CODE_GUESSED = (
        "authorization_code_guessed",
        "A code was presented wrongly as often as it may be, and is burnt.",
    )
    AUTHORIZATION_CODE_REPLAYED = (
        "authorization_code_replayed",
        "A code was redeemed twice by whoever had its proof: its grant has ended.",
    )
    CONSENT_DENIED = "consent_denied", "A person said no to a client."
    CONSENT_GIVEN = "consent_given", "A person allowed a client; `target` is the grant."
    DATABASE_IMPORTED = "database_imported", "`bifrost db import` brought a SQLite database into this one."
    DATABASE_RESTORED = (
        "database_restored",
        "`bifrost db restored` ended everything that a backup had brought back to life.",
    )
    ENCRYPTION_ROTATED = "encryption_rotated", "The command line sealed everything with the new encryption key."
    GRANT_REVOKED = "grant_revoked", "A client ended its grant (RFC 7009)."
    MCP_CLIENT_ADD = "mcp_client_add", "The configuration made an upstream."
    MCP_CLIENT_CHANGE = "mcp_client_change", "The configuration changed an upstream."
    OAUTH_CLIENT_CHANGE = "oauth_client_change", "The configuration changed a registered client."
    OAUTH_CLIENT_CREATE = "oauth_client_create", "The configuration made a registered client."
    REFRESH_TOKEN_OF_ANOTHER = (
        "refresh_token_of_another",
        "A refresh token came from another client, or with another key than its own.",
    )
    REFRESH_TOKEN_REPLAYED = (
        "refresh_token_replayed",
        "A refresh token that was used just now came again and got the same pair: a race, or a lost answer.",
    )
    REFRESH_TOKEN_REUSED = (
        "refresh_token_reused",
        "A refresh token that was used long ago came again: its grant has ended.",
    )
    REFRESH_TOKEN_REUSED_BY_ANOTHER_CLIENT = (
        "refresh_token_reused_by_another_client",
        "A used refresh token came from another client: its grant has ended.",
    )
    REFRESH_TOKEN_REUSED_BY_ANOTHER_KEY = (
        "refresh_token_reused_by_another_key",
        "A used refresh token came with another key: its grant has ended.",
    )
    SIGNING_KEY_ROTATED = "signing_key_rotated", "The command line put the next signing key to work."
    SIGNING_KEYS_REPLACED = (
        "signing_keys_replaced",
        "The command line replaced every signing key, because one had leaked.",
    )
    UPSTREAM_CONNECTED = "upstream_connected", "A person connected an account at an upstream."
    UPSTREAM_DISCONNECTED = "upstream_disconnected", "A person disconnected their account at an upstream."
    UPSTREAM_SIGN_IN_FAILED = "upstream_sign_in_failed", "A sign-in at an upstream came to nothing; `code` says why."
    VIRTUAL_KEY_CHANGE = "virtual_key_change", "The configuration changed a virtual key."
    VIRTUAL_KEY_CREATE = "virtual_key_create", "The configuration or the command line made a virtual key."
    VIRTUAL_KEY_REVOKE = "virtual_key_revoke", "The command line deactivated a virtual key."
    VIRTUAL_KEYS_GUESSED = (
        "virtual_keys_guessed",
        "So many wrong virtual keys were typed at a consent that the form is locked for a while.",
    )
    VIRTUAL_MCP_CHANGE = "virtual_mcp_change", "The configuration changed a virtual MCP."
    VIRTUAL_MCP_CREATE = "virtual_mcp_create", "The configuration made a virtual MCP."

    def __new__(cls, name: str, meaning: str) -> Self:
        made = str.__new__(cls, name)
        made._value_, made.meaning = name, meaning
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`name` is stable snake_case. `actor` and `target` are ids, like `vk:vk-1` or `grant_x`; never a secret."""

    name: str
    actor: str = ""
    """Empty: whoever the request turned out to be from."""
    target: str = ""
    result: Result = "success"
    details: Mapping[str, str] = field(default_factory=dict)


_kept: ContextVar[list[Event] | None] = ContextVar("bifrost_events", default=None)


def tell(name: Name, *, actor: str = "", target: str = "", result: Result = "success", **details: str) -> None:
    """Hand an event to the recorder, if there is one."""
    add(Event(name=name.value, actor=actor, target=target, result=result, details=details))


def add(event: Event) -> None:
    """The same for one that is an operation."""
    kept = _kept.get()
    if kept is not None:
        kept.append(event)


class heard:  # noqa: N801 - read as a word after `with`
    """The events that are told inside, in their order."""

    def __enter__(self) -> list[Event]:
        events: list[Event] = []
        self._before = _kept.set(events)
        return events

    def __exit__(self, *_error: object) -> None:
        _kept.reset(self._before)
