"""What a call takes of its virtual key's limits. A call that fails costs nothing; a result costs, whatever it says."""

from dataclasses import dataclass
from typing import Self

from bifrost.base.errors import DomainError
from bifrost.governance.limits import Limits
from bifrost.governance.usage import Admission
from bifrost.governance.virtual_keys import VirtualKeys
from bifrost.identity.models import Identity
from bifrost.protocol.jsonrpc import RpcError


@dataclass(frozen=True, slots=True)
class Quota:
    virtual_keys: VirtualKeys
    limits: Limits

    def taken(self, identity: Identity, price: int) -> "Cost":
        """Around a call of this price (in millionths). Raises RateLimited, BudgetExceeded before it is made.

        Whoever hangs up has still caused the work, so a call that is cancelled is paid.
        """
        return Cost(self, identity, price)

    async def admitted(self, identity: Identity, price: int) -> Admission | None:
        """None where nothing is limited."""
        key = await self.virtual_keys.by_id(identity.id) if identity.kind == "vk" else None
        return await self.limits.admit(key, price) if key is not None and (key.rate_limit or key.budgets) else None


@dataclass(slots=True)
class Cost:
    """`due` is whether what came back is worth its price: a question to the caller is not a result yet."""

    quota: Quota
    identity: Identity
    price: int
    due: bool = True
    admission: Admission | None = None

    async def __aenter__(self) -> Self:
        self.admission = await self.quota.admitted(self.identity, self.price)
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if self.admission is not None and (isinstance(error, DomainError | RpcError) or not self.due):
            await self.quota.limits.give_back(self.admission)
