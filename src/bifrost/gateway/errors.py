"""What can go wrong at the MCP endpoints."""

from bifrost.base.errors import Denied, NotFound, TooLarge, TooMany, Unavailable


class UnknownEndpoint(NotFound):
    """No upstream and no virtual MCP has this slug."""

    default_code = "unknown_endpoint"


class InsufficientScope(Denied):
    """RFC 6750 §3.1; `scope` names everything that the call needs."""

    default_code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        super().__init__("The access token does not cover this call.")
        self.scope = scope


class UnknownSession(NotFound):
    """An `Mcp-Session-Id` that this caller has no session under: the client initializes anew (2025-11-25)."""

    default_code = "unknown_session"


class AccessChanged(Denied):
    """What the caller may do was changed while their request ran: it ended, and another one is judged anew."""

    default_code = "access_changed"

    def __init__(self) -> None:
        super().__init__("What you may use here has been changed. Send the request again.")


class Stopped(Unavailable):
    """The process stops, and the request outlived the time that it had to end. What came of it is not known."""

    default_code = "stopped"

    def __init__(self) -> None:
        super().__init__("The gateway was stopped before there was an answer.")


class LetterTooLarge(TooLarge):
    """Something that another process has to know is larger than what is passed on between them."""

    default_code = "too_large_between_processes"

    def __init__(self) -> None:
        super().__init__("This is too large to be passed on between processes of this gateway.")


class TooManyLetters(TooMany):
    """One principal makes processes tell each other more than they can be expected to."""

    default_code = "too_many_messages"

    def __init__(self, retry_after: int) -> None:
        super().__init__("You send too many messages of this kind. Try again later.", retry_after=retry_after)


class UpstreamFull(TooMany):
    """An upstream has as many calls as it may have at the same time. Nothing was sent to it."""

    default_code = "upstream_full"
