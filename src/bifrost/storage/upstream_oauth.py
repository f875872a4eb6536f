"""Sign-ins at upstreams and the credentials they gave, in SQL. Everything secret is sealed before it gets here."""

from dataclasses import replace
from typing import Any

import msgspec
import structlog

from bifrost.base import ids
from bifrost.base.sealing import SealBrokenError
from bifrost.storage.database import Connection, Database, Row, queries
from bifrost.upstreams import vault
from bifrost.upstreams.accounts import Basis, Credential, CredentialState, Owner, Registration, SignIn
from bifrost.upstreams.vault import Vault

CREDENTIAL_ID = "cred_"

log = structlog.get_logger()


class SqlUpstreamOAuthStore:
    def __init__(self, database: Database, opens: Vault) -> None:
        self._database = database
        self._vault = opens
        self._queries = queries("upstream_oauth", database.driver)
        self._installation = queries("installation", database.driver)

    async def registration(self, upstream_id: str, issuer: str, redirect_uri: str) -> Registration | None:
        async with self._database.read() as connection:
            sealed = await self._queries.registration(
                connection, upstream_id=upstream_id, issuer=issuer, redirect_uri=redirect_uri
            )
        return self._registration(upstream_id, sealed) if sealed else None

    async def keep_registration(
        self, upstream_id: str, redirect_uri: str, registration: Registration, now: int
    ) -> None:
        async with self._database.transaction() as connection:
            await self._queries.keep_registration(
                connection,
                upstream_id=upstream_id,
                issuer=registration.issuer,
                redirect_uri=redirect_uri,
                sealed=self._vault.seal_registration(upstream_id, registration),
                created_at=now,
            )

    async def registrations(self, upstream_id: str) -> list[Registration]:
        async with self._database.read() as connection:
            found = self._queries.registrations(connection, upstream_id=upstream_id)
            opened = [self._registration(upstream_id, row["sealed"]) async for row in found]
        return [registration for registration in opened if registration]

    async def forget_registration(self, upstream_id: str, registration: Registration) -> None:
        async with self._database.transaction() as connection:
            found = self._queries.registrations(connection, upstream_id=upstream_id)
            for row in [row async for row in found]:
                if self._registration(upstream_id, row["sealed"]) == registration:
                    await self._queries.forget_registration(
                        connection, upstream_id=upstream_id, issuer=row["issuer"], redirect_uri=row["redirect_uri"]
                    )

    async def client_key(self) -> bytes | None:
        async with self._database.read() as connection:
            sealed = await self._installation.installation_value(connection, name=vault.CLIENT_KEY)
        return self._vault.open_client_key(sealed) if sealed else None

    async def keep_client_key(self, key: bytes) -> bytes:
        async with self._database.transaction() as connection:
            sealed = self._vault.seal_client_key(key)
            await self._installation.keep_installation_value(connection, name=vault.CLIENT_KEY, value=sealed)
            kept: str = await self._installation.installation_value(connection, name=vault.CLIENT_KEY)
        return self._vault.open_client_key(kept)

    async def add_sign_in(self, state_hash: str, sign_in: SignIn, now: int) -> None:
        async with self._database.transaction() as connection:
            await self._queries.add_sign_in(
                connection,
                state_hash=state_hash,
                upstream_id=sign_in.upstream_id,
                browser_hash=sign_in.browser_hash,
                sealed=self._vault.seal_sign_in(state_hash, sign_in),
                created_at=now,
                expires_at=sign_in.expires_at,
            )

    async def registration_doubtful(
        self, upstream_id: str, browser_hash: str, now: int, *, registered_before: int
    ) -> bool:
        async with self._database.read() as connection:
            found = await self._queries.registration_doubtful(
                connection,
                upstream_id=upstream_id,
                browser_hash=browser_hash,
                now=now,
                registered_before=registered_before,
            )
        return found is not None

    async def claim_sign_in(self, state_hash: str, browser_hashes: tuple[str, ...], now: int) -> SignIn | None:
        async with self._database.transaction() as connection:
            for browser_hash in browser_hashes:
                sealed = await self._queries.claim_sign_in(
                    connection, state_hash=state_hash, browser_hash=browser_hash, now=now
                )
                if sealed:
                    return self._vault.open_sign_in(state_hash, sealed)
        return None

    async def connected(self, credential: Credential, now: int) -> bool:
        upstream_id, owner = credential.upstream_id, credential.owner
        holds = {"vk": self._queries.hold_key, "flow": self._queries.hold_flow, "setup": self._queries.hold_set_up}
        async with self._database.transaction() as connection:
            # the upstream's row first, as everywhere; whoever ends one of the two waits, or has been faster
            held = await self._queries.hold_upstream(connection, upstream_id=upstream_id)
            if held is not None and owner.kind in holds:
                held = await holds[owner.kind](connection, owner_id=owner.id, now=now)
            if held is not None:
                await self._keep(connection, credential, now)
        return held is not None

    async def keep_credential(self, credential: Credential, now: int) -> None:
        async with self._database.transaction() as connection:
            await self._keep(connection, credential, now)

    async def credential(self, upstream_id: str, owner: Owner) -> Credential | None:
        async with self._database.read() as connection:
            row = await self._queries.credential(
                connection, upstream_id=upstream_id, owner_kind=owner.kind, owner_id=owner.id
            )
        return self.opened(row) if row else None

    async def credentials_of(self, owner: Owner) -> list[Credential]:
        async with self._database.read() as connection:
            found = self._queries.credentials_of(connection, owner_kind=owner.kind, owner_id=owner.id)
            return [self.opened(row) async for row in found]

    async def lease_refresh(self, credential: Credential, until: int, now: int) -> bool:
        async with self._database.transaction() as connection:
            leased = await self._queries.lease_refresh(connection, **_version(credential), until=until, now=now)
        return leased is not None

    async def refreshed(self, credential: Credential, now: int) -> bool:
        sealed = self._vault.seal_credential(credential)
        async with self._database.transaction() as connection:
            written = await self._queries.refreshed(connection, **_version(credential), sealed=sealed, now=now)
        return written is not None

    async def needs_reauth(self, credential: Credential, reason: str, now: int, *, more_scope: str = "") -> None:
        async with self._database.transaction() as connection:
            await self._queries.needs_reauth(
                connection, **_version(credential), reason=reason, more_scope=more_scope, now=now
            )

    async def keep_lease(self, credential: Credential, held: int, until: int) -> bool:
        async with self._database.transaction() as connection:
            kept = await self._queries.keep_lease(connection, **_version(credential), held=held, until=until)
        return kept is not None

    async def release_refresh(self, credential: Credential, held: int, until: int | None) -> None:
        async with self._database.transaction() as connection:
            await self._queries.release_refresh(connection, **_version(credential), held=held, until=until)

    async def settle(self, credential: Credential, state: CredentialState, now: int) -> None:
        async with self._database.transaction() as connection:
            await self._queries.settle(connection, **_version(credential), was=credential.state, state=state, now=now)

    async def move_credentials(self, connection: Connection, source: Owner, target: Owner, now: int) -> None:
        """Inside the transaction of a submit: what the flow connected becomes the identity's, sealed anew for it."""
        for credential in await self.take_credentials(connection, source):
            await self._keep(connection, replace(credential, owner=target), now)

    async def take_credentials(self, connection: Connection, owner: Owner) -> list[Credential]:
        """Inside a transaction: delete all that this owner has, and give it."""
        taken = self._queries.take_credentials(connection, owner_kind=owner.kind, owner_id=owner.id)
        return [self.opened(row) async for row in taken]

    async def sweep(self, connection: Connection, before: int) -> None:
        await self._queries.sweep_sign_ins(connection, before=before)
        await self._queries.sweep_connect_sessions(connection, before=before)
        await self._queries.sweep_flow_credentials(connection)

    async def _keep(self, connection: Connection, credential: Credential, now: int) -> None:
        await self._queries.keep_credential(
            connection,
            id=ids.new_id(CREDENTIAL_ID),
            upstream_id=credential.upstream_id,
            owner_kind=credential.owner.kind,
            owner_id=credential.owner.id,
            kind="headers" if credential.headers else "oauth",
            header_names=msgspec.json.encode(list(credential.headers)).decode(),
            target=credential.target,
            sealed=self._vault.seal_credential(credential),
            lasting=credential.basis.lasting,
            reason=credential.reason,
            now=now,
        )

    def _registration(self, upstream_id: str, sealed: str) -> Registration | None:
        """None when it cannot be opened: the next sign-in registers again, over it."""
        try:
            return self._vault.open_registration(upstream_id, sealed)
        except SealBrokenError:
            log.warning("upstream_registration_unreadable", upstream=upstream_id)
            return None

    def opened(self, row: Row) -> Credential:
        """State and version are the row's: they change without the sealed part."""
        owner = Owner(row["owner_kind"], row["owner_id"])
        try:
            opened = self._vault.open_credential(row["upstream_id"], owner, row["sealed"])
        except SealBrokenError:
            log.warning("upstream_credential_unreadable", upstream=row["upstream_id"], owner=str(owner))
            return _unreadable(row, owner)
        return replace(
            opened,
            owner=owner,
            state=row["state"],
            reason=row["reason"],
            more_scope=row["more_scope"],
            version=row["version"],
            basis=basis(row),
        )


def basis(row: Row) -> Basis:
    return Basis(
        kind=row["kind"],
        header_names=msgspec.json.decode(row["header_names"], type=tuple[str, ...]),
        target=row["target"],
        lasting=row["lasting"],
    )


def _unreadable(row: Row, owner: Owner) -> Credential:
    """Tampered with, moved, or sealed with a key that is gone: of no use, and the person can connect again."""
    return Credential(
        upstream_id=row["upstream_id"],
        owner=owner,
        state="needs_reauth",
        reason="What was stored cannot be opened.",
        version=row["version"],
        basis=replace(basis(row), lasting="needs_reauth"),
    )


def _version(credential: Credential) -> dict[str, Any]:
    return {
        "upstream_id": credential.upstream_id,
        "owner_kind": credential.owner.kind,
        "owner_id": credential.owner.id,
        "version": credential.version,
    }
