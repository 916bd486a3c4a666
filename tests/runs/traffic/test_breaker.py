"""The circuit breaker: here each circuit is what another worker knows of one model."""

import asyncio

import pytest

from core.redis import client
from runs.worker.traffic.breaker import LEAST_CALLS, OPEN_S, PATIENCE_S, Circuit, is_unwell
from runs.worker.traffic.shared import shared_key
from runtime.errors import (
    AgentError,
    ModelError,
    ModelRateLimited,
    ModelServerError,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
)
from tests.runs.traffic.conftest import NewShared


def circuit(shared: NewShared, *, place: str = "", open_s: float = OPEN_S) -> Circuit:
    return Circuit(shared(), "fake", "echo", place, open_s=open_s)


async def fail(*circuits: Circuit, times: int) -> None:
    """So many failures, by the circuits in turn."""
    for number in range(times):
        await circuits[number % len(circuits)].failed()


async def is_refused(one: Circuit) -> bool:
    try:
        await one.enter("call")
    except ModelUnavailable:
        return True
    return False


async def probe(one: Circuit, call: str) -> None:
    """Ask until the call is let through as a probe."""
    async with asyncio.timeout(10):
        while True:
            try:
                assert await one.enter(call)
            except ModelUnavailable:
                await asyncio.sleep(0.01)
            else:
                return


async def test_it_opens_when_half_of_twenty_calls_failed(shared: NewShared) -> None:
    one = circuit(shared)
    for _ in range(LEAST_CALLS // 2):
        one.ended_well()
    await fail(one, times=LEAST_CALLS // 2 - 1)
    assert not await is_refused(one)
    await fail(one, times=1)
    assert await is_refused(one)


async def test_a_few_failures_prove_nothing(shared: NewShared) -> None:
    one = circuit(shared)
    await fail(one, times=LEAST_CALLS - 1)
    assert not await is_refused(one)


async def test_less_than_half_is_bad_luck(shared: NewShared) -> None:
    one = circuit(shared)
    for _ in range(21):
        one.ended_well()
    await fail(one, times=20)
    assert not await is_refused(one)


async def test_the_failures_of_all_workers_count_together(shared: NewShared) -> None:
    one, other = circuit(shared), circuit(shared)
    await fail(one, other, times=LEAST_CALLS)
    assert await is_refused(other)


async def test_a_worker_that_saw_no_failure_hears_of_it_with_its_report(shared: NewShared) -> None:
    one, lucky = circuit(shared), circuit(shared)
    lucky.ended_well()
    await fail(one, times=LEAST_CALLS)
    await lucky.report()
    assert await is_refused(lucky)


async def test_the_good_calls_of_a_worker_without_failures_count(shared: NewShared) -> None:
    one, lucky = circuit(shared), circuit(shared)
    for _ in range(100):
        lucky.ended_well()
    await lucky.report()
    await fail(one, times=LEAST_CALLS)
    assert not await is_refused(one)


async def test_another_place_is_another_circuit(shared: NewShared) -> None:
    await fail(circuit(shared, place="http://one"), times=LEAST_CALLS)
    other = circuit(shared, place="http://other")
    await fail(other, times=1)
    assert not await is_refused(other)


async def test_a_refused_call_is_told_for_how_long(shared: NewShared) -> None:
    one = circuit(shared)
    await fail(one, times=LEAST_CALLS)
    with pytest.raises(ModelUnavailable) as refused:
        await one.enter("call")
    error = refused.value
    assert (error.code, error.kind, error.retryable) == ("provider_unavailable", "server_error", True)
    assert error.retry_after_s
    assert 0 < error.retry_after_s <= OPEN_S * 1.25


async def test_then_one_call_at_a_time_may_try_and_its_success_closes_it(shared: NewShared) -> None:
    one, other = (circuit(shared, open_s=0.05) for _ in range(2))
    await fail(one, other, times=LEAST_CALLS + 1)
    await probe(one, "probe")
    assert await is_refused(other)
    await one.probed(well=True)
    assert not await is_refused(one)
    # What had failed before is forgotten with it.
    await fail(one, times=1)
    assert not await is_refused(one)
    assert client().zcard(shared_key("circuits")) == 0


async def test_a_failed_probe_opens_it_again(shared: NewShared) -> None:
    one = circuit(shared, open_s=0.05)
    await fail(one, times=LEAST_CALLS)
    await probe(one, "probe")
    await one.probed(well=False)
    await probe(one, "second probe")


async def test_a_probe_that_was_given_up_makes_room_for_another(shared: NewShared) -> None:
    one, other = (circuit(shared, open_s=0.05) for _ in range(2))
    await fail(one, other, times=LEAST_CALLS + 1)
    await probe(one, "probe")
    await one.give_up_probe("probe")
    await probe(other, "another")


async def test_a_call_that_began_before_and_ends_late_changes_nothing(shared: NewShared) -> None:
    one = circuit(shared)
    await fail(one, times=LEAST_CALLS)
    one.ended_well()
    await one.report()
    await one.failed()
    assert await is_refused(one)


async def test_while_all_goes_well_redis_is_not_asked(shared: NewShared) -> None:
    one = circuit(shared)
    before = client().info("commandstats")
    for _ in range(100):
        assert not await one.enter("")
        one.ended_well()
    asked = {name: stats["calls"] for name, stats in client().info("commandstats").items() if "evalsha" in name}
    assert asked == {name: stats["calls"] for name, stats in before.items() if "evalsha" in name}


async def test_without_redis_a_worker_goes_by_what_it_sees(shared: NewShared, no_redis: None) -> None:
    one = circuit(shared, open_s=0.05)
    one.ended_well()
    await one.report()
    await fail(one, times=LEAST_CALLS - 2)
    assert not await is_refused(one)
    await fail(one, times=1)
    await probe(one, "probe")
    assert await is_refused(one)
    await one.probed(well=True)
    assert not await is_refused(one)
    await fail(one, times=LEAST_CALLS)
    await probe(one, "probe")
    await one.probed(well=False)
    await probe(one, "second probe")


async def test_a_good_call_opens_nothing(shared: NewShared, no_redis: None) -> None:
    one = circuit(shared)
    await fail(one, times=LEAST_CALLS - 1)
    one.ended_well()
    await one.report()
    assert not await is_refused(one)


async def test_nothing_stays_in_redis(shared: NewShared) -> None:
    one = circuit(shared)
    one.ended_well()
    await fail(one, times=LEAST_CALLS)
    keys = list(client().scan_iter(shared_key("*")))
    assert len(keys) == 4
    assert all(client().pttl(name) > 0 for name in keys)


@pytest.mark.parametrize(
    ("error", "took_s", "unwell"),
    [
        (ModelServerError("500"), 0, True),
        (ModelUnreachable("refused"), 0, True),
        (ModelTimeout("late"), PATIENCE_S, True),
        (ModelTimeout("its assistant wanted it within a millisecond"), 0.001, False),
        (ModelRateLimited("429"), 60, False),
        (ModelError("400"), 60, False),
        (ModelUnavailable("the breaker's own"), 60, False),
        (AgentError("a key is missing"), 60, False),
        (asyncio.CancelledError(), 60, False),
        (None, 60, False),
    ],
)
def test_only_what_says_that_the_provider_is_unwell_counts(
    error: BaseException | None, took_s: float, unwell: bool
) -> None:
    assert is_unwell(error, took_s) is unwell
