"""One reader per web process for all its streams: the live events of every run, handed to whoever listens.

Redis carries, PostgreSQL records. A subscription hears live events in order; where the carrier lost some, it is
poked and its owner reads the committed ones from PostgreSQL (`runs.follow`).
"""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import orjson
import psycopg
from psycopg_pool import PoolTimeout
from redis.exceptions import RedisError

from core.redis import async_client, key
from runs.events import START, Event, Position
from runs.queries import latest_positions

log = logging.getLogger(__name__)

STREAM = "events"
MAX_ENTRIES = 50_000
BLOCK_MS = 5_000
LOOK_BACK_MS = 60_000
# How often PostgreSQL is asked, once for all subscriptions, whether the carrier lost something: seconds.
CHECK_S = 5.0
CHECK_WHILE_DOWN_S = 1.0
# What a subscription holds for an owner who does not take it: bytes, by what the events take up in memory. Those that
# take theirs at once never hold as much, however many come: see `Hub._read`.
MAX_QUEUED_BYTES = 98_304
EVENT_BYTES = 600  # of an event's objects, on top of its text
HANDED_AT_ONCE = 20
MAX_TAIL = 2_000

_COMMITTED = {"checkpoint", "end", "interrupt"}


class HungUp(Exception):
    """This process is leaving: its listeners come back to another one, where they left off."""


class Subscription:
    """A queue of live events of one run or session. `position` is what its owner has passed on.

    `told` are those to begin with; they are the hub's and not counted.
    """

    def __init__(self, told: Iterable[Event] = ()) -> None:
        self.position: Position = START
        self._events: deque[tuple[Event, int]] = deque((event, 0) for event in told)
        self._bytes = 0
        self._changed = asyncio.Event()
        self._poked = False
        self._hung_up = False

    @property
    def latest(self) -> Position:
        """The last event that is queued, `START` without any."""
        return self._events[-1][0].position if self._events else START

    def brings_more(self, event: Event) -> bool:
        """Whether a later event than this one is queued already, so that both may be sent together."""
        return self.latest > event.position

    def offer(self, event: Event, size: int) -> None:
        """Queue a live event that takes up so many bytes."""
        if self._bytes and self._bytes + size > MAX_QUEUED_BYTES:
            # Its owner is slower than the run: let it read on from PostgreSQL at its own pace.
            self._events.clear()
            self._bytes = 0
            self._poked = True
        self._events.append((event, size))
        self._bytes += size
        self._changed.set()

    def poke(self) -> None:
        """Something may be committed that was not heard."""
        self._poked = True
        self._changed.set()

    def hang_up(self) -> None:
        self._hung_up = True
        self._changed.set()

    async def next(self, timeout_s: float) -> Event | None:
        """The next live event; None for a poke. Raises TimeoutError, and HungUp."""
        while True:
            if self._hung_up:
                raise HungUp
            if self._poked:
                self._poked = False
                return None
            if self._events:
                event, size = self._events.popleft()
                self._bytes -= size
                return event
            self._changed.clear()
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()


class Hub:
    """Reads the stream and hands its events to subscriptions, by run and by session."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, set[Subscription]] = defaultdict(set)
        # What was told and is not known to be committed, by run: a latecomer's first live events.
        self._tails: dict[str, deque[Event]] = {}
        # The run with a tail in each session; a session has one run at a time.
        self._running: dict[str, str] = {}
        self._down = False
        self._leaving = False

    @property
    def leaving(self) -> bool:
        """Whether the process is told to stop."""
        return self._leaving

    def hang_up(self) -> None:
        """End all subscriptions, and those to come: the process is told to stop."""
        self._leaving = True
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.hang_up()

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[Subscription]:
        """Hear the live events of a run or a session, by its id, from the step in flight on."""
        subscription = Subscription(self._tails.get(self._running.get(topic, topic), ()))
        if self._leaving:
            subscription.hang_up()
        self._subscriptions[topic].add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions[topic].discard(subscription)
            if not self._subscriptions[topic]:
                del self._subscriptions[topic]

    async def run(self) -> None:
        """Read until cancelled."""
        await asyncio.gather(self._read(), self._check())

    async def _read(self) -> None:
        redis = async_client(connections=1, blocking=True)
        last = f"{int(time.time() * 1_000) - LOOK_BACK_MS}-0"
        while True:
            try:
                # As the default protocol answers it: (stream, [(id, {field: value})]).
                answer: Any = await redis.xread({key(STREAM): last}, count=500, block=BLOCK_MS)
            except (RedisError, OSError) as error:
                if not self._down:
                    log.warning("Redis does not give live events; streams go on from PostgreSQL: %s", error)
                self._down = True
                await asyncio.sleep(CHECK_WHILE_DOWN_S)
                continue
            if self._down:
                self._down = False
                self._tails.clear()
                self._running.clear()
                self._poke_all()
            for _, entries in answer or ():
                for nth, (last_id, fields) in enumerate(entries, 1):
                    last = last_id
                    if nth % HANDED_AT_ONCE == 0:
                        # After a pause many come at once: let their listeners take what they have.
                        await asyncio.sleep(0)
                    try:
                        self._hand_out(fields[b"s"].decode(), fields[b"r"].decode(), fields[b"e"])
                    except (KeyError, TypeError, ValueError):
                        # Not of our making: one bad entry must not deafen every stream of this process.
                        log.warning("The stream of live events has an entry that cannot be read: %s", last_id)

    def _hand_out(self, session_id: str, run_id: str, raw: bytes) -> None:
        listeners = [*self._subscriptions.get(run_id, ()), *self._subscriptions.get(session_id, ())]
        events = [Event(number, seq, event, ts, data, run_id) for number, seq, event, ts, data in orjson.loads(raw)]
        size = EVENT_BYTES + len(raw) // max(1, len(events))
        if not events:
            # Written by another hand than a worker's: a waiting run was cancelled, or timed out.
            self._drop_tail(session_id, run_id)
            for subscription in listeners:
                subscription.poke()
        for event in events:
            self._keep(session_id, event)
            for subscription in listeners:
                subscription.offer(event, size)

    def _keep(self, session_id: str, event: Event) -> None:
        if event.event in _COMMITTED:
            self._drop_tail(session_id, event.run_id)
            return
        if event.run_id not in self._tails:
            self._tails[event.run_id] = deque(maxlen=MAX_TAIL)
            self._running[session_id] = event.run_id
        self._tails[event.run_id].append(event)

    def _drop_tail(self, session_id: str, run_id: str) -> None:
        self._tails.pop(run_id, None)
        if self._running.get(session_id) == run_id:
            del self._running[session_id]

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_WHILE_DOWN_S if self._down else CHECK_S)
            if not self._subscriptions:
                continue
            with suppress(psycopg.Error, PoolTimeout):
                for topic, position in (await latest_positions(list(self._subscriptions)).arun()).items():
                    for subscription in self._subscriptions.get(topic, ()):
                        if position > subscription.position:
                            subscription.poke()

    def _poke_all(self) -> None:
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.poke()


_hub: Hub | None = None


def hub() -> Hub:
    """This process's hub; `config.asgi` runs it."""
    global _hub
    if _hub is None:
        _hub = Hub()
    return _hub
