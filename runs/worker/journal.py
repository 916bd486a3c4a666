"""A run's events on their way: numbered, told live, and kept for the step's commit."""

from collections.abc import Callable
from typing import Any

from core.text import clean
from runs.worker.publisher import Publisher

Event = dict[str, Any]


class Journal:
    """Numbers a run's events and hands them to the live carrier and to the step's transaction.

    `committed` is the last number in PostgreSQL. Tokens of one message that have not been sent yet are one event.
    """

    def __init__(
        self,
        *,
        run_id: str,
        session_id: str,
        number: int,
        committed: int,
        publisher: Publisher,
        now: Callable[..., str],
    ):
        self.run_id = run_id
        self.session_id = session_id
        self.number = number
        self.committed = committed
        self._publisher = publisher
        self.now = now
        self._events: list[Event] = []  # of the step in flight
        self._sent = 0  # how many of them the carrier has
        self._held = 0  # how many of them wait for the commit before they are told
        self._outbox: list[Event] = []  # committed, and not yet told
        self._token: Event | None = None

    @property
    def last_seq(self) -> int:
        return self.committed + len(self._events)

    @property
    def first_token(self) -> int | None:
        """The number of the step's first token event, if it told any."""
        return next((event["seq"] for event in self._events if event["event"] == "token"), None)

    def token(self, message_id: str, text: str, kind: str) -> None:
        """Tell a piece of a message."""
        text = clean(text)
        open_token = self._token
        if open_token and open_token["data"]["message_id"] == message_id and open_token["data"]["kind"] == kind:
            open_token["data"]["text"] += text
            return
        self._token = self._append("token", {"message_id": message_id, "text": text, "kind": kind})
        self._publisher.tell(self)

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Tell an event at once, before its step is committed."""
        self._token = None
        self._append(event, clean(data))
        self._publisher.tell(self)

    def hold(self, event: str, data: dict[str, Any]) -> None:
        """Add an event that nobody hears before its step is committed."""
        self._token = None
        self._append(event, clean(data))
        self._held += 1

    def rows(self) -> list[dict[str, Any]]:
        """The step's events as rows of `run_events`."""
        return [{**event, "run_id": self.run_id} for event in self._events]

    def commit(self) -> None:
        """The step's events are on disk: tell those that were held, and begin the next step's."""
        self._outbox += self._events[self._sent :]
        self.committed = self.last_seq
        self._events, self._sent, self._held, self._token = [], 0, 0, None
        self._publisher.tell(self, urgent=True)

    def discard_held(self) -> None:
        """Forget the events that nobody heard: their commit did not happen."""
        if self._held:
            del self._events[-self._held :]
            self._held = 0

    def take(self) -> list[list[Any]]:
        """What the carrier has not sent yet: `[run number, seq, event, ts, data]` each."""
        self._token = None
        ready = len(self._events) - self._held
        fresh, self._outbox = self._outbox + self._events[self._sent : ready], []
        self._sent = max(self._sent, ready)
        return [[self.number, e["seq"], e["event"], e["ts"], e["data"]] for e in fresh]

    def _append(self, event: str, data: dict[str, Any]) -> Event:
        entry = {"seq": self.last_seq + 1, "event": event, "data": data, "ts": self.now()}
        self._events.append(entry)
        return entry
