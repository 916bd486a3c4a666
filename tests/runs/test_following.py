"""What a web process holds for readers that do not keep up has a bound; those that do miss nothing."""

import asyncio
from datetime import UTC, datetime

from core.db import Operation, Row, operation
from runs.events import Event, Position
from runs.follow import FIRST_PAGE, LONGEST_PAGE, PAGE_BYTES, follow
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


async def test_large_events_are_read_few_at_a_time() -> None:
    assert max((await _pages(40, PAGE_BYTES // 4))[1:]) <= 4


async def test_small_events_are_read_many_at_a_time() -> None:
    pages = await _pages(5_000, 10)
    assert pages[0] == FIRST_PAGE
    assert max(pages) <= LONGEST_PAGE
    assert len(pages) < 50
