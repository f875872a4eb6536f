"""Pages and forms with which a person connects accounts at upstreams, and the callback that they all come back to."""

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bifrost.authserver.browser import COOKIE, Browser, BrowserSecrets, csrf_token
from bifrost.authserver.connect import FLOW, SESSION, SESSION_SECONDS, Connect, Connecting, ConnectSession
from bifrost.authserver.endpoints import views
from bifrost.authserver.endpoints.forms import checked_form, see_other
from bifrost.authserver.errors import (
    CrossSiteRequest,
    FlowEnded,
    FlowNotFound,
    KeyRefused,
    TooManyGuesses,
    WrongBrowser,
)
from bifrost.authserver.services import Service, Services
from bifrost.base import ids
from bifrost.base.errors import Invalid
from bifrost.http import cookies, encoded, params
from bifrost.http.client import OutsideUnreachable, OutsideUrlRefused
from bifrost.http.client_address import TrustedProxies
from bifrost.http.pages import Pages
from bifrost.http.params import Parameters
from bifrost.http.public_urls import PublicUrls
from bifrost.identity.models import Identity
from bifrost.protocol.resource import DEFAULT_PATH
from bifrost.upstreams.admin_sign_ins import SET_UP, AdminSignIns
from bifrost.upstreams.errors import HeadersRefused, SignInImpossible, UpstreamUnavailable
from bifrost.upstreams.oauth.asking import host_of
from bifrost.upstreams.oauth.sign_in import Callback

AUTHORIZE = "/api/oauth/per-user/upstream/authorize"
PROVE = "/api/oauth/per-user/connect/vk"
START = "/api/oauth/per-user/connect/start"
HEADERS = "/api/oauth/per-user/connect/headers"
DISCONNECT = "/api/oauth/per-user/connect/disconnect"
SERVICES_PAGE = "/oauth/consent/mcps"

DOCUMENT_SECONDS = 3_600
"""How long others may keep what we say of ourselves as a client."""

CANNOT_BEGIN = (SignInImpossible, UpstreamUnavailable, OutsideUrlRefused, OutsideUnreachable)
"""What keeps a sign-in from beginning; the person comes back to the page that they came from."""


