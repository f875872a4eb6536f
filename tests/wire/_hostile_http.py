"""Upstreams that answer a tool call as badly as they can, byte by byte; to everything else they answer as they should.

The path of the address says what is wrong. What is sent is made as it is sent: a gigabyte is held nowhere.
"""

import gzip
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

GIGABYTE = 1024 * 1024 * 1024
BLOCK = b"x" * 65_536
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
JSON, STREAM = HEAD % b"application/json", HEAD % b"text/event-stream"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
TOOL = {"name": "do", "inputSchema": {"type": "object"}}
LOG = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}'
Send = Callable[[bytes], None]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole(body: bytes, head: bytes = JSON) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def answer(request_id: Any, result: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result}).encode()


DONE: dict[str, Any] = {"content": [{"type": "text", "text": "done"}]}


def good(send: Send, request_id: Any) -> None:
    send(whole(answer(request_id, DONE)))


def gigabyte(send: Send, _id: Any) -> None:
    send(JSON + CHUNKED + chunk(b'{"jsonrpc":"2.0","id":1,"result":{"x":"'))
    for _ in range(GIGABYTE // len(BLOCK)):
        send(chunk(BLOCK))


def declared(send: Send, _id: Any) -> None:
    send(JSON + b"Content-Length: %d\r\n\r\n" % GIGABYTE)
    for _ in range(GIGABYTE // len(BLOCK)):
        send(BLOCK)


def tiny(send: Send, _id: Any) -> None:
    """In chunks of one byte: six on the wire for one that counts."""
    send(JSON + CHUNKED)
    piece = chunk(b"x") * 10_000
    for _ in range(GIGABYTE // len(piece)):
        send(piece)


def bomb(send: Send, _id: Any) -> None:
    """Ten megabytes of nothing in ten kilobytes, over and over: a gigabyte in one."""
    packed = gzip.compress(b"\0" * 10_485_760)
    send(whole(packed * 100, JSON + b"Content-Encoding: gzip\r\n"))


def event(send: Send, _id: Any) -> None:
    """One event without end."""
    send(STREAM + CHUNKED + chunk(b"data: "))
    for _ in range(GIGABYTE // len(BLOCK)):
        send(chunk(BLOCK))


def events(send: Send, _id: Any) -> None:
    """Events without end, none of them the answer."""
    send(STREAM + CHUNKED)
    piece = chunk((b"data: " + LOG + b"\n\n") * 200)
    for _ in range(GIGABYTE // len(piece)):
        send(piece)


def lines(send: Send, _id: Any) -> None:
    """One event of millions of lines."""
    send(STREAM + CHUNKED)
    piece = chunk(b"data:ab\n" * 8_000)
    for _ in range(GIGABYTE // len(piece)):
        send(piece)


def heads(send: Send, _id: Any) -> None:
    """A head without end."""
    send(JSON)
    for _ in range(GIGABYTE // len(BLOCK)):
        send(b"X-Field: " + BLOCK[:60_000] + b"\r\n")


def early(send: Send, _id: Any) -> None:
    """Informational answers without end."""
    for _ in range(1_000_000):
        send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100)


def cut(send: Send, _id: Any) -> None:
    send(JSON + b"Content-Length: 1000\r\n\r\n" + b'{"jsonrpc":"2.0"')


def cut_stream(send: Send, _id: Any) -> None:
    send(STREAM + CHUNKED + chunk(b"data: " + LOG + b"\n\ndata: {"))


def garbage(send: Send, _id: Any) -> None:
    send(b"\x16\x03\x01 this is no HTTP\r\n\r\n")


def no_json(send: Send, _id: Any) -> None:
    send(whole(b"<html>10.11.12.13 is down</html>"))


def wrong_id(send: Send, request_id: Any) -> None:
    send(whole(answer(request_id + 1_000, DONE)))


def two_framings(send: Send, request_id: Any) -> None:
    send(JSON + b"Content-Length: 5\r\n" + CHUNKED + chunk(answer(request_id, DONE)) + b"0\r\n\r\n")


def second_answer(send: Send, request_id: Any) -> None:
    """A good answer, and behind it one that nobody asked for: it must not become the next caller's."""
    send(whole(answer(request_id, DONE)) + whole(answer(request_id + 1, {"content": [], "poison": True})))


def silence(_send: Send, _id: Any) -> None:
    time.sleep(30)


def drip(send: Send, _id: Any) -> None:
    """A byte of the head now and then."""
    for byte in JSON * 10:
        send(bytes((byte,)))
        time.sleep(0.2)


ENDLESS = (gigabyte, declared, tiny, bomb, event, events, lines, heads, early)
WRONG = (cut, cut_stream, garbage, no_json, wrong_id, two_framings)
HANGING = (silence, drip)
BEHAVIOURS = {one.__name__: one for one in (good, *ENDLESS, *WRONG, *HANGING, second_answer)}


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        try:
            while self._exchange():
                pass
        except (OSError, ValueError):
            return

    def _exchange(self) -> bool:
        """Whether the connection stays good."""
        line = self.rfile.readline().decode("latin-1")
        if not line:
            return False
        size = 0
        while (field := self.rfile.readline().strip().lower()) != b"":
            if field.startswith(b"content-length:"):
                size = int(field.partition(b":")[2])
        method, path, _ = line.split(" ")
        if method != "POST":
            self._send(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
            return True
        return self._message(path.strip("/"), json.loads(self.rfile.read(size)))

    def _message(self, name: str, message: dict[str, Any]) -> bool:
        results: dict[str, dict[str, Any]] = {
            "initialize": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": name, "version": "1"},
            },
            "tools/list": {"tools": [TOOL]},
            "ping": {},
        }
        if "id" not in message:
            self._send(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        elif message["method"] in results:
            self._send(whole(answer(message["id"], results[message["method"]])))
        elif message["method"] == "tools/call":
            BEHAVIOURS[name](self._send, message["id"])
            return name in ("good", "wrong_id", "no_json", "second_answer")
        else:
            error = {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "?"}}
            self._send(whole(json.dumps(error).encode()))
        return True

    def _send(self, data: bytes) -> None:
        self.request.sendall(data)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    block_on_close = False
    request_queue_size = 100


@contextmanager
def hostile_server() -> Iterator[str]:
    """Its origin, for as long as the block lasts."""
    with _Server(("127.0.0.1", 0), _Connection) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
