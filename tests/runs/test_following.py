"""What a web process holds for readers that do not keep up has a bound; those that do miss nothing."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg_pool import PoolTimeout

import runs.follow
from core.db import Operation, Row, operation
from runs.events import Event, Position
from runs.follow import FIRST_PAGE, LONGEST_PAGE, PAGE_BYTES, READERS, Together, follow
from runs.live import MAX_QUEUED_BYTES, Subscription

RUN = "01995b6e-0000-7000-8000-000000000000"


def _event(seq: int) -> Event:
    return Event(1, seq, "custom", "2026-01-01T00:00:00.000000Z", {}, RUN)


def _offer(subscription: Subscription, events: int, size: int) -> None:
    for seq in range(1, events + 1):
        subscription.offer(_event(seq), size)


async def test_who_takes_events_as_they_come_hears_them_all() -> None:
    subscription = Subscription()
    heard = []
    for seq in range(1, 1_000):
        subscription.offer(_event(seq), MAX_QUEUED_BYTES // 2)
        heard.append(await subscription.next(0))
    assert [event and event.seq for event in heard] == list(range(1, 1_000))


async def test_who_leaves_too_much_is_told_to_read_the_log() -> None:
    subscription = Subscription()
    _offer(subscription, 11, MAX_QUEUED_BYTES // 10)
    assert await subscription.next(0) is None
    left = await subscription.next(0)
    assert left is not None
    assert left.seq == 11


async def test_one_event_may_be_larger_than_what_is_held() -> None:
    subscription = Subscription()
    _offer(subscription, 1, 10 * MAX_QUEUED_BYTES)
    event = await subscription.next(0)
    assert event is not None
    assert event.seq == 1


async def test_what_was_told_before_a_reader_came_is_given_to_it_whole() -> None:
    subscription = Subscription([_event(seq) for seq in range(1, 2_001)])
    subscription.offer(_event(2_001), MAX_QUEUED_BYTES)
    heard = [await subscription.next(0) for _ in range(2_001)]
    assert None not in heard


async def _pages(events: int, size: int) -> list[int]:
    """How many events each reading of a log gave, whose events have so many bytes."""
    pages = []

    @operation()
    def committed(position: Position, limit: int) -> Operation[list[Row]]:
        seqs = range(position[1] + 1, min(position[1] + limit, events) + 1)
        pages.append(len(seqs))
        common = {"run_id": RUN, "number": 1, "event": "custom", "ts": datetime.now(UTC), "data": {"x": "y" * size}}
        return [{**common, "seq": seq} for seq in seqs]
        yield

    following = follow(Subscription(), committed, (1, 0))
    async with asyncio.timeout(10):
        for seq in range(1, events + 1):
            event = await anext(following)
            assert event is not None
            assert event.seq == seq
    await following.aclose()
    return pages


class _Log:
    """A log whose pages are what `answers` gives in turn, the last one again and again, each after a moment."""

    def __init__(self, *answers: list[Row] | Exception):
        self.answers = answers
        self.read = self.at_once = self.most_at_once = 0

    def __call__(self, position: Position, limit: int) -> Any:
        return self

    async def arun(self) -> list[Row]:
        answer = self.answers[min(self.read, len(self.answers) - 1)]
        self.read += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        if isinstance(answer, Exception):
            raise answer
        return answer


def _row(seq: int) -> Row:
    return {"run_id": RUN, "number": 1, "seq": seq, "event": "custom", "ts": datetime.now(UTC), "data": {}}


async def test_a_silent_stream_costs_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.follow, "HEARTBEAT_S", 0.05)
    log = _Log([])
    following = follow(Subscription(), log, (1, 0))
    assert [await anext(following) for _ in range(3)] == [None, None, None]
    await following.aclose()
    assert log.read == 1


async def test_a_stream_waits_for_postgresql_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.follow, "OUTAGE_PAUSE_S", 0.01)
    log = _Log(PoolTimeout(), psycopg.OperationalError(), [_row(1)], [])
    following = follow(Subscription(), log, (1, 0))
    heard = [await anext(following) for _ in range(3)]
    await following.aclose()
    assert heard[:2] == [None, None]
    assert heard[2] is not None
    assert heard[2].seq == 1


async def test_many_that_have_to_read_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    # That of the module belongs to the event loop in which somebody had to wait first.
    monkeypatch.setattr(runs.follow, "_turns", asyncio.Semaphore(READERS))
    log = _Log([_row(1)])
    followers = [follow(Subscription(), log, (1, 0)) for _ in range(5 * READERS)]
    await asyncio.gather(*(anext(following) for following in followers))
    for following in followers:
        await following.aclose()
    assert log.read == len(followers)
    assert log.most_at_once == READERS


async def test_large_events_are_read_few_at_a_time() -> None:
    assert max((await _pages(40, PAGE_BYTES // 4))[1:]) <= 4


async def test_small_events_are_read_many_at_a_time() -> None:
    pages = await _pages(5_000, 10)
    assert pages[0] == FIRST_PAGE
    assert max(pages) <= LONGEST_PAGE
    assert len(pages) < 50


def test_what_came_together_is_sent_together() -> None:
    together = Together()
    assert together.add(b"a", more=True) == b""
    assert together.add(b"b", more=True) == b""
    assert together.add(b"c", more=False) == b"abc"
    assert together.all() == b""


def test_what_is_held_back_has_a_bound() -> None:
    together = Together()
    assert together.add(b"a", more=True) == b""
    assert together.add(b"b" * PAGE_BYTES, more=True) == b"a" + b"b" * PAGE_BYTES


def test_a_heartbeat_takes_what_is_held_along() -> None:
    together = Together()
    together.add(b"a", more=True)
    assert together.all(b":\n") == b"a:\n"


def test_only_what_is_queued_already_is_waited_for() -> None:
    subscription = Subscription()
    assert not subscription.brings_more(_event(1))
    subscription.offer(_event(1), 1)
    assert not subscription.brings_more(_event(1))
    subscription.offer(_event(2), 1)
    assert subscription.brings_more(_event(1))
