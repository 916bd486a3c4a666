"""Server-sent events as a client reads them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Event:
    id: str
    event: str
    data: dict[str, Any]

    @property
    def seq(self) -> int:
        return int(self.id.split("-")[1])


def events(response: httpx.Response) -> Iterator[Event]:
    """The events of an open stream; comments are dropped."""
    frame: dict[str, str] = {}
    for line in response.iter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            frame[name] = value
        elif frame:
            yield Event(frame["id"], frame["event"], json.loads(frame["data"]))
            frame = {}


def text_of(received: list[Event]) -> str:
    """The tokens that are left when what was superseded is dropped."""
    dropped = [(e.data["from_seq"], e.data["to_seq"]) for e in received if e.event == "superseded"]
    tokens = [e for e in received if e.event == "token"]
    return "".join(e.data["text"] for e in tokens if not any(low <= e.seq <= high for low, high in dropped))


def assert_contiguous(received: list[Event]) -> None:
    """No gap and no double; a `superseded` event covers the jump before it."""
    previous = received[0].seq - 1
    for event in received:
        if event.event == "superseded" and event.seq > previous + 1:
            assert event.data["from_seq"] <= previous + 1
            assert event.data["to_seq"] == event.seq - 1
        else:
            assert event.seq == previous + 1, f"{event.event} {event.seq} after {previous}"
        previous = event.seq
