"""Parameters of queries and forms, parsed strictly: one meaning for every byte, or an error that names the parameter.

Frameworks differ in which of two equal names they take; that difference is an attack (OAuth 2.1 §3.1 forbids
repeated parameters), so a repetition is an error here.
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from bifrost.base.errors import Invalid
from bifrost.http import body

FORM = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 64 * 1024
"""Of a query as well."""
MAX_PARAMETERS = 64
MAX_CHARACTERS = 4_096
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PLAIN = re.compile(rb"[A-Za-z0-9._~-]*")
"""Nothing in it is encoded, and nothing can be wrong with it but its length."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Parameters:
    """Names and raw values; a value is decoded, and refused, when it is asked for."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) > MAX_FORM_BYTES:
            raise Invalid(f"The parameters are longer than {MAX_FORM_BYTES} bytes.")
        if raw.count(b"&") > MAX_PARAMETERS:  # before anything is cut: an empty piece costs as much as another
            raise Invalid(f"There are more than {MAX_PARAMETERS} parameters.")
        pieces = [piece for piece in raw.split(b"&") if piece]
        if len(pieces) > MAX_PARAMETERS:
            raise Invalid(f"There are more than {MAX_PARAMETERS} parameters.")
        self._values: dict[str, list[bytes]] = {}
        for piece in pieces:
            name, _, value = piece.partition(b"=")
            self._values.setdefault(_decoded(name).decode("utf-8", "replace"), []).append(value)

    def refuse_repeated(self, *, but: tuple[str, ...] = ()) -> None:
        """Raises Invalid. RFC 8707 §2 lets `resource` appear several times."""
        for name, values in self._values.items():
            if len(values) > 1 and name not in but:
                shown = name[:40] if name.isprintable() else ""
                raise Invalid("A parameter appears more than once.", param=shown)

    def names(self) -> list[str]:
        return list(self._values)

    def get(self, name: str) -> str | None:
        """The value, or None when it is absent; an empty value counts as absent (OAuth 2.1 §3.1). Raises Invalid."""
        sent: Sequence[bytes] = self._values.get(name, ())
        if len(sent) > 1:
            sent = [raw for raw in sent if raw]
            if len(sent) > 1:
                raise Invalid(f"The parameter {name} appears more than once.", param=name)
        return self._text(name, sent[0]) if sent and sent[0] else None

    def all(self, name: str) -> list[str]:
        return [self._text(name, raw) for raw in self._values.get(name, []) if raw]

    @staticmethod
    def _text(name: str, raw: bytes) -> str:
        plain = _PLAIN.fullmatch(raw)
        if not plain and _BAD_ESCAPE.search(raw):
            raise Invalid(f"The parameter {name} is not percent-encoded correctly.", param=name)
        try:
            text = raw.decode() if plain else _decoded(raw).decode()
        except UnicodeDecodeError as error:
            raise Invalid(f"The parameter {name} is not UTF-8.", param=name) from error
        if len(text) > MAX_CHARACTERS:
            raise Invalid(f"The parameter {name} has more than {MAX_CHARACTERS} characters.", param=name)
        if not plain and _CONTROL.search(text):
            raise Invalid(f"The parameter {name} contains control characters.", param=name)
        return text


def query(request: Request) -> Parameters:
    raw: bytes = request.scope["query_string"]
    return Parameters(raw)


async def form(request: Request) -> Parameters:
    """The form in the body; what the query says is never looked at. Raises Invalid, TooLarge, Unsupported."""
    return Parameters(await body.read(request, limit=MAX_FORM_BYTES, content_type=FORM))


async def secret_form(request: Request, secrets: tuple[str, ...]) -> Parameters:
    """As `form`; refused when one of these names stands in the URL, where logs and proxies would keep its value."""
    sent = query(request)
    found = next((name for name in secrets if sent.all(name)), "")
    if found:
        raise Invalid("Send the parameters in the body, never in the URL.", param=found)
    return await form(request)


def _decoded(raw: bytes) -> bytes:
    return raw if _PLAIN.fullmatch(raw) else unquote_to_bytes(raw.replace(b"+", b" "))