@dataclass(frozen=True, slots=True)
class ConnectEndpoints:
    connect: Connect
    admin_sign_ins: AdminSignIns
    services: Services
    secrets: BrowserSecrets
    pages: Pages
    public_urls: PublicUrls
    proxies: TrustedProxies

    async def authorize(self, request: Request) -> Response:
        """With `flow_id` (the button on the services page): off to the upstream. With `session` (a link): our page."""
        query = params.query(request)
        if query.get("session") is not None:
            return await self._session_page(request, query)
        try:
            connecting = await self.connect.for_flow(
                query.get("flow_id"), self._browser(request), query.get("mcp_client_id")
            )
            if connecting.by_headers:
                return self._headers_page(connecting, query)
            url = await self.connect.begin(connecting)
        except FlowNotFound as error:
            raise FlowEnded from error
        except CANNOT_BEGIN as error:
            return see_other(back_url(connecting.return_to, notice=error.code))
        return RedirectResponse(url, 302, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})

    async def prove(self, request: Request) -> Response:
        """The key pasted again: the browser that did so may act for the session."""
        form = await checked_form(request, self.public_urls)
        session = await self.connect.session(form.get("session"))
        secret = self._secret(request, session, form)
        wanted = form.get("mcp_client_id")
        more = {"mcp_client_id": wanted} if wanted else {}
        try:
            key = (form.get("virtual_key") or "").strip()
            await self.connect.prove_by_key(session, secret, key, self.proxies.client_address(request))
        except (KeyRefused, TooManyGuesses) as error:
            return see_other(session_url(session.id, **more, error=error.code))
        return see_other(session_url(session.id, **more))

    async def start(self, request: Request) -> Response:
        """A Connect button on the page of a link: only for the browser that has proven itself."""
        connecting, _form = await self._posted(request)
        if connecting.by_headers:
            return see_other(back_url(connecting.return_to, mcp_client_id=connecting.upstream.id))
        try:
            return see_other(await self.connect.begin(connecting))
        except CANNOT_BEGIN as error:
            return see_other(back_url(connecting.return_to, notice=error.code))

    async def headers(self, request: Request) -> Response:
        """A person's own header values (contract §8): tried at the service, kept if it takes them."""
        connecting, form = await self._posted(request)
        upstream = connecting.upstream
        try:
            names = upstream.per_user_header_keys
            await self.connect.submit(connecting, {name: form.get(field_of(name)) or "" for name in names})
        except (HeadersRefused, UpstreamUnavailable) as error:
            return see_other(form_url(connecting, notice=error.code))
        except Invalid:
            return see_other(form_url(connecting, notice="headers_invalid"))
        return see_other(back_url(connecting.return_to, notice="connected"))

    async def disconnect(self, request: Request) -> Response:
        """The credential is deleted here first; then the service is told, if it wants to know (RFC 7009)."""
        connecting, _form = await self._posted(request)
        await self.connect.disconnect(connecting)
        return see_other(back_url(connecting.return_to, notice="disconnected"))

    async def callback(self, request: Request) -> Response:
        """Every upstream's answer (RFC 6749 §4.1.2): proven by its state and the browser's own cookie, nothing else."""
        query = params.query(request)
        query.refuse_repeated()
        callback = Callback(
            state=query.get("state"), code=query.get("code"), error=query.get("error"), iss=query.get("iss")
        )
        sign_in, outcome = await self.connect.finish(callback, self._browser(request))
        where = sign_in.return_to
        if where.startswith(SET_UP):
            await self.admin_sign_ins.finished(sign_in, outcome)
            return see_other(f"/api/oauth/config/{where.removeprefix(SET_UP)}/authorize")
        return see_other(back_url(where, notice=outcome))

    async def client_id_document(self, _request: Request) -> Response:
        """What upstreams' authorization servers read about us."""
        return encoded.public(self.connect.sign_ins.registrations.document(), DOCUMENT_SECONDS)

    async def signed_client_id_document(self, _request: Request) -> Response:
        """The same, for those that want a signature (RFC 7523)."""
        return encoded.public(self.connect.sign_ins.registrations.signed_document(), DOCUMENT_SECONDS)

    async def client_keys(self, _request: Request) -> Response:
        """What our signatures are checked with (RFC 7517)."""
        return encoded.public(await self.connect.sign_ins.registrations.key.jwks(), DOCUMENT_SECONDS)

    async def link(self, identity: Identity, upstream_id: str = "") -> str:
        """An absolute link for a person who lacks a connection; it carries no secret.

        With an upstream that asks for header values the link opens its form.
        """
        more = {"mcp_client_id": upstream_id} if upstream_id else {}
        return f"{self.public_urls.issuer}{session_url(await self.connect.offer(identity), **more)}"

    async def missing(self, identity: Identity) -> list[str]:
        """The names of the services that this person has yet to connect, on whatever endpoint."""
        services = await self.services.of(identity, DEFAULT_PATH)
        return [service.name for service in services if service.state not in ("ready", "connected")]

    async def _session_page(self, request: Request, query: Parameters) -> Response:
        session = await self.connect.session(query.get("session"))
        browser = self.secrets.presented(cookies.values(request, self._cookie))
        secret = await self.connect.proven(session, browser)
        if secret is None:
            return await self._proof_page(query, session, browser)
        wanted = query.get("mcp_client_id")
        if wanted is not None:
            connecting = await self.connect.for_session(session, secret, wanted)
            if connecting.by_headers:
                return self._headers_page(connecting, query)
        return self.pages.page(
            "connect.html",
            session_id=session.id,
            csrf=csrf_token(secret, session.id),
            identity={
                "kind": session.identity.kind,
                "label": await self.connect.identities.label(session.identity),
            },
            services=[_shown(service) for service in await self.services.told(session.identity, DEFAULT_PATH)],
            notice=views.notice(query.get("notice")),
        )

    async def _proof_page(self, query: Parameters, session: ConnectSession, browser: Browser) -> Response:
        """Says nothing about the session, its person or its services."""
        secret = self.secrets.keep_or_new(browser)
        page = self.pages.page(
            "prove.html",
            session_id=session.id,
            csrf=csrf_token(secret, session.id),
            upstream_id=query.get("mcp_client_id") or "",
            by_key=session.identity.kind == "vk",
            error=views.sentence(query.get("error")),
        )
        page.headers.append(
            "Set-Cookie",
            cookies.browser_cookie(self._cookie, secret, max_age=SESSION_SECONDS, secure=self.public_urls.secure),
        )
        return page

    def _headers_page(self, connecting: Connecting, query: Parameters) -> Response:
        """The names of what the service asks for; what was given before is not shown."""
        kind, _, where = connecting.return_to.partition(":")
        return self.pages.page(
            "headers.html",
            service=connecting.upstream.name,
            host=host_of(connecting.upstream.connection_string),
            fields=[{"label": name, "name": field_of(name)} for name in connecting.upstream.per_user_header_keys],
            hidden={
                "flow_id" if kind == "flow" else "session": where,
                "csrf": csrf_token(connecting.secret, where),
                "mcp_client_id": connecting.upstream.id,
            },
            back=back_url(connecting.return_to),
            notice=views.notice(query.get("notice")),
        )

    async def _posted(self, request: Request) -> tuple[Connecting, Parameters]:
        """A form about one upstream, on the page of a consent or of a link; our own page of this browser sent it."""
        form = await checked_form(request, self.public_urls)
        if form.get("session") is None:
            try:
                connecting = await self.connect.for_flow(
                    form.get("flow_id"), self._browser(request), form.get("mcp_client_id")
                )
            except FlowNotFound as error:
                raise FlowEnded from error
            _check_csrf(connecting.secret, form.get("flow_id") or "", form)
            return connecting, form
        session = await self.connect.session(form.get("session"))
        secret = await self.connect.proven(session, self._browser(request))
        if secret is None:
            raise WrongBrowser
        _check_csrf(secret, session.id, form)
        return await self.connect.for_session(session, secret, form.get("mcp_client_id")), form

    @property
    def _cookie(self) -> str:
        return cookies.host_prefixed(COOKIE, secure=self.public_urls.secure)

    def _browser(self, request: Request) -> Browser:
        browser = self.secrets.presented(cookies.values(request, self._cookie))
        if not browser.secrets:
            raise WrongBrowser
        return browser

    def _secret(self, request: Request, session: ConnectSession, form: Parameters) -> str:
        """The secret whose CSRF token the form carries."""
        for secret in self._browser(request).secrets:
            if ids.same(csrf_token(secret, session.id), form.get("csrf") or ""):
                return secret
        raise CrossSiteRequest


