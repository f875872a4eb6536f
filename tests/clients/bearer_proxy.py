"""A loopback proxy that adds a bearer, for clients that cannot sign in (the conformance server suite, load tools).

    bearer_proxy.py http://127.0.0.1:8080 --port 19390 --token TOKEN

Paths, methods, bodies and streams pass through; the Host header is the upstream's unless the peer sent one
that is not this proxy's (a DNS-rebinding probe), which passes unchanged.
"""

from __future__ import annotations

import argparse
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade"}


def build(upstream: str, port: int, token: str) -> Starlette:
    own = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def forward(request: Request) -> StreamingResponse:
        headers = {k: v.strip() for k, v in request.headers.items() if k not in HOP}
        if headers.get("host") in own:
            headers["host"] = urlsplit(upstream).netloc
            if "origin" in headers and urlsplit(headers["origin"]).netloc in own:
                headers["origin"] = upstream
        headers.setdefault("authorization", f"Bearer {token}")
        url = upstream + request.url.path + (f"?{request.url.query}" if request.url.query else "")
        outgoing = request.app.state.http.build_request(
            request.method, url, headers=headers, content=await request.body()
        )
        answer = await request.app.state.http.send(outgoing, stream=True)

        async def body() -> AsyncIterator[bytes]:
            try:
                async for chunk in answer.aiter_raw():
                    yield chunk
            finally:
                await answer.aclose()

        kept = {k: v for k, v in answer.headers.items() if k not in HOP}
        return StreamingResponse(body(), answer.status_code, kept)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with httpx2.AsyncClient(timeout=None, trust_env=False) as http:
            app.state.http = http
            yield

    methods = ["GET", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"]
    return Starlette(routes=[Route("/{path:path}", forward, methods=methods)], lifespan=lifespan)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("upstream")
    parser.add_argument("--port", type=int, default=19390)
    parser.add_argument("--token", required=True)
    args = parser.parse_args()
    app = build(args.upstream.rstrip("/"), args.port, args.token)
    uvicorn.run(app, host="127.0.0.1", port=args.port, log_level="warning")
