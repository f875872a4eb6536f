"""An administrator's view of clients: registering one by hand, and limiting or blocking any that was allowed once."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from bifrost.authserver.client_store import ClientStore
from bifrost.authserver.errors import ClientInvalid, ClientTaken, UnknownClient
from bifrost.authserver.models import Client, ClientChange, ClientPage, ClientRecord
from bifrost.authserver.sealed_clients import PREFIX, SECRET_PREFIX
from bifrost.base import events, ids
from bifrost.base.clock import Clock
from bifrost.protocol import client_id_metadata, oauth, redirect_uri, scope
from bifrost.protocol.jws import JwsError

MIN_SECRET_CHARACTERS = 22
"""Of a secret that an administrator brings along: only its hash is kept, so it must not be guessable from it."""
MAX_REDIRECT_URIS = 50
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,199}")
_HASH = re.compile(r"[0-9a-f]{64}")
_SECRETS = (oauth.CLIENT_SECRET_POST, oauth.CLIENT_SECRET_BASIC)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClient:
    """What is asked for. An empty id is made up, and so is the secret of a client that has one."""

    client_name: str
    redirect_uris: tuple[str, ...]
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    client_secret_hash: str = field(default="", repr=False)
    token_endpoint_auth_method: str = ""
    grant_types: tuple[str, ...] = oauth.GRANT_TYPES
    jwks: Mapping[str, Any] | None = None
    jwks_uri: str = ""
    access_token_format: oauth.AccessTokenFormat = oauth.OPAQUE
    require_pushed_authorization_requests: bool = False
    dpop_bound_access_tokens: bool = False

    @property
    def method(self) -> str:
        """What is not said follows from what is given."""
        if self.token_endpoint_auth_method:
            return self.token_endpoint_auth_method
        if self.client_secret or self.client_secret_hash:
            return oauth.CLIENT_SECRET_BASIC
        return oauth.PRIVATE_KEY_JWT if self.jwks or self.jwks_uri else oauth.NONE


@dataclass(frozen=True, slots=True)
class ClientRegistry:
    store: ClientStore
    app_schemes: Collection[str]
    clock: Clock

    async def create(self, wanted: NewClient) -> tuple[ClientRecord, str]:
        """The client and, this once, its secret if it has one. Raises ClientInvalid, ClientTaken."""
        secret = wanted.client_secret
        if wanted.method in _SECRETS and not (secret or wanted.client_secret_hash):
            secret = ids.new_secret(SECRET_PREFIX)
        client_id = wanted.client_id or ids.new_id("client-")
        record = self._record(replace(wanted, client_id=client_id, client_secret=secret))
        if not await self.store.add_client(record, ""):
            raise ClientTaken(f"A client with the client_id {record.client.client_id} exists already.")
        log.info("client_created", client_id=record.client.client_id)
        return record, secret

    async def configure(self, wanted: NewClient, config_mac: str) -> None:
        """Make the client as the configuration says, unless it was changed otherwise since. Raises ClientInvalid."""
        record = self._record(wanted)
        client_id = record.client.client_id
        if await self.store.add_client(record, config_mac):
            events.tell(events.Name.OAUTH_CLIENT_CREATE, target=record.id, client_id=client_id)
            log.info("client_created", client_id=client_id)
        elif await self.store.reconfigure_client(record, config_mac):
            known = await self.store.client(client_id) or record
            events.tell(events.Name.OAUTH_CLIENT_CHANGE, target=known.id, client_id=client_id)
            log.info("client_changed", client_id=client_id)

    async def page(self, search: str, limit: int, offset: int) -> ClientPage:
        """Those with a row, whoever was allowed last first."""
        return await self.store.clients(search, limit, offset, self.clock.now())

    async def grants_of(self, record: ClientRecord) -> int:
        """How many it has now."""
        return await self.store.living_grants(record.client.client_id, self.clock.now())

    async def one(self, row_id: str) -> ClientRecord:
        """Raises UnknownClient."""
        record = await self.store.client_by_row(row_id)
        if record is None:
            raise UnknownClient(f"There is no client {row_id}.")
        return record

    async def change(self, row_id: str, change: ClientChange) -> ClientRecord:
        """Rename, limit, block or unblock, and for a pre-registered one its own metadata.

        Blocking ends every grant of the client, a limit those that are wider. Raises UnknownClient, ClientInvalid.
        """
        record = await self.one(row_id)
        if change.scope_limit not in (None, "", scope.READ, scope.DEFAULT):
            raise ClientInvalid(f"A scope_limit is empty or {scope.READ}.", param="scope_limit")
        if change.definition:
            if record.client.origin != "preregistered":
                member = next(iter(change.definition))
                raise ClientInvalid("Only a pre-registered client can be redefined.", param=member)
            if change.redirect_uris is not None:
                _check_redirect_uris(change.redirect_uris, self.app_schemes)
        changed = await self.store.change_client(row_id, change, self.clock.now())
        if changed is None:
            raise UnknownClient(f"There is no client {row_id}.")
        log.info("client_changed", client_id=changed.client.client_id, blocked=changed.blocked_at is not None)
        return changed

    async def remove(self, row_id: str) -> None:
        """A pre-registered client, with all its grants. Others come back at their next consent: block them.

        Raises UnknownClient, ClientInvalid.
        """
        record = await self.one(row_id)
        if record.client.origin != "preregistered":
            raise ClientInvalid("Only a pre-registered client can be deleted; block this one instead.")
        await self.store.remove_client(row_id, self.clock.now())
        log.info("client_removed", client_id=record.client.client_id)

    def _record(self, wanted: NewClient) -> ClientRecord:
        now = self.clock.now()
        client = check(wanted, self.app_schemes)
        return ClientRecord(id=ids.new_id("client_"), client=client, created_at=now, updated_at=now)


def check(wanted: NewClient, app_schemes: Collection[str]) -> Client:
    """The client that is asked for, by its client_id. Raises ClientInvalid."""
    client_id = wanted.client_id
    if not _CLIENT_ID.fullmatch(client_id) or client_id.startswith(PREFIX):
        raise ClientInvalid(
            f"A client_id is up to 200 letters, digits and . _ ~ -, and does not begin with {PREFIX}.",
            param="client_id",
        )
    if not wanted.client_name:
        raise ClientInvalid("A client needs a client_name.", param="client_name")
    _check_redirect_uris(wanted.redirect_uris, app_schemes)
    grants = set(wanted.grant_types)
    if oauth.AUTHORIZATION_CODE not in grants or not grants <= set(oauth.GRANT_TYPES):
        raise ClientInvalid(
            f"grant_types are {oauth.AUTHORIZATION_CODE} and, if it may renew its tokens, {oauth.REFRESH_TOKEN}.",
            param="grant_types",
        )
    jwks, jwks_uri = _keys(wanted)
    return Client(
        client_id=client_id,
        client_name=wanted.client_name,
        redirect_uris=wanted.redirect_uris,
        grant_types=wanted.grant_types,
        token_endpoint_auth_method=wanted.method,
        origin="preregistered",
        secret_hash=_secret_hash(wanted),
        jwks=jwks,
        jwks_uri=jwks_uri,
        access_token_format=wanted.access_token_format,
        require_pushed_authorization_requests=wanted.require_pushed_authorization_requests,
        dpop_bound_access_tokens=wanted.dpop_bound_access_tokens,
    )


def _check_redirect_uris(uris: tuple[str, ...], app_schemes: Collection[str]) -> None:
    """By the rules for everybody, but nothing is dropped in silence: a mistake of an administrator is told."""
    if not 0 < len(uris) <= MAX_REDIRECT_URIS:
        raise ClientInvalid(f"A client needs 1 to {MAX_REDIRECT_URIS} redirect_uris.", param="redirect_uris")
    for uri in uris:
        reason = redirect_uri.refusal(uri, app_schemes)
        if reason:
            raise ClientInvalid(f"The redirect URI {uri[:200]!r} cannot be used: {reason}.", param="redirect_uris")


def _keys(wanted: NewClient) -> tuple[tuple[Mapping[str, Any], ...], str]:
    """For private_key_jwt exactly one of jwks and jwks_uri, for any other method neither. Raises ClientInvalid."""
    members = {"jwks": wanted.jwks, "jwks_uri": wanted.jwks_uri}
    try:
        jwks, jwks_uri = client_id_metadata.keys_of(members)
    except JwsError as error:
        raise ClientInvalid(f"The keys of the client cannot be used: {error}.", param="jwks") from error
    if (bool(jwks) != bool(jwks_uri)) != (wanted.method == oauth.PRIVATE_KEY_JWT):
        raise ClientInvalid("jwks or jwks_uri belong to private_key_jwt, one of them and nowhere else.", param="jwks")
    return jwks, jwks_uri


def _secret_hash(wanted: NewClient) -> str:
    """Empty for a client without a secret. Raises ClientInvalid."""
    if wanted.method not in oauth.ENDPOINT_AUTH_METHODS:
        raise ClientInvalid(
            f"token_endpoint_auth_method must be one of: {', '.join(oauth.ENDPOINT_AUTH_METHODS)}.",
            param="token_endpoint_auth_method",
        )
    if wanted.method not in _SECRETS:
        if wanted.client_secret or wanted.client_secret_hash:
            raise ClientInvalid("A client with a secret needs a method that uses it.", param="client_secret")
        return ""
    if wanted.client_secret_hash:
        if wanted.client_secret or not _HASH.fullmatch(wanted.client_secret_hash):
            raise ClientInvalid(
                "client_secret_hash is the SHA-256 of the secret in hex, instead of client_secret.",
                param="client_secret_hash",
            )
        return wanted.client_secret_hash
    if len(wanted.client_secret) < MIN_SECRET_CHARACTERS or not wanted.client_secret.isascii():
        raise ClientInvalid(
            f"A client_secret has at least {MIN_SECRET_CHARACTERS} random ASCII characters.", param="client_secret"
        )
    return ids.hash_secret(wanted.client_secret)
