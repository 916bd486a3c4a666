"""What a reader of a stream hears, read back from its bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True)
class Heard:
    event: str
    data: Any
    id: str | None = None


def parsed(pieces: bytes) -> list[Heard]:
    """Server-sent events, of which several may be sent together; a heartbeat is none."""
    *events, rest = pieces.split(b"\r\n\r\n")
    assert rest == b""
    return [_event(event + b"\r\n\r\n") for event in events if event != b": heartbeat"]


def _event(piece: bytes) -> Heard:
    """One of them, with the lines where LangGraph's server has them."""
    lines = piece.decode().split("\r\n")
    assert lines[-2:] == ["", ""]
    names = [line.partition(": ")[0] for line in lines[:-2]]
    assert names in (["event", "data"], ["event", "data", "id"])
    event, data, *ids = (line.partition(": ")[2] for line in lines[:-2])
    return Heard(event, orjson.loads(data), ids[0] if ids else None)


async def all_of(frames: AsyncIterator[bytes]) -> list[Heard]:
    """Everything until the stream ends by itself."""
    async with asyncio.timeout(10):
        return [heard async for pieces in frames for heard in parsed(pieces)]


async def some_of(frames: AsyncIterator[bytes], count: int) -> list[Heard]:
    """The first few of a stream that does not end."""
    found: list[Heard] = []
    async with asyncio.timeout(10), aclosing(frames) as pieces:  # type: ignore[type-var]
        while len(found) < count:
            found += parsed(await anext(pieces))
    return found[:count]


def told(heard: list[Heard], event: str) -> list[Any]:
    """The data of the frames of this name."""
    return [one.data for one in heard if one.event == event]
