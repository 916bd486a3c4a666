"""Limits that all workers keep together: here each limiter is a worker of its own."""

import asyncio
import time
from typing import Any

import pytest

from core.redis import client
from runs.worker.traffic.limiter import Limiter
from runs.worker.traffic.shared import shared_key
from runtime.errors import MustWait
from runtime.providers.limits import Limit
from tests.runs.traffic.conftest import NewShared


class Worker:
    """A limiter, and calls through it by name."""

    def __init__(self, shared: NewShared, limits: dict[str, Limit], **times: Any):
        self.limiter = Limiter(limits, shared(), **times)
        self.names = list(limits)

    async def enter(self, call: str, wait_s: float = 0) -> bool:
        """Whether the call is let in."""
        try:
            await self.limiter.enter(self.names, call, f"run of {call}", wait_s)
        except MustWait:
            return False
        return True

    async def leave(self, call: str, tokens: int = 0) -> None:
        self.limiter.left(self.names, call, tokens)
        await self.limiter.leave(self.names, call, f"run of {call}", tokens)


def waiting(name: str = "fake") -> int:
    return int(client().zcard(shared_key(name, "waiting")))


async def test_two_workers_never_make_more_calls_at_once_than_both_may(shared: NewShared) -> None:
    limits = {"fake": Limit(concurrent_calls=3)}
    workers = [Worker(shared, limits), Worker(shared, limits)]
    on = most = made = 0

    async def call(number: int) -> None:
        nonlocal on, most, made
        worker, name = workers[number % 2], str(number)
        while not await worker.enter(name, wait_s=5):
            pass
        on += 1
        most = max(most, on)
        await asyncio.sleep(0.005)
        on -= 1
        made += 1
        await worker.leave(name)

    await asyncio.gather(*(call(number) for number in range(20)))
    assert (most, made) == (3, 20)
    assert waiting() == 0


async def test_two_workers_make_as_many_calls_in_a_window_as_both_may(shared: NewShared) -> None:
    limits = {"fake": Limit(calls_per_minute=5)}
    workers = [Worker(shared, limits), Worker(shared, limits)]
    let_in = await asyncio.gather(*(workers[number % 2].enter(str(number)) for number in range(12)))
    assert sum(let_in) == 5


async def test_a_window_slides(shared: NewShared) -> None:
    worker = Worker(shared, {"fake": Limit(calls_per_minute=1)}, window_s=0.3)
    assert await worker.enter("first")
    begun = time.monotonic()
    assert await worker.enter("second", wait_s=5)
    assert time.monotonic() - begun > 0.29


async def test_tokens_are_known_after_the_call_and_refuse_once_they_are_used_up(shared: NewShared) -> None:
    limits = {"fake": Limit(tokens_per_minute=100)}
    one, other = Worker(shared, limits), Worker(shared, limits)
    assert await one.enter("a")
    assert await other.enter("b")
    await one.leave("a", tokens=99)
    assert await other.enter("c")
    await other.leave("b", tokens=50)
    assert not await one.enter("d")


async def test_a_models_limit_holds_beside_its_providers(shared: NewShared) -> None:
    limits = {"fake": Limit(concurrent_calls=2), "fake:echo": Limit(concurrent_calls=1)}
    worker = Worker(shared, limits)
    assert await worker.enter("a")
    # What one name refuses takes nothing from the other.
    assert not await worker.enter("b")
    worker.names = ["fake"]
    assert await worker.enter("c")
    assert not await worker.enter("d")


def pass_time(seconds: float, call: str) -> None:
    """As if the call's slot had been refreshed so many seconds earlier."""
    client().zincrby(shared_key("fake", "slots"), -seconds * 1000, call)


async def test_the_slots_of_a_dead_worker_come_free(shared: NewShared) -> None:
    limits = {"fake": Limit(concurrent_calls=1)}
    dead, alive = Worker(shared, limits), Worker(shared, limits)
    assert await dead.enter("cut off")
    assert not await alive.enter("early")
    pass_time(30, "cut off")
    assert await alive.enter("late")


