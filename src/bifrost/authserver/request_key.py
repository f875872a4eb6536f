"""The key that a request was made with (DPoP, RFC 9449): shown by a proof, which is spent only on what is real."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


async def _nothing() -> None:
    """There is no proof to spend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKey:
    """Anybody can make proofs, so one is remembered only when there is something that it is for (§11.1).

    What a request changes comes after `spend`: so a proof that was seen changes nothing a second time, and what is
    refused before that costs no row.
    """

    jkt: str = ""
    """The key's thumbprint; empty without a proof."""
    spend: Callable[[], Awaitable[None]] = _nothing
    """Raises OAuthError when the proof was used before."""


NO_KEY = RequestKey()
