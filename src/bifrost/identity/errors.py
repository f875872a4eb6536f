"""What can go wrong with an administrator's credential."""

from bifrost.base.errors import Conflict, Denied, Gone, NotFound, TooMany, Unauthenticated


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
