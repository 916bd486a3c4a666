"""A search engine on a free loopback port that speaks the protocols of SearXNG and of Tavily, as they are documented.

It finds as many pages as it is told to. What it is asked for in a query's text it does: `fail 503`, `hang`, `html`.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.stubs.server import Asked

KEY = "tvly-0123456789"


def _pages(count: int) -> list[dict[str, Any]]:
    return [
        {"title": f"Page {n}", "url": f"https://example.com/{n}", "content": f"About {n}.", "score": 1 / n}
        for n in range(1, count + 1)
    ]


class SearchStub:
    """Use it as a context manager. `asked` has each request; its body is Tavily's JSON or SearXNG's query."""

    def __init__(self, found: int = 30):
        self.asked: list[Asked] = []
        self._released = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = stub.note(self, parts.path, dict(parse_qsl(parts.query)))
                if query["format"] != "json":
                    self.answer(200, "<html>")
                    return
                page = {
                    "query": query["q"],
                    "number_of_results": 0,
                    "results": _pages(found),
                    "unresponsive_engines": [],
                }
                self.play(query["q"], page)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                stub.note(self, self.path, body)
                if self.headers["authorization"] != f"Bearer {KEY}":
                    self.answer(401, {"detail": {"error": "Unauthorized: missing or invalid API key."}})
                    return
                pages = _pages(min(found, body.get("max_results", 5)))
                self.play(body["query"], {"query": body["query"], "results": pages, "response_time": 0.1})

            def play(self, asked: str, page: Any) -> None:
                word, _, status = asked.partition(" ")
                if word == "hang":
                    stub._released.wait(30)
                elif word == "fail":
                    self.answer(int(status), {"detail": {"error": "no"}})
                else:
                    self.answer(200, "<html>" if word == "html" else page)

            def answer(self, status: int, page: Any) -> None:
                content = page.encode() if isinstance(page, str) else json.dumps(page).encode()
                self.send_response(status)
                self.send_header("content-type", "text/html" if isinstance(page, str) else "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def note(self, request: BaseHTTPRequestHandler, path: str, body: Any) -> Any:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(path, headers, body))
        return body

    @property
    def body(self) -> Any:
        """The last request's."""
        return self.asked[-1].body

    def __enter__(self) -> "SearchStub":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
