"""The browser's secrets, made by this server and kept here as hashes.

One binds the flows of a browser and lives as long as they do; another, given only after a finished consent, is by what
the browser is known again.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import lru_cache

from bifrost.authserver.models import PendingFlow
from bifrost.base import ids
from bifrost.base.sealing import KeyRing

COOKIE = "__bifrost_flow_secret"
PERSON_COOKIE = "__bifrost_person"
RECENT_FLOWS = 1_000
"""Whose CSRF token is kept: it is asked for at every step."""

FLOW_USE, PERSON_USE = "flow_secret", "person_secret"


@dataclass(frozen=True, slots=True)
class Browser:
    """The secrets that a browser presented and this server made; normally one."""

    secrets: tuple[str, ...] = field(repr=False)

    def secret_of(self, flow: PendingFlow) -> str | None:
        """The secret that the flow is bound to, or None when this is another browser."""
        return self.secret_with(flow.browser_hash)

    def secret_with(self, browser_hash: str | None) -> str | None:
        """The secret with this hash, or None; nothing has the hash of nobody."""
        for secret in self.secrets:
            if browser_hash and ids.same(ids.hash_secret(secret), browser_hash):
                return secret
        return None


@dataclass(frozen=True, slots=True)
class BrowserSecrets:
    """Makes secrets, and tells its own from planted ones: a secret carries a MAC of the server."""

    ring: KeyRing
    use: str = FLOW_USE

    def new(self) -> str:
        random = ids.new_secret()
        return f"{random}.{self.ring.mac(random, use=self.use)}"

    def presented(self, values: list[str]) -> Browser:
        return Browser(tuple(dict.fromkeys(value for value in values if self._made(value))))

    def keep_or_new(self, browser: Browser) -> str:
        """A browser keeps its secret, so that several flows in it all finish; an ambiguous one gets a fresh one."""
        return browser.secrets[0] if len(browser.secrets) == 1 else self.new()

    def _made(self, value: str) -> bool:
        random, _, mac = value.partition(".")
        return bool(random and mac) and value.isascii() and self.ring.made(random, mac, use=self.use)


@lru_cache(maxsize=RECENT_FLOWS)
def csrf_token(secret: str, flow_id: str) -> str:
    """Stable for a flow in its browser, so that a page opened twice still works, and useless for any other."""
    return hmac.digest(secret.encode(), f"csrf:{flow_id}".encode(), hashlib.sha256).hex()
