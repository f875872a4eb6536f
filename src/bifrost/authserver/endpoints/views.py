"""What the consent templates are given: facts in words, and nothing a client could use to paint over the page."""

import unicodedata
from dataclasses import fields
from functools import lru_cache
from typing import Any

from bifrost.authserver.models import AuthServerConfig, Client, PendingFlow
from bifrost.authserver.services import Service
from bifrost.protocol import redirect_uri, scope

MAX_NAME_CHARACTERS = 64
MAX_COMBINING_MARKS = 2
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Fillers that Unicode calls letters and fonts show as nothing."""

UNNAMED = "An unnamed application"

_SENTENCES = {
    "key_refused": "This virtual key is unknown, inactive or expired. Check it and paste it again.",
    "too_many_attempts": "Too many wrong keys. The form opens again in a few minutes.",
    "identity_required": "Choose who you are first. If you did, your key has become inactive meanwhile.",
    "anonymous_not_allowed": "This gateway asks everybody for a virtual key.",
    "identity_not_offered": "This way to identify yourself is not offered by this gateway.",
}
_IMPOSSIBLE = "This service cannot be connected as it is set up. Please tell whoever runs this gateway."
_NOTICES = {
    "connected": ("done", "The account is connected."),
    "disconnected": ("done", "The account is disconnected. What was kept of it here is deleted."),
    "headers_refused": ("bad", "The service did not accept these values. Check them and enter them again."),
    "headers_invalid": ("bad", "Fill in every value; only letters, digits and signs of ASCII can be sent."),
    "upstream_denied": ("bad", "The service did not give access. You can try again, or go on without it."),
    "upstream_refused": ("bad", "The service took its permission back before the sign-in was complete. Try again."),
    "upstream_unavailable": ("bad", "The service did not answer. Try again in a moment."),
    "upstream_mixed_up": ("bad", "The answer did not come from the service that was asked, so it was not used."),
    "upstream_sign_in_impossible": ("bad", _IMPOSSIBLE),
    "outside_url_refused": ("bad", _IMPOSSIBLE),
    "outside_unreachable": ("bad", "The service did not answer. Try again in a moment."),
    "upstream_sign_in_refused": ("bad", "The sign-in at the service was not complete. Try again."),
}
_HOUR, _DAY = 3_600, 86_400
_SERVICE = tuple(field.name for field in fields(Service))


def sentence(code: str | None) -> str | None:
    """Only known codes have words: free text from a query is never shown."""
    return _SENTENCES.get(code or "")


def notice(code: str | None) -> dict[str, str] | None:
    """What became of a sign-in at a service."""
    tone, text = _NOTICES.get(code or "", ("", ""))
    return {"tone": tone, "text": text} if text else None


def request(client: Client, flow: PendingFlow, config: AuthServerConfig, issuer: str) -> dict[str, Any]:
    target = redirect_uri.target(flow.redirect_uri)
    kinds = {redirect_uri.target(uri).kind for uri in client.redirect_uris}
    return {
        "client": {
            "name": shown_name(client.client_name),
            "verified_host": client.verified_host,
            "preregistered": client.origin == "preregistered",
            "redirect_host": target.label,
            "redirect_kind": target.kind,
            "loopback_only": kinds == {"loopback"},
        },
        "scopes": [scope.IN_WORDS[word] for word in flow.scope.split(" ")],
        "lifetime": lifetime(config.access_token_seconds, config.refresh_token_idle_seconds),
        "resource": f"{issuer}{flow.resource}",
    }


def service(shown: Service) -> dict[str, Any]:
    return {name: getattr(shown, name) for name in _SERVICE}


@lru_cache(maxsize=1_000)
def shown_name(name: str) -> str:
    """In one line, at most 64 characters, without control, format, bidirectional or invisible characters.

    Unicode categories C and Z go, letters that show nothing go, and a letter keeps at most two combining marks.
    """
    kept, marks = "", 0
    for character in unicodedata.normalize("NFC", name):
        category = unicodedata.category(character)
        marks = marks + 1 if category[0] == "M" else 0
        if category[0] in "CZ" or character in _BLANK_LETTERS:
            kept += " "
        elif marks <= MAX_COMBINING_MARKS:
            kept += character
    return " ".join(kept.split())[:MAX_NAME_CHARACTERS] or UNNAMED


@lru_cache
def lifetime(access_seconds: int, refresh_idle_seconds: int) -> str:
    return f"{_duration(access_seconds)}, renewed for up to {_duration(refresh_idle_seconds)} without use"


def _duration(seconds: int) -> str:
    """The largest of days, hours and minutes that says it without a fraction."""
    for size, word in ((_DAY, "day"), (_HOUR, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {word}" if count == 1 else f"{count} {word}s"
    return f"{seconds} seconds"
