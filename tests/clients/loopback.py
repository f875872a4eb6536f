"""A loopback redirect listener (RFC 8252 §7.3) for the clients that bring none of their own."""

from __future__ import annotations

import http.server
import queue
import threading
import urllib.parse
from typing import Self


class Loopback:
    """`with Loopback() as cb:` listens at `cb.redirect_uri`; `cb.wait()` gives the callback's parameters."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, path: str = "/callback") -> None:
        calls: queue.Queue[str] = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = urllib.parse.urlsplit(self.path).path == path
                self.send_response(200 if found else 404)
                self.end_headers()
                if found:
                    self.wfile.write(b"You may close this window.")
                    calls.put(self.path)

            def log_message(self, *args: object) -> None:
                pass

        self._calls = calls
        self._server = http.server.ThreadingHTTPServer((host, port), Handler)
        self.redirect_uri = f"http://{host}:{self._server.server_address[1]}{path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_url(self, timeout: float = 30) -> str:
        """The whole callback URL, for client libraries that take it as one."""
        return urllib.parse.urljoin(self.redirect_uri, self._calls.get(timeout=timeout))

    def wait(self, timeout: float = 30) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.wait_url(timeout)).query))
