"""Remembered consent: what a person allowed a client before, and when one click may be enough (contract §5).

Every consent is remembered for (identity, client), listed and revocable. Only a client that somebody vouches for gets
by with "Continue as …", only in a browser in which the person finished a consent before, and only while nothing that
the person then saw has grown. It is never a code without a click, and never for another client.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from bifrost.authserver.browser import Browser
from bifrost.authserver.identities import Identities
from bifrost.authserver.models import Client, ConsentPage, PendingFlow, RememberedConsent
from bifrost.base import ids
from bifrost.base.clock import Clock
from bifrost.base.errors import NotFound
from bifrost.identity.models import Identity
from bifrost.protocol import redirect_uri, scope


class ConsentStore(Protocol):
    async def consents_in_browser(
        self, person_hash: str, client_id: str, now: int
    ) -> list[tuple[RememberedConsent, str]]:
        """What was allowed this client by the identities that are known in this browser, the latest first.

        With the proof of who it is that was current then.
        """
        ...

    async def consents(self, limit: int, offset: int, now: int) -> ConsentPage: ...

    async def forget_consent(self, consent_id: str) -> bool: ...

    async def forget_consent_of(self, identity: Identity, client_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Remembered:
    store: ConsentStore
    identities: Identities
    clock: Clock

    async def offer(self, flow: PendingFlow, client: Client, person: Browser) -> Identity | None:
        """As whom one click may be enough; None when everything has to be shown."""
        if not client.is_verified:
            return None
        asked = facts(flow, client, Identity("session", ""))
        for secret in person.secrets:
            hashed = ids.hash_secret(secret)
            for known, proof in await self.store.consents_in_browser(hashed, client.client_id, self.clock.now()):
                if covers(known, asked) and await self._still(known.identity, proof):
                    return known.identity
        return None

    async def page(self, limit: int, offset: int) -> ConsentPage:
        """The latest first."""
        return await self.store.consents(limit, offset, self.clock.now())

    async def forget(self, consent_id: str) -> None:
        """The next time everything is shown again; grants stay. Raises NotFound."""
        if not await self.store.forget_consent(consent_id):
            raise NotFound(f"There is no consent {consent_id}.")

    async def forget_for(self, identity: Identity, client_id: str) -> None:
        await self.store.forget_consent_of(identity, client_id)

    async def _still(self, identity: Identity, proof: str) -> bool:
        """A virtual key that has got a new value since has to be shown again."""
        if await self.identities.standing(identity) is None:
            return False
        return proof == await self.identities.proof(identity)


def facts(flow: PendingFlow, client: Client, identity: Identity) -> RememberedConsent:
    """What a person sees of a request, in the form in which it is compared later."""
    targets = [redirect_uri.target(uri) for uri in client.redirect_uris]
    hosts = {target.label if target.kind != "loopback" else "loopback" for target in targets}
    keys: Mapping[str, Any] = {
        "method": client.token_endpoint_auth_method,
        "jwks": client.jwks,
        "jwks_uri": client.jwks_uri,
    }
    return RememberedConsent(
        identity=identity,
        client_id=client.client_id,
        scope=flow.scope,
        resources=(flow.resource,),
        redirect_hosts=tuple(sorted(hosts)),
        keys_hash=hashlib.sha256(msgspec.json.encode(keys, order="sorted")).hexdigest(),
    )


def covers(known: RememberedConsent, asked: RememberedConsent) -> bool:
    """Whether nothing has grown: scopes, resources, redirect hosts, and the keys are the same."""
    return (
        all(scope.allows(known.scope, word) for word in asked.scope.split(" "))
        and set(asked.resources) <= set(known.resources)
        and set(asked.redirect_hosts) <= set(known.redirect_hosts)
        and asked.keys_hash == known.keys_hash
    )


def joined(known: RememberedConsent | None, given: RememberedConsent) -> RememberedConsent:
    """What was allowed in all: scopes or resources add up, the client is as it was shown the last time.

    Never both: what was allowed at one endpoint would then be allowed at another, and nobody was shown that.
    """
    if known is None:
        return given
    words = [set(consent.scope.split(" ")) for consent in (known, given)]
    resources = [set(consent.resources) for consent in (known, given)]
    if words[0] != words[1] and resources[0] != resources[1] and not _within(words, resources):
        return given
    return msgspec.structs.replace(
        given,
        scope=" ".join(word for word in scope.SUPPORTED if word in set.union(*words)),
        resources=tuple(sorted(set.union(*resources))),
    )


def _within(words: list[set[str]], resources: list[set[str]]) -> bool:
    """Whether one of two consents is a part of the other in every way."""
    return all(one <= other for one, other in (words, resources)) or all(
        one >= other for one, other in (words, resources)
    )
