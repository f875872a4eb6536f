"""Secrets that can be recognised wherever they turn up, in any of the ways that text is written down."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from bifrost.base.ids import new_secret


def canary(prefix: str = "") -> str:
    return f"{prefix}canary{new_secret()}"


def _forms(secret: str) -> Iterator[bytes]:
    """As it is, and as it looks inside JSON, URLs, hexadecimal, and base64 of whatever stands around it."""
    raw = secret.encode()
    yield raw
    yield json.dumps(secret)[1:-1].encode()
    yield quote(secret, safe="").encode()
    yield quote_plus(secret).encode()
    yield raw.hex().encode()
    for offset in range(3):
        # the first and last characters depend on the neighbours, the middle does not
        encoded = base64.b64encode(b"\0" * offset + raw)[4:-4]
        yield encoded
        yield encoded.translate(bytes.maketrans(b"+/", b"-_"))


def found_in(secrets_by_name: dict[str, str], haystack: bytes) -> set[str]:
    return {name for name, secret in secrets_by_name.items() if any(form in haystack for form in _forms(secret))}
