"""A small HTTP server on a free loopback port that remembers what it was asked and plays answers in turn."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What the model server answers to one call.

    `cached_tokens` of the input came out of the cache. `tool_calls` are (id, name, arguments as JSON text); `status`
    other than 200 is an error with `headers`.
    `hang_s` waits before anything is sent; `cut_after` closes the connection after so many pieces.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: list[tuple[str, str, str]] = field(default_factory=list)
    input_tokens: int = 11
    output_tokens: int = 7
    cached_tokens: int = 0
    status: int = 200
    message: str = "the stub refuses"
    headers: dict[str, str] = field(default_factory=dict)
    hang_s: float = 0
    cut_after: int | None = None


@dataclass
class Asked:
    """One request as it arrived. Header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: Any


class ModelStub:
    """Plays `replies`, one for each call; the last one repeats. `pieces` makes a reply the chunks of a stream."""

    def __init__(self, pieces: Callable[[Reply], Iterator[bytes]], *replies: Reply):
        self.pieces = pieces
        self.replies = list(replies)
        self.asked: list[Asked] = []
        self._released = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.path, headers, json.loads(body))
                stub.asked.append(asked)
                with suppress(ConnectionError):  # its caller may have given up
                    stub.play(self, stub.reply_to(asked))

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def body(self) -> Any:
        """The last request's body."""
        return self.asked[-1].body

    def __enter__(self) -> "ModelStub":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def reply_to(self, asked: Asked) -> Reply:
        """What to play for this request, which is the last of `self.asked`."""
        return self.replies[min(len(self.asked), len(self.replies)) - 1]

    def play(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        self._released.wait(reply.hang_s)
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if reply.status == 200:
            self._stream(handler, reply)
        else:
            self._refuse(handler, reply)

    def _refuse(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        body = json.dumps({"error": {"message": reply.message, "type": "stub"}}).encode()
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _stream(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for number, piece in enumerate(self.pieces(reply)):
            if number == reply.cut_after:
                handler.close_connection = True
                return
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            handler.wfile.flush()
        handler.wfile.write(b"0\r\n\r\n")
