"""Bytes as they go over a socket, and what comes back."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import parse_headers
from types import TracebackType
from typing import Any

from tests.servers import Server

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection."""

    def __init__(self, server: Server, timeout_s: float = 20.0):
        self.socket = socket.create_connection((HOST, server.port), timeout=timeout_s)
        self._heard = self.socket.makefile("rb")

    def say(self, data: bytes) -> "Wire":
        """Send this. A server that does not hear it any more is no failure: what counts is what it says."""
        with suppress(OSError):
            self.socket.sendall(data)
        return self

    def answer(self) -> Answer:
        """The next answer. Raises `EOFError` where there is none."""
        line = self._heard.readline()
        if not line:
            raise EOFError
        headers = {name.lower(): value for name, value in parse_headers(self._heard).items()}
        chunked = headers.get("transfer-encoding") == "chunked"
        body = b"".join(self._chunks()) if chunked else self._heard.read(int(headers.get("content-length", 0)))
        return Answer(int(line.split()[1]), headers, body)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._heard.readline(), 16):
            yield self._heard.read(size + 2)[:size]
        self._heard.readline()

    def ends(self) -> bool:
        """Whether the server ends the connection, with nothing more said."""
        with suppress(ConnectionError):
            return self._heard.read(1) == b""
        return True

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._heard.close()
        self.socket.close()


def head(line: str, *headers: str, key: str | None = None) -> bytes:
    """A request's head, with a Host unless one is given."""
    host = () if any(header.lower().startswith("host:") for header in headers) else (f"Host: {HOST}",)
    credential = (f"X-Api-Key: {key}",) if key else ()
    return "\r\n".join([line, *host, *credential, *headers, "", ""]).encode("latin-1")


def assert_error(answer: Answer, status: int, code: str) -> None:
    """The one error body, with the headers of every answer."""
    assert answer.status == status, answer
    document = answer.document
    assert set(document) == {"detail", "code", "request_id", "errors"}
    assert document["code"] == code
    assert answer.headers["x-request-id"] == document["request_id"]
    assert answer.headers["x-content-type-options"] == "nosniff"
