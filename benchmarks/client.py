"""A small HTTP/1.1 client that costs little, because it runs on the cores of the server that it measures."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any


class Client:
    """One kept-alive connection with one API key; not for two requests at a time."""

    def __init__(self, host: str, port: int, key: str):
        self._host, self._port = host, port
        self._head = f"Host: {host}:{port}\r\nX-Api-Key: {key}\r\nContent-Type: application/json\r\n"
        self._reader: asyncio.StreamReader | None = None

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's document; raises RuntimeError for an error status."""
        status, headers = await self._ask(method, path, body)
        assert self._reader is not None
        if headers.get(b"transfer-encoding") == b"chunked":
            raw = b"".join([piece async for piece in self._pieces()])
        else:
            raw = await self._reader.readexactly(int(headers.get(b"content-length", b"0")))
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {raw[:500]!r}")
        return json.loads(raw) if raw else None

    async def stream(self, method: str, path: str, body: Any = None) -> AsyncIterator[tuple[float, str]]:
        """The moment (seconds) and name of each event of a stream that ends by itself."""
        status, _ = await self._ask(method, path, body)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status}")
        assert self._reader is not None
        rest = b""
        async for piece in self._pieces():
            *lines, rest = (rest + piece).split(b"\n")
            now = time.perf_counter()
            for line in lines:
                if line.startswith(b"event: "):
                    yield now, line[7:].rstrip(b"\r").decode()

    async def _pieces(self) -> AsyncIterator[bytes]:
        """The chunks of an answer that comes in such."""
        assert self._reader is not None
        while size := int(await self._reader.readline(), 16):
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readline()

    async def close(self) -> None:
        if self._reader is not None:
            self._writer.close()
            self._reader = None

    async def _ask(self, method: str, path: str, body: Any) -> tuple[int, dict[bytes, bytes]]:
        if self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 20)
        payload = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(payload)}\r\n\r\n"
        self._writer.write(head.encode() + payload)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), headers
