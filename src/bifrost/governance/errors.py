"""What can go wrong with virtual keys."""

from bifrost.base.errors import Conflict, Denied, Invalid, NotFound, TooMany


class VirtualKeyRefused(Denied):
    """A key that is known, but inactive or expired (contract §7: 403 with the reason)."""

    default_code = "virtual_key_inactive"


class VirtualKeyTaken(Conflict):
    default_code = "virtual_key_taken"


class UnknownVirtualKey(NotFound):
    default_code = "virtual_key_not_found"


class UnknownVirtualMcp(NotFound):
    default_code = "virtual_mcp_not_found"


class VirtualMcpTaken(Conflict):
    """Another one has its name, or another endpoint its address; `param` names the member."""

    default_code = "virtual_mcp_taken"


class VirtualMcpAttached(Conflict):
    """Virtual keys that it is attached to stand in the way of what was asked for."""

    default_code = "virtual_mcp_attached"


class VirtualMcpInvalid(Invalid):
    """One that cannot be; `param` names the member."""

    default_code = "virtual_mcp_invalid"


class UnknownUpstreams(Invalid):
    """A virtual key is to use upstreams that are not there; the message names them."""

    default_code = "mcp_client_unknown"


class WeakVirtualKey(Invalid):
    default_code = "virtual_key_invalid"


class InvalidLimit(Invalid):
    """A rate limit or a budget that cannot be."""

    default_code = "limit_invalid"


class RateLimited(TooMany):
    """A virtual key has made as many calls as it may in this window."""

    default_code = "rate_limited"


class BudgetExceeded(TooMany):
    """A virtual key's budget of this window does not cover the call."""

    default_code = "budget_exceeded"
