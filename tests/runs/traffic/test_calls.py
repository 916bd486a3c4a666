"""What surrounds one model call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from core.redis import client
from runs.worker.traffic.breaker import LEAST_CALLS, Circuit
from runs.worker.traffic.shared import shared_key
from runs.worker.traffic.traffic import Call, Traffic
from runtime.contract import Usage
from runtime.errors import ModelRateLimited, ModelServerError, ModelUnavailable, MustWait
from runtime.providers.limits import Limit


@pytest.fixture
async def limited() -> AsyncIterator[Traffic]:
    """One call of a fake model at a time."""
    traffic = Traffic({"fake": Limit(concurrent_calls=1)})
    yield traffic
    await traffic.close()


@pytest.fixture
async def unlimited() -> AsyncIterator[Traffic]:
    traffic = Traffic({})
    yield traffic
    await traffic.close()


def call(traffic: Traffic, run: str = "run", wait_s: float = 0) -> Call:
    return traffic.call(run, "fake", "echo", "", wait_s=wait_s)


async def end_with(traffic: Traffic, error: Exception, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(type(error)):
            async with call(traffic):
                raise error


async def is_refused(traffic: Traffic) -> bool:
    try:
        async with call(traffic):
            return False
    except ModelUnavailable:
        return True


def count(kind: str) -> int:
    return int(client().zcard(shared_key("fake", kind)))


async def test_a_call_has_a_slot_while_it_goes_on(limited: Traffic) -> None:
    async with call(limited) as held:
        held.used(Usage(3, 4))
        assert count("slots") == 1
        with pytest.raises(MustWait):
            await call(limited, "other").__aenter__()
    await limited.settle()
    assert count("slots") == 0
    assert [int(tokens) for tokens in client().hgetall(shared_key("fake", "tokens")).values()] == [7]


async def test_a_run_that_is_stopped_while_it_waits_leaves_nothing(limited: Traffic) -> None:
    async with call(limited):
        waits = asyncio.create_task(call(limited, "stopped", wait_s=60).__aenter__())
        async with asyncio.timeout(10):
            while not count("waiting"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
    await limited.settle()
    assert (count("waiting"), count("slots")) == (0, 0)


async def test_other_providers_are_not_concerned(limited: Traffic) -> None:
    async with call(limited), limited.call("run", "openai", "gpt-4o", "", wait_s=0):
        assert count("slots") == 1


async def test_without_limits_and_failures_nothing_is_in_redis(unlimited: Traffic) -> None:
    async with call(unlimited) as held:
        held.used(Usage(3, 4))
    await unlimited.settle()
    assert list(client().scan_iter(shared_key("*"))) == []


async def test_a_model_that_keeps_failing_is_not_called(unlimited: Traffic) -> None:
    await end_with(unlimited, ModelServerError("500"), times=LEAST_CALLS)
    assert await is_refused(unlimited)


async def test_one_that_refuses_is_well(unlimited: Traffic) -> None:
    await end_with(unlimited, ModelRateLimited("429"), times=LEAST_CALLS)
    await end_with(unlimited, ModelServerError("500"), times=LEAST_CALLS - 1)
    assert not await is_refused(unlimited)


async def test_an_agents_own_errors_say_nothing(unlimited: Traffic) -> None:
    await end_with(unlimited, ZeroDivisionError(), times=LEAST_CALLS)
    await end_with(unlimited, ModelServerError("500"), times=LEAST_CALLS - 1)
    assert not await is_refused(unlimited)


async def test_workers_tell_each_other_once_a_second(unlimited: Traffic) -> None:
    other = Traffic({})
    await end_with(other, ModelServerError("500"), times=LEAST_CALLS)
    await other.close()
    telling = asyncio.create_task(unlimited.run())
    async with asyncio.timeout(20):
        while not await is_refused(unlimited):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    telling.cancel()


@pytest.mark.parametrize("ends", [None, ModelRateLimited("429"), ModelServerError("500"), asyncio.CancelledError()])
async def test_how_a_probe_ends_decides(unlimited: Traffic, ends: BaseException | None) -> None:
    circuit = Circuit(unlimited._shared, "fake", "echo", "", open_s=0.05)
    unlimited._circuits["fake", "echo", ""] = circuit
    await end_with(unlimited, ModelServerError("500"), times=LEAST_CALLS)
    await asyncio.sleep(0.06)
    with suppress(ModelRateLimited, ModelServerError, asyncio.CancelledError):
        async with call(unlimited):
            assert await is_refused(unlimited)
            if ends is not None:
                raise ends
    await unlimited.settle()
    is_well = ends is None or isinstance(ends, ModelRateLimited)
    assert circuit.is_open is not is_well
    if isinstance(ends, asyncio.CancelledError):
        # Nothing is known: the next call is the probe, at once.
        assert client().hget(circuit._keys[2], "probe") is None
