"""Reading a request body: never more than the endpoint's limit, and only of the kind it reads."""

from starlette.requests import Request

from bifrost.base.errors import Invalid, TooLarge, Unsupported


async def read(request: Request, *, limit: int, content_type: str) -> bytes:
    """The body, at most `limit` bytes. Raises TooLarge, Unsupported, Invalid."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != content_type:
        raise Unsupported(f"Send the body as {content_type}.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Unsupported("Send the body without a content encoding.")
    declared = request.headers.get("content-length", "0")
    if not declared.isascii() or not declared.isdigit():
        raise Invalid("The Content-Length is not a number.")
    if int(declared) > limit:
        raise TooLarge(f"The body is larger than {limit} bytes.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"The body is larger than {limit} bytes.")
    return bytes(body)
