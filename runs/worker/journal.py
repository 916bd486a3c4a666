"""A run's events on their way: numbered, told live, and kept for the step's commit."""

from collections.abc import Callable
from typing import Any

from core.text import clean
from runs.worker.publisher import Publisher

Event = dict[str, Any]


class Journal:
    """Numbers a run's events and hands them to the live carrier and to the step's transaction.

    An event is first of the step in flight, then sealed with it, then committed. Nobody hears an event before those of
    lower numbers: while a step's held events wait for its commit, what the next one tells waits behind them. Tokens of
    one message that have not been sent yet are one event. `committed` is the last number in PostgreSQL to begin with.
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
        self._publisher = publisher
        self.now = now
        self._base = committed  # the last number before those of `_events`
        self._events: list[Event] = []  # what is not sealed yet
        self._sent = 0  # how many of them the carrier has
        self._held = 0  # how many of them wait for the commit before they are told
        self._finished = 0  # how many of them are of finished steps that nothing stores yet
        self._sealed: list[Event] = []  # on their way to PostgreSQL, and not told before they are there
        self._outbox: list[Event] = []  # may be told, and not yet sent
        self._token: Event | None = None

    @property
    def last_seq(self) -> int:
        return self._base + len(self._events)

    @property
    def base_seq(self) -> int:
        """The last number that is sealed: what the next commit builds on."""
        return self._base

    @property
    def unsealed(self) -> int:
        """How many events wait to be stored."""
        return len(self._events)

    @property
    def first_token(self) -> int | None:
        """The number of the first token event of the step in flight, if it told any."""
        step = self._events[self._finished :]
        return next((event["seq"] for event in step if event["event"] == "token"), None)

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

    def beside(self, event: str, data: dict[str, Any]) -> None:
        """Tell an event that says nothing new of the message whose tokens are told: these stay one event around it.

        `data` is clean already.
        """
        self._append(event, data)
        self._publisher.tell(self)

    def hold(self, event: str, data: dict[str, Any]) -> None:
        """Add an event that nobody hears before its step is over."""
        self._token = None
        self._append(event, clean(data))
        self._held += 1

    def hold_superseded(self, reason: str) -> None:
        """Tell readers to drop the tokens of a step that will be carried out again."""
        if (first := self.first_token) is not None:
            self.hold("superseded", {"from_seq": first, "to_seq": self.last_seq, "reason": reason})

    def finish(self) -> None:
        """The step is over and nothing of it is stored yet: tell what it held, and begin the next one's events."""
        self._held, self._token = 0, None
        self._finished = len(self._events)
        self._publisher.tell(self, urgent=True)

    def seal(self) -> list[dict[str, Any]]:
        """The events so far as rows of `run_events`, to be stored; the next step's come after them."""
        rows = [{**event, "run_id": self.run_id} for event in self._events]
        ready = len(self._events) - self._held
        self._outbox += self._events[self._sent : ready]
        self._sealed = self._events[ready:]
        self._base = self.last_seq
        self._events, self._sent, self._held, self._finished, self._token = [], 0, 0, 0, None
        return rows

    def commit(self) -> None:
        """What was sealed is on disk: tell it."""
        self._outbox += self._sealed
        self._sealed = []
        self._publisher.tell(self, urgent=True)

    def take(self) -> list[list[Any]]:
        """What the carrier has not sent yet: `[run number, seq, event, ts, data]` each."""
        fresh, self._outbox = self._outbox, []
        if not self._sealed:
            self._token = None
            ready = len(self._events) - self._held
            fresh = fresh + self._events[self._sent : ready]
            self._sent = max(self._sent, ready)
        return [[self.number, e["seq"], e["event"], e["ts"], e["data"]] for e in fresh]

    def _append(self, event: str, data: dict[str, Any]) -> Event:
        entry = {"seq": self.last_seq + 1, "event": event, "data": data, "ts": self.now()}
        self._events.append(entry)
        return entry
