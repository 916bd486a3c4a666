"""A receiver of webhooks on a free loopback port: it keeps what arrives, and answers by the first part of the path.

`/200/...`, `/500/...` and the like answer so; `/hang`, `/drip`, `/endless`, `/cut`, `/redirect` and `/busy` misbehave;
`/held` hangs at a receiver that holds, and is answered 200 by another.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"


@dataclass(frozen=True)
class Arrived:
    """One request. Header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class Receiver:
    """`arrived` is what came, in order. Each in `meanwhile` is called once: the first one before the first answer."""

    def __init__(self, port: int = 0, *, holds: bool = False) -> None:
        self.arrived: list[Arrived] = []
        self.meanwhile: list[Callable[[], object]] = []
        self._holds = holds
        self._closed = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers.get("content-length", 0)))
                receiver.arrived.append(Arrived(self.path, headers, body, time.monotonic()))
                self.close_connection = True
                if receiver.meanwhile:
                    receiver.meanwhile.pop(0)()
                with suppress(OSError):
                    receiver.answer(self.path.split("/")[1], self.connection)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Receiver":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def at(self, path: str) -> list[Arrived]:
        """What came to the path."""
        return [one for one in self.arrived if one.path == path]

    def answer(self, how: str, connection: socket.socket) -> None:
        ways: dict[str, Callable[[socket.socket], None]] = {
            "hang": lambda _: self._pause(60),
            "drip": self._drip,
            "endless": self._endless,
            "cut": lambda one: one.sendall(b"HTTP/1.1 200"),
            "redirect": lambda one: one.sendall(
                b"HTTP/1.1 302 Found\r\nlocation: /200/elsewhere\r\ncontent-length: 0\r\n\r\n"
            ),
            "busy": lambda one: one.sendall(b"HTTP/1.1 429 Busy\r\nretry-after: 7200\r\ncontent-length: 0\r\n\r\n"),
        }
        if how == "held":
            how = "hang" if self._holds else "200"
        if how in ways:
            ways[how](connection)
        else:
            connection.sendall(b"HTTP/1.1 %b X\r\nset-cookie: a=b\r\ncontent-length: 4\r\n\r\nseen" % how.encode())

    def _pause(self, seconds: float) -> bool:
        return self._closed.wait(seconds)

    def _drip(self, connection: socket.socket) -> None:
        while not self._pause(0.05):
            connection.sendall(b"H")

    def _endless(self, connection: socket.socket) -> None:
        connection.sendall(OK + b"\r\n")
        while not self._closed.is_set():
            connection.sendall(b"x" * 65536)
