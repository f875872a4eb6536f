"""What all forms of our pages have in common."""

from starlette.requests import Request
from starlette.responses import Response

from bifrost.authserver.errors import CrossSiteRequest
from bifrost.http import params
from bifrost.http.encoded import NO_STORE, Encoded, Field
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


def see_other(url: str, *, cookie: str | None = None) -> Response:
    """303, so that nothing of the form is sent on (OAuth 2.1 §7.5.3).

    The address is as it is: a registered redirect URI is kept byte for byte. `cookie` is a whole `Set-Cookie`.
    """
    return redirect(303, url, (b"referrer-policy", b"no-referrer"), cookie=cookie)


def redirect(status_code: int, url: str, *fields: Field, cookie: str | None = None) -> Response:
    known = [(b"location", url.encode("latin-1")), NO_STORE, *fields]
    if cookie is not None:
        known.append((b"set-cookie", cookie.encode("latin-1")))
    return Encoded(b"", status_code, known)
