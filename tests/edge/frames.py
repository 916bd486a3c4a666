"""Websocket frames by hand (RFC 6455), because libraries send only what is allowed."""

import base64
import json
from typing import Any

from tests.edge.wire import Answer, Wire, head

TEXT, BINARY, CLOSE, PING, PONG, MORE = 1, 2, 8, 9, 10, 0


def frame(
    opcode: int, payload: bytes = b"", *, last: bool = True, length: int | None = None, rsv1: bool = False
) -> bytes:
    """A client's frame. `length`: what it says of itself, when that is not the payload's."""
    size = len(payload) if length is None else length
    first = bytes([opcode | (0x80 if last else 0) | (0x40 if rsv1 else 0)])
    if size < 126:
        header = bytes([0x80 | size])
    elif size < 65_536:
        header = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        header = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return first + header + b"\0\0\0\0" + payload  # a mask of zeros changes nothing


def command(**values: Any) -> bytes:
    return frame(TEXT, json.dumps(values).encode())


class Socket(Wire):
    """A websocket, from its handshake on."""

    def open(self, path: str, *headers: str, key: str | None = None) -> Answer:
        """Ask for it; gives the answer to the handshake."""
        self.say(
            head(
                f"GET {path} HTTP/1.1",
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                f"Sec-WebSocket-Key: {base64.b64encode(b'0123456789abcdef').decode()}",
                *headers,
                key=key,
            )
        )
        return self.answer()

    def hear(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload."""
        first, size = self._heard.read(2)
        if size == 126:
            size = int.from_bytes(self._heard.read(2), "big")
        elif size == 127:
            size = int.from_bytes(self._heard.read(8), "big")
        return first & 0x0F, self._heard.read(size)

    def closed_with(self) -> int:
        """The code with which the server closes."""
        while True:
            opcode, payload = self.hear()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")

    def answer_to(self, ref: str) -> Any:
        """The answer to the command with this ref."""
        while True:
            opcode, payload = self.hear()
            if opcode == TEXT and (document := json.loads(payload)).get("ref") == ref:
                return document
