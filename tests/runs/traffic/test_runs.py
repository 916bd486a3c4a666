"""Runs at a provider that takes no more calls, or is down: carried out by a whole runner, on the test database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from pytest_django import Settings

from core.db import Row
from core.redis import client
from runs.lifecycle import TERMINAL
from runs.models import Worker
from runs.pools import COMMON
from runs.services import cancel_run
from runs.worker.runner import Runner
from runs.worker.traffic.breaker import LEAST_CALLS, Circuit
from runs.worker.traffic.shared import shared_key
from runtime.providers import provider
from runtime.providers.limits import Limit
from tests.runs.traffic.conftest import NewShared
from tests.runs.worker import Tenant, in_thread, one, rows

Accept = Callable[..., Awaitable[list[UUID]]]

pytestmark = pytest.mark.django_db(transaction=True)


@asynccontextmanager
async def working(slots: int = 10) -> AsyncIterator[Accept]:
    """A worker's runner, in this process; gives what accepts runs and wakes it for them."""

    async def accept(tenant: Tenant, times: int = 1, **body: Any) -> list[UUID]:
        runs = [await in_thread(lambda: tenant.run(**body)) for _ in range(times)]
        runner.wake()
        return runs

    runner = Runner(slots=slots, pool=COMMON)
    task = asyncio.create_task(runner.run())
    try:
        await until(lambda: in_thread(Worker.objects.exists))
        yield accept
    finally:
        await runner.drain(10)
        await task


