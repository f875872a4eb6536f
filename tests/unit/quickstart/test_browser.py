"""The demo's HTTP client against a real socket."""

import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bifrost.quickstart.browser import Answer, Browser, Unreachable

pytestmark = pytest.mark.wire


class Echo(BaseHTTPRequestHandler):
    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(302)
        self.send_header("Location", "/next?x=1")
        self.send_header("Set-Cookie", "a=1; Path=/; HttpOnly; SameSite=Lax")
        self.send_header("Set-Cookie", "gone=; Max-Age=0")
        self.end_headers()
        self.wfile.write(f"{self.command} {self.path} {self.headers.get('cookie')} ".encode() + body)

    do_GET = answer  # noqa: N815 - the base class's name
    do_POST = answer  # noqa: N815 - the base class's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def base() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_cookies_are_kept_and_redirects_are_left_to_the_caller(base: str) -> None:
    """RFC 6265 §5.3; the demo looks at every redirect itself."""
    browser = Browser()
    first = browser.get(base)
    assert (first.status, first.location) == (302, f"{base}/next?x=1")
    assert first.text == "GET / None "
    assert browser.post_form(f"{base}/p?q=1", {"k": "v w"}).text == "POST /p?q=1 a=1 k=v+w"
    assert browser.post_json(f"{base}/p", {"k": 1}).text == 'POST /p a=1 {"k": 1}'


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/mcp", "http://127.0.0.1:99999/mcp", "https://127.0.0.1:1/"])
def test_nobody_there_is_one_kind_of_error(url: str) -> None:
    """Ours: the verdict of a leg is a sentence."""
    with pytest.raises(Unreachable, match="does not answer"):
        Browser().get(url)


def test_an_event_stream_ends_with_the_answer() -> None:
    """MCP 2026-07-28 streamable-http: a response may come as the last event of a stream."""
    headers = Message()
    headers["Content-Type"] = "text/event-stream"
    body = b': hi\n\nevent: message\ndata: {"method":"notifications/progress"}\n\ndata: {"id":1}\n\n'
    assert Answer(url="", status=200, headers=headers, body=body).json() == {"id": 1}


@pytest.mark.parametrize("body", [b"", b"[]", b"<p>"])
def test_a_body_that_is_no_object_is_a_value_error(body: bytes) -> None:
    """Ours: every leg that wants a document says so in words."""
    with pytest.raises(ValueError):
        Answer(url="", status=200, headers=Message(), body=body).json()
