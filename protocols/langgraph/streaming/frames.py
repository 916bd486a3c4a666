"""Server-sent events as LangGraph's server writes them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from runs.events import Event

HEARTBEAT = b": heartbeat\r\n\r\n"
HEARTBEAT_S = 5.0

DEFAULT_MODES = ("values",)


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event: its slot among those of the run's event, its name and its data as JSON."""

    slot: int
    name: str
    data: bytes

    def sse(self, place: tuple[int, int] | None) -> bytes:
        """Its bytes, with an id if it has a place: lines end in CRLF, and the id comes last."""
        if place is None:
            return b"event: %s\r\ndata: %s\r\n\r\n" % (self.name.encode(), self.data)
        return b"event: %s\r\ndata: %s\r\nid: %d-%d\r\n\r\n" % (self.name.encode(), self.data, *place)


def frame(slot: int, name: str, data: Any) -> Frame:
    return Frame(slot, name, orjson.dumps(data))


@dataclass(frozen=True, slots=True)
class About:
    """What a run is to its readers. `modes` are those that it was started with; a native client's run has none.

    `graph_id` is the graph's, or the type's of a native assistant; `hosted`: it is a graph.
    """

    graph_id: str
    hosted: bool
    modes: frozenset[str] | None = None
    subgraphs: bool = False
    resumable: bool = False


class Translator(Protocol):
    """Makes frames of one run's events, fed in their order from the first on."""

    # Whether frames depend on events before theirs.
    folds: bool

    async def feed(self, event: Event) -> Iterable[Frame]:
        """The frames of an event that are wanted, by their slots."""
