"""From a run's log, or a thread's, to the bytes that LangGraph's clients read.

Every reader makes its frames from the same numbered events, so all of them see the same, with the same ids; who comes
back with one goes on behind it, whichever process answers. Some frames tell what came before theirs (a message so far,
the state): for these the run is read from its first event, and what the client has is left unsaid.
"""

import time
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing
from functools import partial
from uuid import UUID

from accounts.identity import Identity
from accounts.watch import WATCH
from core.db import Bound, Row
from protocols.langgraph.streaming.endings import done, error, lifecycle, metadata
from protocols.langgraph.streaming.frames import HEARTBEAT, HEARTBEAT_S, About, Frame, Translator
from protocols.langgraph.streaming.hosted import HostedRun
from protocols.langgraph.streaming.native import NativeRun
from protocols.langgraph.streaming.places import BEGINNING, Place, after_event, event_at, place_of
from protocols.langgraph.streaming.reading import read_about
from runs.documents import has_ended
from runs.events import Event, Position
from runs.follow import Together, follow
from runs.live import Subscription, hub
from runs.queries import events_of_run, events_of_session, latest_positions

LAST = frozenset({"end", "interrupt"})
# What there is of every run, whoever started it; of a graph's values those that it ends with.
OF_NATIVE_CLIENTS = frozenset({"values", "messages-tuple", "custom"})
_OF_WAITED = frozenset({"values"})


def translator_of(about: About, modes: Collection[str]) -> Translator:
    """A translator for a run's events, from its first on."""
    return HostedRun(about, modes) if about.hosted else NativeRun(about, modes)


async def run_frames(
    identity: Identity, run: Row, about: About, *, after: Place | None, modes: Collection[str] | None = None
) -> AsyncIterator[bytes]:
    """A run's frames behind `after` until it has ended or asks a person, or the caller may not go on.

    `run`: its `id`, `number`, `status` and `last_seq`. `after`: `BEGINNING` for all of them, None for what is yet to
    come. `modes` are those that the reader wants, None: the run's own (`about`); of a graph no others have been told.
    Frames have ids where the run is resumable.
    """
    number, committed = run["number"] or 0, run["last_seq"]
    if has_ended(run) and (after is None or after >= after_event((number, committed))):
        return
    modes = own_modes(about) if modes is None else modes
    with hub().subscribe(str(run["id"])) as subscription, WATCH.over(identity, subscription.hang_up):
        if after is None or after[0] > number > 0:
            # An id of another server's, or of a later run, is none of this run.
            after = after_event(max((number, committed), subscription.latest))
        translator = translator_of(about, modes)
        log = partial(_log_of_run, run["id"])
        begin = (number, 0 if translator.folds else _begin_at(number, committed, after))
        events = follow(subscription, log, begin, heartbeat_s=HEARTBEAT_S)
        told, together = _Told(after, ids=about.resumable), Together()
        async with aclosing(events):
            async for event in events:
                if event is None:
                    yield together.all(told.heartbeat())
                    continue
                last = event.event == "end" or (event.event == "interrupt" and event.seq >= committed)
                piece = told.of(event, [*metadata(event), *await translator.feed(event), *error(event)])
                if pieces := together.add(piece, more=not last and subscription.brings_more(event)):
                    yield pieces
                if last:
                    return
        if rest := together.all():
            yield rest


async def thread_frames(
    identity: Identity, thread_id: UUID, *, after: Place | None, modes: Collection[str]
) -> AsyncIterator[bytes]:
    """The frames of all of a thread's runs behind `after`, one run after the other, until the caller may not go on.

    `modes`: `run_modes`, `lifecycle`, `state_update`. Each frame has an id.
    """
    with hub().subscribe(str(thread_id)) as subscription, WATCH.over(identity, subscription.hang_up):
        latest = await _latest(thread_id, subscription)
        if after is None or after[0] > latest[0]:
            after = latest
        told, together = _Told(after, ids=True), Together()
        log = partial(_log_of_thread, thread_id)
        # Always from the beginning of a run: which modes it has is not known before.
        events = follow(subscription, log, (after[0], 0), heartbeat_s=HEARTBEAT_S)
        reader: _ThreadReader | None = None
        async with aclosing(events):
            async for event in events:
                if event is None:
                    yield together.all(told.heartbeat())
                    continue
                # Nothing of a run comes after the beginning of the next.
                if reader is None or reader.run_id != event.run_id:
                    reader = _ThreadReader(event.run_id, await read_about(UUID(event.run_id)).arun(), modes)
                piece = told.of(event, await reader.feed(event))
                if pieces := together.add(piece, more=subscription.brings_more(event)):
                    yield pieces
        if rest := together.all():
            yield rest


class _ThreadReader:
    """One run of a thread, for a reader of these modes of the thread's."""

    def __init__(self, run_id: str, about: About, modes: Collection[str]):
        self.run_id = run_id
        self._of_runs, self._lifecycle = "run_modes" in modes, "lifecycle" in modes
        own = own_modes(about) if self._of_runs else frozenset()
        self._translator = translator_of(about, own | (set(modes) & {"state_update"}))
        self._done = False

    async def feed(self, event: Event) -> list[Frame]:
        frames = [*metadata(event)] if self._of_runs else []
        frames += await self._translator.feed(event)
        # A run that asked, and that another one has concluded, was done when it asked.
        if event.event == "metadata":
            self._done = False
        if event.event in LAST and not self._done:
            self._done = True
            if self._lifecycle:
                frames += lifecycle(event)
            if self._of_runs:
                frames += [*error(event), *done(event)]
        elif event.event == "metadata" and self._lifecycle:
            frames += lifecycle(event)
        return frames


class _Told:
    """What a reader has been told: makes bytes of what comes behind `after`."""

    def __init__(self, after: Place, *, ids: bool):
        self._after = after
        self._ids = ids
        self._at = time.monotonic()

    def of(self, event: Event, frames: list[Frame]) -> bytes:
        """The bytes of an event's frames; where there are none for long, a heartbeat."""
        pieces = []
        for frame in frames:
            place = place_of(event.position, frame.slot)
            if place > self._after:
                pieces.append(frame.sse(place if self._ids else None))
        if pieces:
            self._at = time.monotonic()
        elif time.monotonic() - self._at >= HEARTBEAT_S:
            pieces.append(self.heartbeat())
        return b"".join(pieces)

    def heartbeat(self) -> bytes:
        self._at = time.monotonic()
        return HEARTBEAT


def own_modes(about: About) -> frozenset[str]:
    """The modes that a run's own streams have; a native client's run was asked for none, one that was waited for
    tells its values."""
    return OF_NATIVE_CLIENTS if about.modes is None else about.modes or _OF_WAITED


def _begin_at(number: int, committed: int, after: Place) -> int:
    """The event behind which a run is read for who has what is before `after`: never one that there may not be."""
    return max(0, min(event_at(after) - 1, committed)) if after[0] == number else 0


async def _latest(thread_id: UUID, subscription: Subscription) -> Place:
    stored = (await latest_positions([str(thread_id)]).arun()).get(str(thread_id), (0, 0))
    latest = max(stored, subscription.latest)
    return BEGINNING if latest == (0, 0) else after_event(latest)


def _log_of_run(run_id: UUID, position: Position, limit: int) -> Bound[list[Row]]:
    return events_of_run(run_id, position[1], limit)


def _log_of_thread(thread_id: UUID, position: Position, limit: int) -> Bound[list[Row]]:
    return events_of_session(thread_id, *position, limit)