def connect_url(flow_id: str, upstream_id: str) -> str:
    return f"{AUTHORIZE}?{urlencode({'mcp_client_id': upstream_id, 'flow_id': flow_id})}"


def services_url(flow_id: str, **more: str) -> str:
    return f"{SERVICES_PAGE}?{urlencode({'flow_id': flow_id, **more})}"


def session_url(session_id: str, **more: str) -> str:
    return f"{AUTHORIZE}?{urlencode({'session': session_id, **more})}"


def back_url(return_to: str, **more: str) -> str:
    """The page that a person came from: the consent's services, or the link's."""
    if return_to.startswith(FLOW):
        return services_url(return_to.removeprefix(FLOW), **more)
    return session_url(return_to.removeprefix(SESSION), **more)


def form_url(connecting: Connecting, **more: str) -> str:
    """The form for header values, once more."""
    kind, _, where = connecting.return_to.partition(":")
    place = {"flow_id" if kind == "flow" else "session": where, "mcp_client_id": connecting.upstream.id}
    return f"{AUTHORIZE}?{urlencode({**place, **more})}"


def field_of(header: str) -> str:
    return f"header.{header}"


def _shown(service: Service) -> dict[str, Any]:
    return asdict(service)


def _check_csrf(secret: str, session_id: str, form: Parameters) -> None:
    if not ids.same(csrf_token(secret, session_id), form.get("csrf") or ""):
        raise CrossSiteRequest
