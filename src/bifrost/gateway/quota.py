"""What a call takes of its virtual key's limits. A call that fails costs nothing; a result costs, whatever it says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bifrost.base.errors import DomainError
from bifrost.governance.limits import Limits
from bifrost.governance.virtual_keys import VirtualKeys
from bifrost.identity.models import Identity
from bifrost.protocol.jsonrpc import RpcError


@dataclass(slots=True)
class Cost:
    """`due` is whether what came back is worth its price: a question to the caller is not a result yet."""

    due: bool = True


@dataclass(frozen=True, slots=True)
class Quota:
    virtual_keys: VirtualKeys
    limits: Limits

    @asynccontextmanager
    async def taken(self, identity: Identity, price: int) -> AsyncIterator[Cost]:
        """Around a call of this price (in millionths). Raises RateLimited, BudgetExceeded before it is made.

        Whoever hangs up has still caused the work, so a call that is cancelled is paid.
        """
        key = await self.virtual_keys.by_id(identity.id) if identity.kind == "vk" else None
        if key is None or not (key.rate_limit or key.budgets):
            yield Cost()
            return
        admission, cost = await self.limits.admit(key, price), Cost()
        try:
            yield cost
        except (DomainError, RpcError):
            cost.due = False
            raise
        finally:
            if not cost.due:
                await self.limits.give_back(admission)
