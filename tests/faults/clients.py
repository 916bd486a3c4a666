"""Clients as applications write them: they lose their connection, come back with the last id, and keep a transcript.

Made of bare sockets, because thousands of them live in one process beside the server that they load.
"""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.faults.checker import Transcript
from tests.servers import KEY
from tests.sse import Event

HOST = "127.0.0.1"
RETRY_S = 0.1


@dataclass(frozen=True)
class Answer:
    """A whole answer. Header names are in lower case; `taken_s` is from the first byte sent to the last received."""

    status: int
    headers: dict[str, str]
    document: Any
    taken_s: float


@dataclass
class Heard(Transcript):
    """What one client heard of one run (or of a session until that run's end); `cuts`: how often it was cut off."""

    cuts: int = 0

    def take(self, frame: dict[str, Any]) -> None:
        """Note what came over a websocket."""
        data = {**frame["data"], "run_id": frame["run_id"], "ts": frame["ts"]}
        self.events.append(Event(frame["id"], frame["event"], data))

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1].event == "end"


def new_run(plan: dict[str, Any], assistant: str = "", **body: Any) -> dict[str, Any]:
    """The body of a run of a Stepper (see `tests.faults.agents`)."""
    to = {"assistant_id": assistant} if assistant else {}
    return {"input": {"message": json.dumps(plan)}, **to, **body}


async def request(port: int, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """One request on a connection of its own; underscores in the names of `headers` are written as dashes."""
    began = time.monotonic()
    reader, writer = await _ask(port, method, path, body, headers)
    try:
        status, answered = await _head(reader)
        raw = await reader.readexactly(int(answered.get("content-length", "0")))
    finally:
        writer.transport.abort()
    return Answer(status, answered, json.loads(raw) if raw else None, time.monotonic() - began)


async def at_once(count: int, ports: Sequence[int], method: str, path: str, body: Any, **headers: str) -> list[Answer]:
    """The same request so many times at the same moment, over all of the webs."""
    turns = cycle(ports)
    return await asyncio.gather(*(request(next(turns), method, path, body, **headers) for _ in range(count)))


# -- server-sent events ----------------------------------------------------------------------------------------------


class Stream:
    """An open stream: `next` gives the event that comes, None for a heartbeat, and raises EOFError at the end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None = None):
        self._reader, self._writer = reader, writer
        self._rest = b""
        self._frames: Iterator[bytes] = iter(())

    async def next(self) -> Event | None:
        while (frame := next(self._frames, None)) is None:
            try:
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                chunk = (await self._reader.readexactly(size + 2))[:-2]
            except (OSError, asyncio.IncompleteReadError) as error:
                raise ConnectionError("The stream was cut off.") from error
            if not size:
                raise EOFError
            *frames, self._rest = (self._rest + chunk).split(b"\n\n")
            self._frames = iter(frames)
        if frame.startswith(b":"):
            return None
        fields = dict(line.split(": ", 1) for line in frame.decode().split("\n"))
        return Event(fields["id"], fields["event"], json.loads(fields["data"]))

    def cut(self) -> None:
        """Be gone, without a word."""
        if self._writer is not None:
            self._writer.transport.abort()


async def open_stream(
    port: int, path: str, *, method: str = "GET", body: Any = None, after: str | None = None, receive_buffer: int = 0
) -> Stream:
    """Raises RuntimeError where the answer is not a stream. `receive_buffer` (bytes) makes the kernel's a small one."""
    headers = {"last_event_id": after} if after else {}
    reader, writer = await _ask(port, method, path, body, headers, receive_buffer)
    status, answered = await _head(reader)
    if status != 200 or not answered["content-type"].startswith("text/event-stream"):
        writer.transport.abort()
        raise RuntimeError(f"{method} {path}: {status}")
    return Stream(reader, writer)


async def follow(
    ports: Sequence[int], run_id: str, *, cut_after: Sequence[int] = (), begun: Heard | None = None
) -> Heard:
    """Read a run to its end, cutting the connection after so many events each time, and coming back to the next web.

    A connection that the other side loses is taken up again, too. `begun`: what was heard of it before.
    """
    transcript, cuts, turns = begun or Heard(run_id), iter(cut_after), cycle(ports)
    while not transcript.ended:
        left = next(cuts, None)
        try:
            await _read(await _again(next(turns), transcript), transcript, left)
        except (OSError, EOFError, RuntimeError, asyncio.IncompleteReadError):
            await asyncio.sleep(RETRY_S)
        transcript.cuts += not transcript.ended
    return transcript


async def _again(port: int, transcript: Heard) -> Stream:
    after = transcript.events[-1].id if transcript.events else None
    return await open_stream(port, f"/runs/{transcript.run_id}/stream", after=after)


async def _read(stream: Stream, transcript: Heard, left: int | None) -> None:
    try:
        while not transcript.ended and left != 0:
            event = await stream.next()
            if event is not None:
                transcript.events.append(event)
                left = None if left is None else left - 1
    finally:
        stream.cut()


# -- websockets ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def websocket(
    port: int, session_id: str, after: str | None = None, *, receive_buffer: int = 0
) -> AsyncIterator[ClientConnection]:
    """A socket of the session. With a small `receive_buffer` (bytes) it takes in, as it is, what it is asked for."""
    query = f"?after={after}" if after else ""
    url = f"ws://{HOST}:{port}/ws/sessions/{session_id}{query}"
    plug = await _plug(port, receive_buffer)
    slow: dict[str, Any] = {"max_queue": 1, "compression": None} if receive_buffer else {}
    async with connect(url, sock=plug, additional_headers={"X-Api-Key": KEY}, max_size=None, **slow) as opened:
        yield opened


async def follow_session(
    ports: Sequence[int], session_id: str, until: str, *, cut_after: Sequence[int] = (), begun: Heard | None = None
) -> Heard:
    """Read a session's events by websocket until the run `until` has ended, cutting the connection as `follow` does."""
    transcript, cuts, turns = begun or Heard(until), iter(cut_after), cycle(ports)

    def done() -> bool:
        return transcript.ended and transcript.events[-1].data["run_id"] == until

    while not done():
        left = next(cuts, None)
        after = transcript.events[-1].id if transcript.events else None
        try:
            async with websocket(next(turns), session_id, after) as opened:
                while not done() and left != 0:
                    transcript.take(json.loads(await opened.recv()))
                    left = None if left is None else left - 1
                opened.transport.abort()
        except (OSError, ConnectionClosed):
            await asyncio.sleep(RETRY_S)
        transcript.cuts += not done()
    return transcript


# -- HTTP/1.1 --------------------------------------------------------------------------------------------------------


async def _ask(
    port: int, method: str, path: str, body: Any, headers: dict[str, str], receive_buffer: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    plug = await _plug(port, receive_buffer)
    reader, writer = await asyncio.open_connection(sock=plug, limit=receive_buffer or 1 << 20)
    payload = b"" if body is None else json.dumps(body).encode()
    given = {"host": f"{HOST}:{port}", "x-api-key": KEY, "content-type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    writer.write(f"{method} {path} HTTP/1.1\r\n{head}content-length: {len(payload)}\r\n\r\n".encode() + payload)
    return reader, writer


async def _plug(port: int, receive_buffer: int) -> socket.socket:
    plug = socket.socket()
    plug.setblocking(False)
    if receive_buffer:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(plug, (HOST, port))
    return plug


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = (line.partition(": ") for line in lines[1:] if line)
    return int(lines[0].split()[1]), {name.lower(): value for name, _, value in fields}
