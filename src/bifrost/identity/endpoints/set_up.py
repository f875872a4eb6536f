"""The page behind a set-up link: nothing is consumed before a person presses its button (previews open links too)."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from bifrost.http import params
from bifrost.http.pages import Pages
from bifrost.http.public_urls import PublicUrls
from bifrost.identity.endpoints.administrator import AdministratorEndpoints
from bifrost.identity.errors import CrossSiteAdministration
from bifrost.identity.set_up import SetUp


@dataclass(frozen=True, slots=True)
class SetUpEndpoints:
    set_up: SetUp
    sessions: AdministratorEndpoints
    pages: Pages
    public_urls: PublicUrls

    async def __call__(self, request: Request) -> Response:
        """GET shows the page, POST consumes the link. Raises SetUpLinkOver, CrossSiteAdministration."""
        if request.method == "GET":
            link = params.query(request).get("link") or ""
            await self.set_up.check(link)
            return self.pages.page("setup.html", link=link)
        if not self.public_urls.sent_from_here(request):
            raise CrossSiteAdministration
        form = await params.form(request)
        form.refuse_repeated()
        token, value, session = await self.set_up.use(form.get("link") or "")
        page = self.pages.page(
            "setup_done.html", name=token.name, token=value, origin=self.public_urls.origin_of(request)
        )
        page.headers.append("Set-Cookie", self.sessions.cookie(session))
        return page