async def until(question: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(20):
        while True:
            if answer := await question():
                return answer
            await asyncio.sleep(0.01)


async def ended(*runs: UUID) -> list[Row]:
    """The runs, once all have ended, in the order in which they are named."""

    async def all_of_them() -> list[Row]:
        found = await rows(
            "SELECT *, clock_timestamp() AS now FROM runs WHERE id = ANY(%(runs)s) AND status = ANY(%(terminal)s)",
            runs=list(runs),
            terminal=list(TERMINAL),
        )
        return sorted(found, key=lambda row: runs.index(row["id"])) if len(found) == len(runs) else []

    return list(await until(all_of_them))


async def postponed(run: UUID) -> Row:
    async def is_it() -> Row | None:
        row = await one("SELECT * FROM runs WHERE id = %(run)s", run=run)
        return row if row["next_attempt_at"] else None

    found: Row = await until(is_it)
    return found


async def events(run: UUID) -> list[tuple[str, dict[str, Any]]]:
    found = await rows("SELECT event, data FROM run_events WHERE run_id = %(run)s ORDER BY seq", run=run)
    return [(row["event"], row["data"]) for row in found]


def scripted(*turns: dict[str, Any], **llm: Any) -> dict[str, Any]:
    return {"provider": "fake", "model": "script", "settings": {"turns": list(turns)}, **llm}


async def make(**config: Any) -> Tenant:
    return await in_thread(lambda: Tenant.make(**config))


@pytest.fixture
def one_call_a_minute(settings: Settings) -> None:
    settings.PROVIDER_LIMITS = {"fake": Limit(calls_per_minute=1)}


async def test_a_run_that_would_wait_long_leaves_its_slot_and_is_charged_nothing(one_call_a_minute: None) -> None:
    async with working(slots=1) as accept:
        tenant = await make(type="ReactAgent", llm=scripted({"text": "hi"}))
        first, second = await accept(tenant, 2)
        await until(lambda: rows("SELECT 1 FROM runs WHERE next_attempt_at IS NOT NULL"))
        found = await rows("SELECT * FROM runs WHERE id = ANY(%(runs)s) ORDER BY status", runs=[first, second])
        waits, done = found
        told = await events(waits["id"])
    assert (waits["status"], done["status"]) == ("pending", "success")
    assert (waits["ready"], waits["lease_owner"]) == (True, None)
    assert (waits["attempt"], waits["failures"], waits["crashes"], waits["step_count"]) == (1, 0, 0, 0)
    assert sorted(name for name, _ in told) == ["checkpoint", "message", "metadata", "status", "status"]
    said = [data for name, data in told if name == "status"][-1]
    assert (said["status"], said["attempt"], said["next_attempt_at"] is None) == ("pending", 1, False)


async def test_a_postponed_run_comes_back_and_ends_well(one_call_a_minute: None) -> None:
    async with working() as accept:
        tenant = await make(llm=scripted({"text": "hi"}))
        first, second = await accept(tenant, 2)
        await until(lambda: rows("SELECT 1 FROM runs WHERE next_attempt_at IS NOT NULL"))
        client().delete(shared_key("fake", "calls"))  # a minute later
        await rows("UPDATE runs SET next_attempt_at = clock_timestamp() WHERE next_attempt_at IS NOT NULL RETURNING 1")
        found = await ended(first, second)
        told = [event for run in (first, second) for event in await events(run)]
    assert [row["status"] for row in found] == ["success", "success"]
    assert sorted(row["attempt"] for row in found) == [1, 2]
    assert "superseded" not in [name for name, _ in told]


async def test_a_run_waits_in_its_slot_while_that_is_short(settings: Settings) -> None:
    settings.PROVIDER_LIMITS = {"fake:script": Limit(concurrent_calls=1)}
    async with working() as accept:
        tenant = await make(llm=scripted({"text": "", "delay_ms": 50}))
        found = await ended(*await accept(tenant, 2))
    assert [(row["status"], row["attempt"]) for row in found] == [("success", 1)] * 2


async def test_the_tokens_of_a_call_are_counted(settings: Settings) -> None:
    settings.PROVIDER_LIMITS = {"fake": Limit(tokens_per_minute=100)}
    turn = {"text": "hi", "usage": {"input_tokens": 90, "output_tokens": 10}}
    async with working() as accept:
        tenant = await make(llm=scripted(turn))
        await ended(*await accept(tenant))
        await postponed(*await accept(tenant))


async def test_the_time_of_a_run_bounds_how_long_it_is_postponed(one_call_a_minute: None) -> None:
    async with working() as accept:
        tenant = await make(llm=scripted({"text": "hi"}))
        await ended(*await accept(tenant))
        (run,) = await accept(tenant, timeout_s=1)
        (row,) = await ended(run)
    assert (row["status"], row["error"]["code"], row["failures"]) == ("timeout", "run_timeout", 0)


async def test_a_postponed_run_can_be_cancelled(one_call_a_minute: None) -> None:
    async with working() as accept:
        tenant = await make(llm=scripted({"text": "hi"}))
        await ended(*await accept(tenant))
        (run,) = await accept(tenant)
        await postponed(run)
        await cancel_run(tenant.identity, run).arun()
        (row,) = await ended(run)
    assert (row["status"], row["next_attempt_at"]) == ("cancelled", None)


async def test_a_stopped_call_gives_its_slot_back(settings: Settings) -> None:
    settings.PROVIDER_LIMITS = {"fake": Limit(concurrent_calls=1)}
    async with working() as accept:
        tenant = await make(llm=scripted({"text": "a long story", "delay_ms": 60_000}))
        (run,) = await accept(tenant)
        await until(lambda: in_thread(lambda: client().zcard(shared_key("fake", "slots"))))
        await cancel_run(tenant.identity, run).arun()
        await ended(run)
        await until(lambda: in_thread(lambda: client().zcard(shared_key("fake", "slots")) == 0))


async def test_of_a_model_that_is_down_the_fallback_takes_over_without_a_call(settings: Settings) -> None:
    down = scripted({"error": {"status": 500}})
    async with working() as accept:
        failing = await make(llm=down, retry_policy={"max_attempts": 1})
        failed = await ended(*await accept(failing, LEAST_CALLS + 1))
        tenant = await make(name="other", llm={**down, "fallbacks": [scripted({"text": "from the second"})]})
        (row,) = await ended(*await accept(tenant))
        payload = await one("SELECT output FROM run_payloads WHERE run_id = %(run)s", run=row["id"])
    codes = [row["error"]["code"] for row in failed]
    assert codes.count("model_server_error") >= LEAST_CALLS
    assert set(codes) <= {"model_server_error", "provider_unavailable"}
    assert payload["output"]["text"] == "from the second"
    assert client().zcard(shared_key("circuits")) == 1


async def test_a_run_without_a_fallback_is_tried_again_when_the_circuit_may_close(settings: Settings) -> None:
    down = scripted({"error": {"status": 503}})
    async with working() as accept:
        failing = await make(llm=down, retry_policy={"max_attempts": 1})
        await ended(*await accept(failing, LEAST_CALLS))
        patient = await make(name="patient", llm=down, retry_policy={"max_attempts": 2, "initial_interval_s": 0.01})
        (run,) = await accept(patient)
        await postponed(run)
        told = dict(await events(run))
    assert (told["error"]["code"], told["error"]["retryable"]) == ("provider_unavailable", True)


async def test_a_worker_hears_that_a_model_fails_elsewhere(shared: NewShared) -> None:
    llm = scripted({"text": "hi"})
    async with working() as accept:
        tenant = await make(llm=llm, retry_policy={"max_attempts": 1})
        elsewhere = Circuit(shared(), "fake", "script", provider("fake").place(llm))
        for _ in range(LEAST_CALLS):
            await elsewhere.failed()

        async def refused() -> bool:
            (row,) = await ended(*await accept(tenant))
            return row["error"] is not None and row["error"]["code"] == "provider_unavailable"

        assert await until(refused)


async def test_without_redis_runs_go_on_within_the_limits(settings: Settings, no_redis: None) -> None:
    settings.PROVIDER_LIMITS = {"fake": Limit(calls_per_minute=1)}
    async with working() as accept:
        tenant = await make(llm=scripted({"text": "hi"}))
        (row,) = await ended(*await accept(tenant))
        await postponed(*await accept(tenant))
    assert (row["status"], row["attempt"]) == ("success", 1)
