"""Where a frame stands in its thread: `<run's number>-<event's number x 100 + slot>`.

One event of a run's log may become several frames. Which slot a frame has is said by what it is, never by what else a
client asked for: an id names the same place for every reader, also for one that comes back with other modes.
"""

import re

from core.errors import Invalid
from runs.events import Position

Place = tuple[int, int]

SLOTS = 100
# Numbers are 32 bits in the database.
_MOST = 2**31 - 1
BEGINNING: Place = (0, 0)
# Clients of `langgraph dev` know these as "everything": the id before the first, and Redis's own word for it.
_EVERYTHING = frozenset({"-1", "-"})
_ID = re.compile(r"(\d{1,20})(?:-(\d{1,20}))?")

# What a frame is. A mode's frames have room for more than one of an event; messages are told in three ways.
METADATA = 0
OF_MODE = {
    "tasks": 10,
    "debug": 20,
    "updates": 30,
    "values": 40,
    "checkpoints": 45,
    "messages": 50,
    "messages-tuple": 55,
    "custom": 60,
    "events": 65,
    "tools": 68,
    "state_update": 70,
    "lifecycle": 75,
}
ERROR = 90
DONE = 95


def place_of(event: Position, slot: int) -> Place:
    """The place of an event's frame."""
    return (event[0], event[1] * SLOTS + slot)


def after_event(event: Position) -> Place:
    """The place behind all frames of an event."""
    return place_of(event, SLOTS - 1)


def event_at(place: Place) -> int:
    """The number of the event that a frame at the place is of."""
    return place[1] // SLOTS


def parse_place(text: str | None) -> Place | None:
    """What `Last-Event-ID` names; None without it, and for what is no id of anything."""
    if text is None:
        return None
    if text in _EVERYTHING:
        return BEGINNING
    found = _ID.fullmatch(text)
    return None if found is None else (min(int(found[1]), _MOST), min(int(found[2] or 0), _MOST * SLOTS))


def require_place(text: str | None) -> Place | None:
    """The same, in the words of a thread's stream for what is no id. Raises Invalid."""
    place = parse_place(text)
    if text is not None and place is None:
        raise Invalid("Invalid last-event-id: must be a valid Redis stream ID")
    return place
