"""Challenges for access tokens: Bearer and DPoP (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1)."""

from functools import lru_cache

from bifrost.protocol import dpop

BEARER = "Bearer"
ALGORITHMS = f'algs="{" ".join(dpop.ALGORITHMS)}"'


@lru_cache(maxsize=256)
def challenge(
    *, metadata_url: str | None, scope: str, error: str = "", description: str = "", scheme: str = BEARER
) -> str:
    """The value of `WWW-Authenticate`. Without credentials there is no `error` (OAuth 2.1 §5.3.2).

    The order is part of the contract: `resource_metadata` and `scope` first, so that clients that read only the
    beginning find what they need.
    """
    pairs = {"resource_metadata": metadata_url, "scope": scope, "error": error, "error_description": description}
    listed = ", ".join(f'{name}="{_quoted(value)}"' for name, value in pairs.items() if value)
    return f"{scheme} {listed}" + (f", {ALGORITHMS}" if scheme == dpop.SCHEME else "")


def _quoted(value: str) -> str:
    return value.replace("\\", "").replace('"', "'")