async def test_a_call_that_goes_on_keeps_its_slot(shared: NewShared) -> None:
    limits = {"fake": Limit(concurrent_calls=1)}
    busy, other = Worker(shared, limits), Worker(shared, limits)
    assert await busy.enter("long")
    for _ in range(3):
        pass_time(20, "long")
        await busy.limiter.keep()
    assert not await other.enter("next")


async def test_nothing_stays_in_redis(shared: NewShared) -> None:
    worker = Worker(shared, {"fake": Limit(concurrent_calls=2, calls_per_minute=9, tokens_per_minute=9)})
    assert [await worker.enter(name) for name in ("a", "b", "c")] == [True, True, False]
    await worker.leave("a", tokens=1)
    keys = list(client().scan_iter(shared_key("*")))
    assert len(keys) == 4
    assert all(client().pttl(name) > 0 for name in keys)


async def test_a_redis_that_forgot_everything_learns_of_the_calls_that_go_on(shared: NewShared) -> None:
    limits = {"fake": Limit(concurrent_calls=1)}
    busy, other = Worker(shared, limits), Worker(shared, limits)
    assert await busy.enter("long")
    client().delete(shared_key("fake", "slots"))
    await busy.limiter.keep()
    assert not await other.enter("next")
    await busy.leave("long")
    await busy.limiter.keep()
    assert await other.enter("next")


async def test_who_must_wait_is_told_for_how_long_and_the_longer_the_more_wait(shared: NewShared) -> None:
    worker = Worker(shared, {"fake": Limit(concurrent_calls=1)})
    assert await worker.enter("on")
    delays = []
    for number in range(100):
        with pytest.raises(MustWait) as refused:
            await worker.limiter.enter(["fake"], "call", f"run {number}", 0)
        delays.append(refused.value.wait_s)
    assert waiting() == 100
    assert all(1 <= delay <= 61 for delay in delays)
    assert sum(delays[:20]) < sum(delays[80:])


async def test_where_too_many_wait_nobody_waits_in_vain(shared: NewShared) -> None:
    worker = Worker(shared, {"fake": Limit(concurrent_calls=1)})
    assert await worker.enter("on")
    for number in range(10):
        assert not await worker.enter(str(number))
    async with asyncio.timeout(5):
        assert not await worker.enter("last", wait_s=10)


async def test_one_run_that_asks_again_waits_once(shared: NewShared) -> None:
    worker = Worker(shared, {"fake": Limit(concurrent_calls=1)})
    assert await worker.enter("on")
    for _ in range(3):
        assert not await worker.enter("again")
    assert waiting() == 1


async def test_without_redis_a_worker_keeps_to_the_limits_by_itself(shared: NewShared, no_redis: None) -> None:
    worker = Worker(shared, {"fake": Limit(concurrent_calls=2, calls_per_minute=3, tokens_per_minute=10)})
    assert [await worker.enter(name) for name in ("a", "b", "c")] == [True, True, False]
    await worker.leave("a", tokens=9)
    assert await worker.enter("d")
    await worker.leave("d")
    assert not await worker.enter("fourth")
    tokens = Worker(shared, {"fake": Limit(tokens_per_minute=10)})
    assert await tokens.enter("a")
    await tokens.leave("a", tokens=10)
    assert not await tokens.enter("b")


async def test_an_outage_is_logged_once(shared: NewShared, no_redis: None, caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(shared, {"fake": Limit(concurrent_calls=2)})
    for name in ("a", "b"):
        assert await worker.enter(name)
        await worker.leave(name)
    assert len([record for record in caplog.records if "goes by its own count" in record.message]) == 1


async def test_counting_begins_with_what_went_through_redis_before(shared: NewShared) -> None:
    worker = Worker(shared, {"fake": Limit(concurrent_calls=1)})
    assert await worker.enter("on")
    client().set(shared_key("fake", "slots"), "broken")
    assert not await worker.enter("next")
