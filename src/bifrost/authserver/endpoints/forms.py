"""What all forms of our pages have in common."""

from starlette.requests import Request
from starlette.responses import Response

from bifrost.authserver.errors import CrossSiteRequest
from bifrost.http import params
from bifrost.http.params import Parameters
from bifrost.http.public_urls import PublicUrls


async def checked_form(request: Request, public_urls: PublicUrls) -> Parameters:
    """Our own page sent it: the Origin must be ours, exactly (SameSite does not stop a sibling host).

    Raises CrossSiteRequest, Invalid, TooLarge, Unsupported.
    """
    if request.headers.getlist("origin") != [public_urls.origin_of(request)]:
        raise CrossSiteRequest
    form = await params.form(request)
    form.refuse_repeated()
    return form


def see_other(url: str) -> Response:
    """303, so that nothing of the form is sent on (OAuth 2.1 §7.5.3).

    The address is as it is: a registered redirect URI is kept byte for byte.
    """
    headers = {"Location": url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(status_code=303, headers=headers)
