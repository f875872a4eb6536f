"""GET authorize (OAuth 2.1 §4.1.1): a checked request becomes a pending flow, bound to this browser."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from bifrost.authserver.authorize import Authorize
from bifrost.authserver.browser import COOKIE, BrowserSecrets
from bifrost.authserver.endpoints.consent import IDENTITY_PAGE, page_url
from bifrost.authserver.endpoints.forms import redirect
from bifrost.authserver.models import PENDING_FLOW_SECONDS
from bifrost.authserver.pushed import PushedRequests
from bifrost.base.ids import hash_secret
from bifrost.http import cookies, params
from bifrost.http.params import Parameters
from bifrost.http.public_urls import PublicUrls


@dataclass(frozen=True, slots=True)
class AuthorizeEndpoint:
    authorize: Authorize
    pushed: PushedRequests
    secrets: BrowserSecrets
    public_urls: PublicUrls

    async def __call__(self, request: Request) -> Response:
        secure = self.public_urls.secure
        name = cookies.host_prefixed(COOKIE, secure=secure)
        secret = self.secrets.keep_or_new(self.secrets.presented(cookies.values(request, name)))
        query = params.query(request)
        pushed = await self.pushed.pushed(query)
        parameters = query if pushed is None else Parameters(pushed.encode())
        flow = await self.authorize.begin(parameters, hash_secret(secret), pushed=pushed is not None)
        cookie = cookies.browser_cookie(name, secret, max_age=PENDING_FLOW_SECONDS, secure=secure)
        return redirect(302, page_url(IDENTITY_PAGE, flow.id), cookie=cookie)
