"""GET /health (the process lives) and GET /ready (the storage answers too); any host may ask."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bifrost import __version__
from bifrost.base.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Health:
    ping: Callable[[], Awaitable[None]]

    async def live(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    async def ready(self, _request: Request) -> Response:
        try:
            await self.ping()
        except Unavailable as error:
            return JSONResponse(
                {"status": "unavailable", "storage": "unavailable"},
                503,
                headers={"Retry-After": str(error.retry_after)},
            )
        return JSONResponse({"status": "ok", "storage": "ok"})
