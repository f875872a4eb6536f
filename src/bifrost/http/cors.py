"""Cross-origin reads (Fetch §3.2) for the addresses that browser-based clients call; never for pages or management."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from bifrost.base.errors import Denied
from bifrost.protocol import mirrored_headers

ALLOWED_HEADERS = ", ".join(
    ("Accept", "Authorization", "Content-Type", "Last-Event-ID", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version")
    + ("Api-Key", "DPoP", "Mcp-Session-Id", "X-Api-Key", "X-Goog-Api-Key", "X-Bf-Vk")
    + ("X-Bf-Mcp-Include-Clients", "X-Bf-Mcp-Include-Tools", "X-Bf-Mcp-Session-Id")
)
EXPOSED_HEADERS = "WWW-Authenticate, DPoP-Nonce, Mcp-Session-Id, X-Request-Id, Retry-After"
MAX_AGE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Cors:
    """`allowed` decides about an `Origin`; None lets every origin read, which is right for public documents."""

    allowed: Callable[[str], bool] | None = None

    def check(self, request: Request) -> None:
        """A foreign Origin is refused before anything else is looked at, credentials included. Raises Denied."""
        origins = request.headers.getlist("origin")
        if origins and self.allowed and (len(origins) > 1 or not self.allowed(origins[0])):
            raise Denied("Requests from this web origin are not allowed.", code="origin_not_allowed")

    def allow(self, request: Request, response: Response) -> None:
        """What is for every origin says so to everybody: a cache may give a page the answer that a program got."""
        if self.allowed is None:
            response.headers["Access-Control-Allow-Origin"] = "*"
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
            return
        origins = request.headers.getlist("origin")
        if origins and self.allowed(origins[0]):
            response.headers["Access-Control-Allow-Origin"] = origins[0]
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
            response.headers.add_vary_header("Origin")

    @staticmethod
    def preflight(request: Request, methods: tuple[str, ...]) -> Response:
        """Fetch §3.2.2. Fields that repeat arguments are named by each tool's schema, so those that are asked for."""
        asked = request.headers.get("access-control-request-headers", "").lower().split(",")
        mirrored = [name for name in map(str.strip, asked) if mirrored_headers.is_field(name)]
        return Response(
            status_code=204,
            headers={
                "Access-Control-Allow-Methods": ", ".join(methods),
                "Access-Control-Allow-Headers": ", ".join((ALLOWED_HEADERS, *mirrored)),
                "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
                "Vary": "Access-Control-Request-Headers",
            },
        )
