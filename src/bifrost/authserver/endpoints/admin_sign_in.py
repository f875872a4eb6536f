"""The page on which an administrator signs this gateway in to an upstream.

Its address carries no secret: it does nothing before the browser has shown that it is an administrator's, by the
session of one, or by an administrator's token pasted here. Only then is the upstream contacted.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from bifrost.authserver.browser import COOKIE, Browser, BrowserSecrets, csrf_token
from bifrost.authserver.endpoints.connect import CANNOT_BEGIN
from bifrost.authserver.endpoints.forms import checked_form, see_other
from bifrost.authserver.errors import CrossSiteRequest, WrongBrowser
from bifrost.base import ids
from bifrost.http import cookies, params
from bifrost.http.client_address import TrustedProxies
from bifrost.http.pages import Pages
from bifrost.http.params import Parameters
from bifrost.http.public_urls import PublicUrls
from bifrost.identity.administrators import Administrators
from bifrost.identity.errors import AdministratorNeeded, TooManyAdministratorGuesses
from bifrost.identity.models import Administrator
from bifrost.upstreams.admin_sign_ins import AdminSignIns
from bifrost.upstreams.administration import SET_UP_SECONDS, SetUp

PATH = "/api/oauth/config/{oauth_config_id}"
_ERRORS = {
    "administrator_required": "This is not an administrator's token. Check it and paste it again.",
    "rate_limited": "Too many wrong tokens. The form opens again in a few minutes.",
}


@dataclass(frozen=True, slots=True)
class AdminSignInEndpoints:
    admin_sign_ins: AdminSignIns
    administrators: Administrators
    signed_in: Callable[[Request], Awaitable[Administrator | None]]
    """The administrator whose session this browser has."""
    secrets: BrowserSecrets
    pages: Pages
    public_urls: PublicUrls
    proxies: TrustedProxies

    async def page(self, request: Request) -> Response:
        """Raises UnknownSetUp, SetUpExpired."""
        set_up, upstream = await self.admin_sign_ins.current(request.path_params["oauth_config_id"])
        browser = self._browser(request)
        secret = browser.secret_with(set_up.browser_hash)
        proven = secret is not None
        if secret is None:
            secret = self.secrets.keep_or_new(browser)
            proven = await self.signed_in(request) is not None and await self.admin_sign_ins.bind(set_up, secret)
        action = _path(set_up.oauth_config_id)
        page = self.pages.page(
            "admin_sign_in.html",
            proven=proven,
            action=action,
            csrf=csrf_token(secret, set_up.attempt),
            error=_ERRORS.get(params.query(request).get("error") or ""),
            state=set_up.state,
            # whoever has not shown who they are learns nothing about the service
            name=upstream.name if proven else "",
            connection_string=upstream.connection_string if proven else "",
            reason=set_up.reason if proven else "",
            shared=not upstream.per_user,
            complete_url=complete_path(set_up.oauth_config_id),
        )
        page.headers.append("Set-Cookie", self._cookie(secret))
        return page

    async def prove(self, request: Request) -> Response:
        """An administrator's token pasted: this browser may act. Raises UnknownSetUp, SetUpExpired, …Request."""
        form = await checked_form(request, self.public_urls)
        set_up, _ = await self.admin_sign_ins.current(request.path_params["oauth_config_id"])
        secret = self._secret(request, set_up, form)
        try:
            address = self.proxies.client_address(request)
            await self.administrators.by_token((form.get("token") or "").strip(), address=address)
        except (AdministratorNeeded, TooManyAdministratorGuesses) as error:
            return see_other(f"{page_path(set_up.oauth_config_id)}?error={error.code}")
        await self.admin_sign_ins.bind(set_up, secret)
        return see_other(page_path(set_up.oauth_config_id))

    async def start(self, request: Request) -> Response:
        """Off to the upstream. Raises UnknownSetUp, SetUpExpired, SetUpNotReady, CrossSiteRequest, WrongBrowser."""
        form = await checked_form(request, self.public_urls)
        set_up, upstream = await self.admin_sign_ins.current(request.path_params["oauth_config_id"])
        secret = self._secret(request, set_up, form)
        if secret != self._browser(request).secret_with(set_up.browser_hash):
            raise WrongBrowser
        try:
            return see_other(await self.admin_sign_ins.start(set_up, upstream, secret))
        except CANNOT_BEGIN:
            return see_other(page_path(set_up.oauth_config_id))

    def _browser(self, request: Request) -> Browser:
        return self.secrets.presented(cookies.values(request, self._cookie_name))

    def _secret(self, request: Request, set_up: SetUp, form: Parameters) -> str:
        """The secret whose CSRF token the form carries."""
        for secret in self._browser(request).secrets:
            if ids.same(csrf_token(secret, set_up.attempt), form.get("csrf") or ""):
                return secret
        raise CrossSiteRequest

    @property
    def _cookie_name(self) -> str:
        return cookies.host_prefixed(COOKIE, secure=self.public_urls.secure)

    def _cookie(self, secret: str) -> str:
        return cookies.browser_cookie(self._cookie_name, secret, max_age=SET_UP_SECONDS, secure=self.public_urls.secure)


def page_path(oauth_config_id: str) -> str:
    return f"{_path(oauth_config_id)}/authorize"


def complete_path(oauth_config_id: str) -> str:
    return f"/api/mcp/client/{oauth_config_id}/complete-oauth"


def _path(oauth_config_id: str) -> str:
    return PATH.format(oauth_config_id=oauth_config_id)
