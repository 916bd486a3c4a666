"""One event of a run's log, and its two carriers' forms."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from core.clock import isoformat
from core.db import Row
from core.errors import Invalid

Position = tuple[int, int]  # a run's number in its session, and an event's number in its run
START: Position = (0, 0)
# Numbers are 32 bits in the database; a longer text cannot be an event's id.
_MAX_ID_LENGTH = 21
_MAX_SEQ = 2**31 - 1


@dataclass
class Event:
    """An event as readers see it."""

    number: int
    seq: int
    event: str
    ts: str
    data: dict[str, Any]
    run_id: str

    @property
    def position(self) -> Position:
        return (self.number, self.seq)

    @cached_property
    def sse(self) -> bytes:
        """The server-sent form, made once however many clients hear it."""
        data = orjson.dumps({**self.data, "run_id": self.run_id, "ts": self.ts})
        return b"id: %d-%d\nevent: %s\ndata: %s\n\n" % (self.number, self.seq, self.event.encode(), data)

    @cached_property
    def part(self) -> bytes:
        """The JSON of what a hosted graph streams with this event (`graph`), made once however many clients hear it."""
        return orjson.dumps(self.data["data"])

    @cached_property
    def frame(self) -> dict[str, Any]:
        """The websocket form, without its topic; `GET /runs/{id}/events` shows it too."""
        return {
            "id": f"{self.number}-{self.seq}",
            "event": self.event,
            "run_id": self.run_id,
            "seq": self.seq,
            "ts": self.ts,
            "data": self.data,
        }


def event_from_row(row: Row) -> Event:
    """The event of a row of `run_events`; an `end` that came with an output has that of its run, in `output`."""
    data = row["data"]
    if row["event"] == "end" and "output" not in data:
        data = {**data, "output": row["output"]}
    return Event(row["number"], row["seq"], row["event"], isoformat(row["ts"]), data, str(row["run_id"]))


def event_document(row: Row) -> dict[str, Any]:
    """The event of a row, as lists show it."""
    return event_from_row(row).frame


def parse_event_id(text: str, loc: str) -> Position:
    """`<run number>-<seq>` as a position; raises `Invalid` at `["query", loc]`."""
    number, _, seq = text.partition("-")
    if len(text) > _MAX_ID_LENGTH or not (number.isascii() and number.isdigit() and seq.isascii() and seq.isdigit()):
        raise Invalid.at("query", loc, message="An event id looks like 3-17: the run's number and the event's.")
    return (int(number), int(seq))


def parse_seq(text: str, number: int | None) -> int:
    """The place in its run of an event that `?after=` names, by its place or by its id; `number` is its run's.

    Raises `Invalid` for another run's event.
    """
    if text.isascii() and text.isdigit() and len(text) <= _MAX_ID_LENGTH:
        return min(int(text), _MAX_SEQ)
    of, seq = parse_event_id(text, "after")
    if of != (number or 0):
        raise Invalid.at("query", "after", message="This event is of another run.")
    return min(seq, _MAX_SEQ)
