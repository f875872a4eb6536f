"""Clients that register themselves (RFC 7591).

Their client id is sealed and carries the registration, so registering writes nothing, the same metadata always gives
the same id, and no clean-up can ever invalidate an id that a client still holds (docs/decisions/0003).
"""

import zlib
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from bifrost.authserver.models import Client
from bifrost.base.ids import hash_secret, random_bytes
from bifrost.base.sealing import KeyRing, SealBrokenError, encode
from bifrost.protocol import oauth, redirect_uri
from bifrost.protocol.client_registration import ClientMetadata
from bifrost.protocol.oauth import OAuthError

PREFIX = "bfcl_"
SECRET_PREFIX = "bfcs_"  # noqa: S105 - the prefix by which scanners find a leaked secret
MAX_CHARACTERS = 2_048
NONCE_BYTES = 9
MEMORY_LEVEL = 6
_ID_USE, _SECRET_USE = "client_id", "client_secret"


class _Sealed(msgspec.Struct, array_like=True):
    """What a client id carries; short names would not make it shorter than none."""

    name: str
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...]
    auth_method: str
    nonce: str


class _SealedWithRules(_Sealed):
    """What a client asks of us besides. Only written when it asks, so that the ids of all others stay as they are."""

    require_par: bool = False
    dpop_bound: bool = False


@dataclass(frozen=True, slots=True)
class SealedClients:
    ring: KeyRing
    app_schemes: Collection[str]

    def register(self, metadata: ClientMetadata) -> tuple[str, str]:
        """The id of the client, and its secret if it has one (RFC 7591 §3.2.1).

        Raises OAuthError when the metadata is too large for an id.
        """
        public = metadata.token_endpoint_auth_method == oauth.NONE
        sealed = _SealedWithRules(
            name=metadata.client_name,
            redirect_uris=metadata.redirect_uris,
            grant_types=metadata.grant_types,
            auth_method=metadata.token_endpoint_auth_method,
            # two confidential clients that call themselves the same must not share a secret
            nonce="" if public else encode(random_bytes(NONCE_BYTES)),
            require_par=metadata.require_pushed_authorization_requests,
            dpop_bound=metadata.dpop_bound_access_tokens,
        )
        client_id = PREFIX + self.ring.seal_name(_compressed(_encoded(sealed)), use=_ID_USE)
        if len(client_id) > MAX_CHARACTERS:
            raise OAuthError(
                oauth.INVALID_CLIENT_METADATA,
                f"The metadata does not fit into a client_id of {MAX_CHARACTERS} characters; "
                "register fewer or shorter redirect_uris.",
            )
        return client_id, "" if public else self._secret(client_id, self.ring.sealing_id)

    def open(self, client_id: str) -> Client | None:
        """What was registered; None for an id that this server did not make."""
        try:
            return self._opened(client_id)
        except SealBrokenError:
            return None

    def _opened(self, client_id: str) -> Client:
        if not client_id.startswith(PREFIX) or len(client_id) > MAX_CHARACTERS:
            raise SealBrokenError
        raw, ring_id = self.ring.open_name(client_id.removeprefix(PREFIX), use=_ID_USE)
        sealed = msgspec.json.decode(zlib.decompress(raw), type=_SealedWithRules)
        public = sealed.auth_method == oauth.NONE
        return Client(
            client_id=client_id,
            client_name=sealed.name,
            # the rules of today also hold for what was registered yesterday
            redirect_uris=tuple(
                uri for uri in sealed.redirect_uris if redirect_uri.refusal(uri, self.app_schemes) is None
            ),
            grant_types=sealed.grant_types,
            token_endpoint_auth_method=sealed.auth_method,
            secret_hash="" if public else hash_secret(self._secret(client_id, ring_id)),
            require_pushed_authorization_requests=sealed.require_par,
            dpop_bound_access_tokens=sealed.dpop_bound,
        )

    def _secret(self, client_id: str, ring_id: str) -> str:
        return SECRET_PREFIX + self.ring.mac(client_id, use=_SECRET_USE, ring_id=ring_id)


def _encoded(sealed: _SealedWithRules) -> bytes:
    """Without the rules when there are none."""
    members, without = msgspec.structs.astuple(sealed), len(_Sealed.__struct_fields__)
    return msgspec.json.encode(members if sealed.require_par or sealed.dpop_bound else members[:without])


def _compressed(plain: bytes) -> bytes:
    """As `zlib.compress(plain, 9)`, with a quarter of the memory for what fits into an id: the same bytes, sooner."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, MEMORY_LEVEL)
    return packer.compress(plain) + packer.flush()
