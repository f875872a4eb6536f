"""The authorization response (OAuth 2.1 §4.1.2, RFC 9207 §2): where the browser goes when a person has decided."""

from bifrost.authserver.models import PendingFlow
from bifrost.protocol import oauth
from bifrost.protocol.redirect_uri import with_response


def success(flow: PendingFlow, code: str, issuer: str) -> str:
    return with_response(flow.redirect_uri, code=code, state=flow.state, iss=issuer)


def denied(flow: PendingFlow, issuer: str) -> str:
    return with_response(flow.redirect_uri, error=oauth.ACCESS_DENIED, state=flow.state, iss=issuer)
