"""What can go wrong between a person's browser and the authorization server."""

from bifrost.base.errors import Conflict, Denied, Gone, Invalid, NotFound, TooMany, Unauthenticated, Unavailable


class AuthorizationRefused(Invalid):
    """A refusal at the authorization endpoint: always 400, never a redirect (contract §4).

    `way_back` is the redirect URI with the error in it, present only when client and redirect URI are valid.
    """

    def __init__(self, code: str, message: str, *, param: str, way_back: str | None = None) -> None:
        super().__init__(message, code=code, param=param)
        self.way_back = way_back


class ClientRefused(Invalid):
    """A client that is not taken: its metadata document is not usable, or it is blocked."""

    default_code = "invalid_client"

    def __init__(self, message: str) -> None:
        super().__init__(message, param="client_id")


class ClientUnreachable(Unavailable):
    """No answer from where a client's metadata document or keys are: one error for every reason."""

    default_code = "client_unreachable"

    def __init__(self) -> None:
        super().__init__("What this client has published about itself could not be read. Try again in a moment.")


class ClientInvalid(Invalid):
    """What an administrator asks of a client cannot be."""

    default_code = "invalid_client_metadata"


class ClientTaken(Conflict):
    default_code = "client_taken"


class UnknownClient(NotFound):
    default_code = "client_not_found"


class WrongBrowser(Denied):
    """The browser does not carry the secret of the flow's browser. Says nothing about the flow."""

    default_code = "wrong_browser"

    def __init__(self) -> None:
        super().__init__("This page can only be used in the browser in which the sign-in was started.")


class CrossSiteRequest(Denied):
    """A form that did not come from our own page: wrong or missing Origin or CSRF token."""

    default_code = "cross_site_request"

    def __init__(self) -> None:
        super().__init__("This form was not sent from this server's own page. Open the sign-in again and retry.")


class IdentityLostAccess(Conflict):
    """An administrator asks a person to connect a service that the person may not use now."""

    default_code = "identity_lost_access"


_NO_SUCH_FLOW = "This sign-in does not exist, is finished, or has expired."


class FlowNotFound(Invalid):
    """Unknown, finished or expired: one answer for all three (contract §5)."""

    default_code = "flow_not_found"

    def __init__(self) -> None:
        super().__init__(_NO_SUCH_FLOW, param="flow_id")


class FlowFinished(Conflict):
    default_code = "flow_finished"

    def __init__(self) -> None:
        super().__init__("The answer was given already. Nothing more was changed.", param="flow_id")


class FlowExpired(Gone):
    default_code = "flow_expired"

    def __init__(self) -> None:
        super().__init__("A sign-in is valid for 15 minutes, and this one is older.", param="flow_id")


class IdentityNeeded(Denied):
    """The flow was submitted before an identity was chosen."""

    default_code = "identity_required"

    def __init__(self) -> None:
        super().__init__("Choose who you are before you finish.")


class KeyRefused(Denied):
    """A virtual key that the form did not take: unknown, inactive or expired, in one word."""

    default_code = "key_refused"


class TooManyGuesses(TooMany):
    default_code = "too_many_attempts"

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many wrong keys. Wait a few minutes and try again.", retry_after=retry_after)


class TooManyWaiting(TooMany):
    """Thousands of sign-ins of one client are begun at this moment: a flood, or a loop in the client."""

    def __init__(self) -> None:
        super().__init__("Too many sign-ins of this application are open. Try again in a few minutes.", retry_after=60)


class AssertionsTooMany(TooMany):
    """A client has so many assertions that could still be used again that no more of them are remembered."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "Too many assertions of this client have not expired yet. Let them expire sooner, and try again later.",
            retry_after=retry_after,
        )


class ConnectLinkExpired(Invalid):
    """A connect link that is unknown or over: one answer for both."""

    default_code = "connect_link_expired"

    def __init__(self) -> None:
        super().__init__(
            "This link does not exist or has expired. Ask your application for a new one.", param="session"
        )


class FlowEnded(Unauthenticated):
    """Connecting an upstream for a flow that is unknown, finished or expired (contract §5: 401)."""

    default_code = "flow_not_found"

    def __init__(self) -> None:
        super().__init__(_NO_SUCH_FLOW, param="flow_id")


class UnknownGrant(NotFound):
    default_code = "session_not_found"


class NextKeyTooYoung(Conflict):
    """Others may keep the key set for a while, and would not know the key that signs."""

    default_code = "next_key_too_young"
