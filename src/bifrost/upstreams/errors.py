"""What can go wrong on the way to an upstream."""

from bifrost.base.errors import Invalid, Unavailable


class UpstreamInvalid(Invalid):
    """A configuration that cannot work; `param` names the member."""

    default_code = "upstream_invalid"


class UpstreamUnavailable(Unavailable):
    """It did not answer, or not in a way that can be understood. The message names the upstream, nothing private."""

    default_code = "upstream_unavailable"
