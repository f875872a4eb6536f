"""What can go wrong on the way to an upstream."""

from bifrost.base.errors import Conflict, Denied, Gone, Invalid, NotFound, Unavailable


class UpstreamInvalid(Invalid):
    """A configuration that cannot work; `param` names the member."""

    default_code = "upstream_invalid"


class UpstreamUnavailable(Unavailable):
    """It did not answer, or not in a way that can be understood. The message names the upstream, nothing private."""

    default_code = "upstream_unavailable"


class AdministratorMustSignIn(UpstreamUnavailable):
    """The one account that everybody uses there does not work; nobody but an administrator can help."""

    default_code = "upstream_needs_reauth"

    def __init__(self, upstream_name: str, reason: str) -> None:
        """`reason` is for the administrator's own pages; a caller learns only who can help."""
        super().__init__(f"{upstream_name} is not signed in. An administrator of this gateway must sign in to it.")
        self.reason = reason


class UnknownUpstream(NotFound):
    default_code = "mcp_client_not_found"

    def __init__(self) -> None:
        super().__init__("There is no MCP client with this id. GET /api/mcp/clients lists them.")


class UpstreamTaken(Conflict):
    """Another upstream has its name, its address or one of its ids; `param` names the member."""

    default_code = "mcp_client_taken"


class UpstreamBusy(Conflict):
    """It was changed by somebody else at the same moment, again and again."""

    default_code = "mcp_client_busy"

    def __init__(self) -> None:
        super().__init__("This MCP client is being changed by others at this moment. Send the request again.")


class NotForThisUpstream(Conflict):
    """The operation makes no sense for an upstream of this kind or in this state; the message says which one does."""

    default_code = "not_for_this_mcp_client"


class UnknownSetUp(NotFound):
    default_code = "oauth_config_not_found"

    def __init__(self) -> None:
        super().__init__("There is no sign-in with this id. Start one with initiate-verification or reauthorize.")


class SetUpExpired(Gone):
    default_code = "oauth_config_expired"

    def __init__(self) -> None:
        super().__init__("This sign-in has expired. Start another one.")


class SetUpNotReady(Conflict):
    """There is nothing to complete: nobody has signed in yet, it failed, or it was completed already."""

    default_code = "oauth_config_not_authorized"


class SignInImpossible(Unavailable):
    """The upstream's authorization server cannot be used; the message says why, for an administrator."""

    default_code = "upstream_sign_in_impossible"


ENDED = "What this account was to be connected for has ended meanwhile."


class SignInRefused(Denied):
    """A callback that does not belong to a sign-in of this browser: unknown, used, expired, or another browser's."""

    default_code = "upstream_sign_in_refused"


class UnknownCredential(NotFound):
    """No credential of a person has this id."""

    default_code = "credential_not_found"


class HeadersRefused(Invalid):
    """The values that a person gave for an upstream's headers: malformed, or not accepted there."""

    default_code = "headers_refused"


class ConnectionRequired(Denied):
    """The caller has no usable credential for this upstream yet; a person has to connect it."""

    default_code = "mcp_auth_required"

    def __init__(self, upstream_id: str, upstream_name: str, kind: str) -> None:
        super().__init__(f"Connect your account at {upstream_name} first.")
        self.upstream_id = upstream_id
        self.upstream_name = upstream_name
        self.kind = kind
