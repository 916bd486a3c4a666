"""A tiny HTTP tool server that counts its calls, outside the server under test."""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Call:
    """One call: its name, the query's values, and when it came in (`time.monotonic()`)."""

    name: str
    query: dict[str, str]
    at: float


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # the usual 5 refuse some of those that come at once


class Ledger:
    """`GET /<name>?sleep=<seconds>` is counted under its name when it comes in, and answered after the sleep.

    `entries` are all calls in the order in which they came.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.entries: list[Call] = []
        self._writing = threading.Lock()
        ledger = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                ledger.count(Call(parts.path.strip("/"), query, time.monotonic()))
                time.sleep(float(query.get("sleep", "0")))
                try:
                    self.send_response(200)
                    self.send_header("Content-Length", "2")
                    self.end_headers()
                    self.wfile.write(b"ok")
                except OSError:
                    pass  # its caller was killed

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def count(self, call: Call) -> None:
        with self._writing:
            self.calls[call.name] += 1
            self.entries.append(call)

    def __enter__(self) -> "Ledger":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
