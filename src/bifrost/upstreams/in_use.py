"""The one way to a credential that is about to be used. Its state is decided anew: nothing waits for a background job.

Whoever asks here reaches the upstream, so a credential that was orphaned comes back by itself.
"""

from typing import Protocol

from bifrost.base.clock import Clock
from bifrost.upstreams.accounts import KINDS, Credential, CredentialState, Owner
from bifrost.upstreams.errors import ConnectionRequired
from bifrost.upstreams.models import Upstream


class InUseStore(Protocol):
    async def credential(self, upstream_id: str, owner: Owner) -> Credential | None: ...

    async def settle(self, credential: Credential, state: CredentialState, now: int) -> None: ...


async def active(store: InUseStore, upstream: Upstream, owner: Owner, clock: Clock) -> Credential:
    """Raises ConnectionRequired."""
    credential = await store.credential(upstream.id, owner)
    if credential is None:
        raise required(upstream)
    state = credential.basis.state(upstream, may_use=True)
    if state != credential.state:
        await store.settle(credential, state, clock.now())
    if state != "active":
        raise required(upstream)
    return credential


def required(upstream: Upstream) -> ConnectionRequired:
    return ConnectionRequired(upstream.id, upstream.name, KINDS.get(upstream.auth_type, "oauth"))
