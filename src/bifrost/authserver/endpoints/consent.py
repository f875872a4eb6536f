"""The consent pages and the forms on them (contract §5). Every answer to a form is a 303 (OAuth 2.1 §7.5.3)."""

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from bifrost.authserver.browser import COOKIE, PERSON_COOKIE, Browser, BrowserSecrets, csrf_token
from bifrost.authserver.consent import Consent
from bifrost.authserver.endpoints import views
from bifrost.authserver.endpoints.connect import connect_url
from bifrost.authserver.endpoints.forms import checked_form, see_other
from bifrost.authserver.errors import CrossSiteRequest, IdentityNeeded, KeyRefused, TooManyGuesses, WrongBrowser
from bifrost.authserver.models import KNOWN_BROWSER_SECONDS, Client, PendingFlow
from bifrost.authserver.services import Services
from bifrost.base import ids
from bifrost.base.errors import Denied
from bifrost.http import cookies, params
from bifrost.http.client_address import TrustedProxies
from bifrost.http.pages import Pages
from bifrost.http.params import Parameters
from bifrost.http.public_urls import PublicUrls
from bifrost.identity.models import Identity

IDENTITY_PAGE = "/oauth/consent"
SERVICES_PAGE = "/oauth/consent/mcps"


@dataclass(frozen=True, slots=True)
class ConsentEndpoints:
    consent: Consent
    services: Services
    secrets: BrowserSecrets
    persons: BrowserSecrets
    """By what a browser is known again after a finished consent."""
    pages: Pages
    public_urls: PublicUrls
    proxies: TrustedProxies

    async def identity_page(self, request: Request) -> Response:
        query = params.query(request)
        flow, csrf = await self._opened(request, query)
        client = await self.consent.client_of(flow)
        known = await self.consent.remembered.offer(flow, client, self._person(request))
        if known is not None and not any(query.get(name) for name in ("error", "full")):
            return await self._continue_page(flow, client, known, csrf)
        locked = await self.consent.identities.locked(flow.id)
        return self.pages.form(
            "identity.html",
            fresh={"flow_id": flow.id, "csrf": csrf},
            **views.request(client, flow, self.consent.config, self.public_urls.issuer),
            offers={"virtual_key": True, "skip": self.consent.config.allow_anonymous},
            error=views.sentence("too_many_attempts" if locked else query.get("error")),
            locked=locked,
        )

    async def _continue_page(self, flow: PendingFlow, client: Client, known: Identity, csrf: str) -> Response:
        """Allowed before, and nothing has grown: one click, never none (contract §5)."""
        return self.pages.form(
            "continue.html",
            fresh={"flow_id": flow.id, "csrf": csrf},
            **views.request(client, flow, self.consent.config, self.public_urls.issuer),
            identity={"kind": known.kind, "label": await self.consent.identities.label(known)},
            full_url=page_url(IDENTITY_PAGE, self.pages.blank("flow_id"), full="1"),
        )

    async def services_page(self, request: Request) -> Response:
        query = params.query(request)
        flow, csrf = await self._opened(request, query)
        client = await self.consent.client_of(flow)
        if flow.identity is None:
            return see_other(page_url(IDENTITY_PAGE, flow.id))
        label = await self.consent.identities.label(flow.identity)
        services = await self.services.told(flow.identity, flow.resource, flow_id=flow.id)
        blank = self.pages.blank("flow_id")
        return self.pages.form(
            "services.html",
            fresh={"flow_id": flow.id, "csrf": csrf},
            **views.request(client, flow, self.consent.config, self.public_urls.issuer),
            identity={"kind": flow.identity.kind, "label": label},
            services=[
                views.service(service)
                | {"connect_url": connect_url(blank, service.upstream_id) if service.connectable else None}
                for service in services
            ],
            notice=views.notice(query.get("notice")),
        )

    async def virtual_key(self, request: Request) -> Response:
        form = await checked_form(request, self.public_urls)
        flow = await self._proven(request, form)
        try:
            value = (form.get("virtual_key") or "").strip()
            await self.consent.choose_key(flow, value, self.proxies.client_address(request))
        except (KeyRefused, TooManyGuesses) as error:
            return see_other(page_url(IDENTITY_PAGE, flow.id, error=error.code))
        return see_other(page_url(SERVICES_PAGE, flow.id))

    async def skip(self, request: Request) -> Response:
        flow = await self._proven(request, await checked_form(request, self.public_urls))
        try:
            await self.consent.choose_anonymous(flow)
        except Denied as error:
            return see_other(page_url(IDENTITY_PAGE, flow.id, error=error.code))
        return see_other(page_url(SERVICES_PAGE, flow.id))

    async def submit(self, request: Request) -> Response:
        form = await checked_form(request, self.public_urls)
        browser = self._browser(request)
        flow_id = form.get("flow_id")
        self._check_csrf(browser, flow_id, form)
        secret = self.persons.keep_or_new(self._person(request))
        try:
            where = await self.consent.submit(flow_id, browser, secret, self.proxies.client_address(request))
        except IdentityNeeded as error:
            return see_other(page_url(IDENTITY_PAGE, str(flow_id), error=error.code))
        return self._known_again(where, secret)

    async def continue_as(self, request: Request) -> Response:
        form = await checked_form(request, self.public_urls)
        browser, person = self._browser(request), self._person(request)
        flow_id = form.get("flow_id")
        self._check_csrf(browser, flow_id, form)
        secret = self.persons.keep_or_new(person)
        try:
            address = self.proxies.client_address(request)
            where = await self.consent.continue_as(flow_id, browser, person, secret, address)
        except IdentityNeeded as error:
            return see_other(page_url(IDENTITY_PAGE, str(flow_id), error=error.code))
        return see_other(page_url(IDENTITY_PAGE, str(flow_id))) if where is None else self._known_again(where, secret)

    async def deny(self, request: Request) -> Response:
        form = await checked_form(request, self.public_urls)
        browser = self._browser(request)
        self._check_csrf(browser, form.get("flow_id"), form)
        return see_other(await self.consent.deny(form.get("flow_id"), browser, self._person(request)))

    async def not_offered(self, request: Request) -> Response:
        """Identities of the published API that this gateway does not offer (contract §5)."""
        flow = await self._proven(request, await checked_form(request, self.public_urls))
        return see_other(page_url(IDENTITY_PAGE, flow.id, error="identity_not_offered"))

    async def _opened(self, request: Request, parameters: Parameters) -> tuple[PendingFlow, str]:
        """The flow, and the CSRF token of its forms."""
        browser = self._browser(request)
        flow = await self.consent.open_flow(parameters.get("flow_id"), browser)
        secret = browser.secret_of(flow)
        if secret is None:
            raise WrongBrowser
        return flow, csrf_token(secret, flow.id)

    async def _proven(self, request: Request, form: Parameters) -> PendingFlow:
        browser = self._browser(request)
        flow = await self.consent.open_flow(form.get("flow_id"), browser)
        self._check_csrf(browser, flow.id, form)
        return flow

    def _known_again(self, where: str, secret: str) -> Response:
        """Given only once a person has approved something (MCP security best practices, consent cookies)."""
        secure = self.public_urls.secure
        name = cookies.host_prefixed(PERSON_COOKIE, secure=secure)
        cookie = cookies.browser_cookie(name, secret, max_age=KNOWN_BROWSER_SECONDS, secure=secure)
        return see_other(where, cookie=cookie)

    def _person(self, request: Request) -> Browser:
        name = cookies.host_prefixed(PERSON_COOKIE, secure=self.public_urls.secure)
        return self.persons.presented(cookies.values(request, name))

    def _browser(self, request: Request) -> Browser:
        name = cookies.host_prefixed(COOKIE, secure=self.public_urls.secure)
        browser = self.secrets.presented(cookies.values(request, name))
        if not browser.secrets:
            raise WrongBrowser
        return browser

    @staticmethod
    def _check_csrf(browser: Browser, flow_id: str | None, form: Parameters) -> None:
        sent = form.get("csrf") or ""
        if not any(ids.same(csrf_token(secret, flow_id or ""), sent) for secret in browser.secrets):
            raise CrossSiteRequest


def page_url(page: str, flow_id: str, **more: str) -> str:
    """Relative to the issuer: the browser stays on the origin it came by. An id of ours needs no encoding."""
    return f"{page}?flow_id={flow_id}&{urlencode(more)}" if more else f"{page}?flow_id={flow_id}"
