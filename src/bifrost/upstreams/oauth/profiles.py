"""What well-known authorization servers want that no document of theirs says: reviewed data, by the issuer's host.

A profile only adds to what discovery says. Each line has its reason; each profile has an emulator in the tests.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from bifrost.protocol import oauth


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`hosts` are exact, or begin with a dot for everything below a domain."""

    name: str
    hosts: tuple[str, ...]
    reason: str
    """Why it is needed, in one line for whoever asks."""
    authorize: tuple[tuple[str, str], ...] = ()
    """Parameters of the authorization request besides the usual ones."""
    resource_name: str = "resource"
    """What the resource indicator is called; empty when the server refuses one (RFC 8707 is not for everybody)."""
    scopes: tuple[str, ...] = ()
    """Asked for besides what the upstream wants."""
    scope_separator: str = " "
    auth_method: str = ""
    """How a client with a secret proves itself, whatever the metadata says."""
    announces_pkce: bool = True
    """False: it supports PKCE with S256 and does not say so."""
    loose_issuer: bool = False
    """True: its documents disagree about one slash at the end of the issuer."""
    token_types: tuple[str, ...] = ("bearer",)
    errors: tuple[tuple[str, str], ...] = ()
    """Its own words for errors of RFC 6749 §5.2."""
    lifetime_seconds: int | None = None
    """Of an access token that came without `expires_in`."""


USUAL = Profile(name="", hosts=(), reason="")

PROFILES = (
    Profile(
        name="google",
        hosts=("accounts.google.com",),
        reason="Gives a refresh token only for access_type=offline, and again only with prompt=consent.",
        authorize=(("access_type", "offline"), ("prompt", "consent")),
        loose_issuer=True,
    ),
    Profile(
        name="microsoft-entra",
        hosts=("login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"),
        reason="Refuses a resource indicator, renews only with offline_access, and supports PKCE without saying so.",
        resource_name="",
        scopes=("offline_access",),
        announces_pkce=False,
    ),
    Profile(
        name="atlassian",
        hosts=("auth.atlassian.com",),
        reason="Its tokens are for an audience, and it renews only with offline_access and prompt=consent.",
        authorize=(("audience", "api.atlassian.com"), ("prompt", "consent")),
        scopes=("offline_access",),
    ),
    Profile(
        name="github",
        hosts=("github.com",),
        reason="Says errors with status 200 and in its own words; its tokens need not expire.",
        errors=(
            ("bad_verification_code", oauth.INVALID_GRANT),
            ("bad_refresh_token", oauth.INVALID_GRANT),
            ("incorrect_client_credentials", oauth.INVALID_CLIENT),
        ),
    ),
    Profile(
        name="slack",
        hosts=("slack.com",),
        reason="Separates scopes with commas, names its token types user and bot, says errors with status 200.",
        scope_separator=",",
        token_types=("bearer", "user", "bot"),
        errors=(
            ("invalid_code", oauth.INVALID_GRANT),
            ("code_already_used", oauth.INVALID_GRANT),
            ("invalid_refresh_token", oauth.INVALID_GRANT),
            ("bad_client_secret", oauth.INVALID_CLIENT),
            ("invalid_client_id", oauth.INVALID_CLIENT),
        ),
    ),
    Profile(
        name="auth0",
        hosts=(".auth0.com",),
        reason="Calls the resource an audience, and without one gives tokens that no API takes.",
        resource_name="audience",
        scopes=("offline_access",),
    ),
    Profile(
        name="okta",
        hosts=(".okta.com", ".oktapreview.com", ".okta-emea.com"),
        reason="Renews only with offline_access, whatever the upstream itself asks for.",
        scopes=("offline_access",),
    ),
    Profile(
        name="ibm-iam",
        hosts=("iam.cloud.ibm.com",),
        reason="Takes a secret in Basic only, although its metadata lists the body as well.",
        auth_method=oauth.CLIENT_SECRET_BASIC,
    ),
    Profile(
        name="notion",
        hosts=("api.notion.com",),
        reason="Needs owner=user, and takes a secret in Basic only.",
        authorize=(("owner", "user"),),
        auth_method=oauth.CLIENT_SECRET_BASIC,
    ),
    Profile(
        name="notion-mcp",
        hosts=("mcp.notion.com",),
        reason="Its access tokens last an hour, also when it does not say so.",
        lifetime_seconds=3_600,
    ),
)


def of(issuer: str) -> Profile:
    """The profile of an issuer; `USUAL` for everybody who does as the documents say."""
    host = (urlsplit(issuer).hostname or "").lower()
    return next((profile for profile in PROFILES if _is_of(host, profile.hosts)), USUAL)


def _is_of(host: str, hosts: tuple[str, ...]) -> bool:
    return any(host.endswith(name) if name.startswith(".") else host == name for name in hosts)
