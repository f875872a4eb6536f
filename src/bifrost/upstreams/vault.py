"""The only module that seals and opens upstream secrets. What it seals is bound to the row that keeps it."""

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from bifrost.base.sealing import KeyRing
from bifrost.upstreams.accounts import Credential, Owner, Registration, SignIn
from bifrost.upstreams.models import OAuthConfig, Upstream

HEADERS, OAUTH_CONFIG = "upstream_headers", "upstream_oauth_config"
REGISTRATION, SIGN_IN, CREDENTIAL = "upstream_registration", "upstream_sign_in", "upstream_credential"
CLIENT_KEY = "upstream_client_key"
"""What a key is derived for; a value sealed for one use does not open for another."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Vault:
    """Opening raises SealBrokenError, also for a value that was copied from another row."""

    ring: KeyRing

    def seal_headers(self, upstream_id: str, headers: dict[str, str]) -> str:
        return self._seal(headers, HEADERS, upstream_id)

    def open_headers(self, upstream: Upstream) -> dict[str, str]:
        return self._open(upstream.sealed_headers, dict[str, str], HEADERS, upstream.id)

    def seal_oauth_config(self, upstream_id: str, config: OAuthConfig) -> str:
        return self._seal(config, OAUTH_CONFIG, upstream_id)

    def open_oauth_config(self, upstream: Upstream) -> OAuthConfig:
        if not upstream.sealed_oauth_config:
            return OAuthConfig()
        return self._open(upstream.sealed_oauth_config, OAuthConfig, OAUTH_CONFIG, upstream.id)

    def seal_registration(self, upstream_id: str, registration: Registration) -> str:
        return self._seal(registration, REGISTRATION, upstream_id)

    def open_registration(self, upstream_id: str, sealed: str) -> Registration:
        return self._open(sealed, Registration, REGISTRATION, upstream_id)

    def seal_sign_in(self, state_hash: str, sign_in: SignIn) -> str:
        return self._seal(sign_in, SIGN_IN, state_hash)

    def open_sign_in(self, state_hash: str, sealed: str) -> SignIn:
        return self._open(sealed, SignIn, SIGN_IN, state_hash)

    def seal_credential(self, credential: Credential) -> str:
        return self._seal(credential, CREDENTIAL, credential_owner(credential.upstream_id, credential.owner))

    def open_credential(self, upstream_id: str, owner: Owner, sealed: str) -> Credential:
        return self._open(sealed, Credential, CREDENTIAL, credential_owner(upstream_id, owner))

    def seal_client_key(self, key: bytes) -> str:
        return self.ring.seal(key, use=CLIENT_KEY, owner=CLIENT_KEY)

    def open_client_key(self, sealed: str) -> bytes:
        return self.ring.open(sealed, use=CLIENT_KEY, owner=CLIENT_KEY)

    def _seal(self, value: object, use: str, owner: str) -> str:
        return self.ring.seal(msgspec.json.encode(value), use=use, owner=owner)

    def _open(self, sealed: str, kind: type[T], use: str, owner: str) -> T:
        return msgspec.json.decode(self.ring.open(sealed, use=use, owner=owner), type=kind)


def credential_owner(upstream_id: str, owner: Owner) -> str:
    """The associated data of a credential: a row moved to another owner or upstream does not open."""
    return f"{upstream_id}|{owner}"
