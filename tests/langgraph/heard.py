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


def parsed(piece: bytes) -> Heard | None:
    """One server-sent event, with the lines where LangGraph's server has them; None for a heartbeat."""
    if piece == b": heartbeat\r\n\r\n":
        return None
    lines = piece.decode().split("\r\n")
    assert lines[-2:] == ["", ""]
    names = [line.partition(": ")[0] for line in lines[:-2]]
    assert names in (["event", "data"], ["event", "data", "id"])
    event, data, *ids = (line.partition(": ")[2] for line in lines[:-2])
    return Heard(event, orjson.loads(data), ids[0] if ids else None)


async def all_of(frames: AsyncIterator[bytes]) -> list[Heard]:
    """Everything until the stream ends by itself."""
    async with asyncio.timeout(10):
        return [heard async for piece in frames if (heard := parsed(piece)) is not None]


async def some_of(frames: AsyncIterator[bytes], count: int) -> list[Heard]:
    """The first few of a stream that does not end."""
    found: list[Heard] = []
    async with asyncio.timeout(10), aclosing(frames) as pieces:  # type: ignore[type-var]
        while len(found) < count:
            if (heard := parsed(await anext(pieces))) is not None:
                found.append(heard)
    return found


def told(heard: list[Heard], event: str) -> list[Any]:
    """The data of the frames of this name."""
    return [one.data for one in heard if one.event == event]
