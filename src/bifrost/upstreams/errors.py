"""What can go wrong on the way to an upstream."""

from bifrost.base.errors import Denied, Invalid, Unavailable


class UpstreamInvalid(Invalid):
    """A configuration that cannot work; `param` names the member."""

    default_code = "upstream_invalid"


class UpstreamUnavailable(Unavailable):
    """It did not answer, or not in a way that can be understood. The message names the upstream, nothing private."""

    default_code = "upstream_unavailable"


class SignInImpossible(Unavailable):
    """The upstream's authorization server cannot be used; the message says why, for an administrator."""

    default_code = "upstream_sign_in_impossible"


class SignInRefused(Denied):
    """A callback that does not belong to a sign-in of this browser: unknown, used, expired, or another browser's."""

    default_code = "upstream_sign_in_refused"


class ConnectionRequired(Denied):
    """The caller has no usable credential for this upstream yet; a person has to connect it."""

    default_code = "mcp_auth_required"

    def __init__(self, upstream_id: str, upstream_name: str, kind: str) -> None:
        super().__init__(f"Connect your account at {upstream_name} first.")
        self.upstream_id = upstream_id
        self.upstream_name = upstream_name
        self.kind = kind
