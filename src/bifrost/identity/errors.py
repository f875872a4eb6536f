"""What can go wrong with a credential."""

from bifrost.base.errors import Conflict, Denied, Gone, NotFound, TooMany, Unauthenticated
from bifrost.protocol import dpop


class AdministratorNeeded(Unauthenticated):
    """No administrator's credential, or one that does not verify."""

    default_code = "administrator_required"


class CrossSiteAdministration(Denied):
    """A change with a browser's session that our own page did not send."""

    default_code = "cross_site_request"

    def __init__(self) -> None:
        super().__init__("With a session, changes are taken from this server's own pages only; or send the token.")


class TooManyAdministratorGuesses(TooMany):
    """Several wrong tokens from this address."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many wrong tokens. Wait a few minutes, then try again.", retry_after=retry_after)


class SetUpLinkOver(Gone):
    """Unknown, used or expired: one answer for all three."""

    default_code = "setup_link_over"

    def __init__(self) -> None:
        super().__init__("This link was used already, has expired, or was replaced by a newer one.")


class AdministratorTokenTaken(Conflict):
    default_code = "administrator_token_taken"


class UnknownAdministratorToken(NotFound):
    default_code = "administrator_token_not_found"


class TokenBound(Unauthenticated):
    """An access token that is bound to a key, sent as anybody could send it (RFC 9449 §7.2)."""

    def __init__(self) -> None:
        super().__init__("This access token is bound to a key: send it with the scheme DPoP, and a DPoP proof.")


class ProofRefused(Unauthenticated):
    """A DPoP proof that is missing, wrong, for another request, or used before (RFC 9449 §4.3)."""

    default_code = dpop.INVALID_PROOF


class NonceNeeded(ProofRefused):
    """The proof must contain this nonce (RFC 9449 §8)."""

    default_code = dpop.USE_NONCE

    def __init__(self, nonce: str) -> None:
        super().__init__("Send the request again, with this nonce in the DPoP proof.")
        self.nonce = nonce
