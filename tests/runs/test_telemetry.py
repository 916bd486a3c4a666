"""What workers count of their work, and how `/metrics` tells it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from core.clock import ClockTimestamp
from core.redis import client, key
from runs.models import Worker
from runs.worker import runner as worker
from runs.worker import telemetry
from runs.worker.runner import Runner
from runs.worker.telemetry import HASH, Counted, Telemetry, count, counts
from runtime.contract import AgentSpec, BaseAgent, State, Step, StepIO
from tests.api import Api
from tests.runs.stage import Stage
from tests.runs.test_outside import Attentive, carried_out
from tests.runs.worker import Tenant, claim_with, in_thread, make_worker, until
from webhooks.kinds import ALERTED, Kind
from webhooks.models import Alert


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    telemetry._counts.clear()
    client().delete(key(HASH))
    yield
    telemetry._counts.clear()


def counted() -> dict[str, int]:
    """What stands in Redis, without zeros."""
    return {event: times for event, times in counts().items() if times}


async def after(runner: Runner, *turns: dict[str, Any], runs: int = 1, **config: Any) -> dict[str, int]:
    """What was counted once a worker has carried out runs of such a model."""
    llm = {"provider": "fake", "model": "script", "settings": {"turns": list(turns)}}
    tenant = await in_thread(lambda: Tenant.make(llm=llm, **config))
    for _ in range(runs):
        await in_thread(tenant.run)
    runner.wake()

    async def carried_out() -> int:
        return telemetry._counts[Counted.AGENT_STOP]

    await until(carried_out, runs)
    await runner._telemetry.send()
    return await asyncio.to_thread(counted)


async def test_runs_and_model_calls_are_counted(runner: Runner) -> None:
    called = {"tool_calls": [{"name": "calculator", "args": {"expression": "1+1"}}]}
    assert await after(runner, called, {"text": "two"}, runs=2, tools=[{"name": "calculator"}]) == {
        "agent.start": 2,
        "agent.stop": 2,
        "execution.start": 2,
        "execution.stop": 2,
        "llm.request": 4,
        "llm.response": 4,
    }


async def test_a_model_that_fails_is_an_error_and_no_crash(runner: Runner) -> None:
    assert await after(runner, {"error": {"status": 400}}) == {
        "agent.start": 1,
        "agent.stop": 1,
        "execution.start": 1,
        "execution.stop": 1,
        "llm.request": 1,
        "llm.error": 1,
    }


async def test_a_question_interrupts(runner: Runner) -> None:
    called = {"tool_calls": [{"name": "calculator", "args": {"expression": "1+1"}}]}
    asked = await after(runner, called, tools=[{"name": "calculator"}], interrupt_on={"calculator": True})
    assert asked == {
        "agent.start": 1,
        "agent.stop": 1,
        "execution.start": 1,
        "execution.interrupt": 1,
        "llm.request": 1,
        "llm.response": 1,
    }


class Broken(BaseAgent):
    def __init__(self) -> None:
        super().__init__(AgentSpec("Broken", {"step_timeout_s": 60.0}))

    async def step(self, state: State, io: StepIO) -> Step:
        raise RuntimeError("a bug")


async def test_an_agent_that_raises_has_crashed(stage: Stage) -> None:
    await stage.carry_out("sync", Broken())
    assert telemetry._counts == {Counted.AGENT_CRASH: 1}


async def test_messages_that_middleware_takes_are_counted(stage: Stage) -> None:
    await carried_out(stage, Attentive(1, "fail", "lost", 2))
    assert telemetry._counts == {Counted.MIDDLEWARE_MESSAGE: 2}


async def test_runs_of_a_dead_worker_have_crashed(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await in_thread(Tenant.make)
    dead = await in_thread(make_worker)
    await in_thread(tenant.run)
    await claim_with(dead)
    monkeypatch.setattr(worker, "LOOK_AROUND_S", 0.01)
    looking = asyncio.create_task(runner._look_around())
    await in_thread(lambda: Worker.objects.filter(id=dead).update(state="lost"))

    async def crashes() -> int:
        return telemetry._counts[Counted.AGENT_CRASH]

    await until(crashes, 1)
    looking.cancel()


async def test_what_several_workers_counted_adds_up() -> None:
    for _ in range(2):
        count(Counted.LLM_REQUEST, 3)
        one = Telemetry()
        await one.send()
        await one.close()
    assert await asyncio.to_thread(counted) == {"llm.request": 6}


async def test_what_was_counted_while_redis_was_away_is_added_later(settings: Settings) -> None:
    address, settings.REDIS_URL = settings.REDIS_URL, "redis://127.0.0.1:1/0"
    count(Counted.LLM_REQUEST)
    away = Telemetry()
    await away.send()
    count(Counted.LLM_REQUEST)
    settings.REDIS_URL = address
    back = Telemetry()
    await back.send()
    assert await asyncio.to_thread(counted) == {"llm.request": 2}
    for one in (away, back):
        await one.close()


def figures(api: Api, family: str) -> list[str]:
    answer = api.get("/metrics")
    assert answer.status_code == 200
    return [line for line in answer.text.splitlines() if line.startswith(f"{family}{{")]


def test_every_event_has_its_line(api: Api) -> None:
    client().hincrby(key(HASH), Counted.LLM_ERROR, 7)
    lines = figures(api, "agent_server_events_total")
    assert len(lines) == len(Counted) == 10
    assert 'agent_server_events_total{event="llm.error"} 7.0' in lines
    assert 'agent_server_events_total{event="agent.crash"} 0.0' in lines


def test_open_alerts_are_told_by_kind(api: Api) -> None:
    for subject in ("one", "two"):
        Alert.objects.create(workspace=api.workspace, kind=Kind.SCHEDULE_FAILED, subject=subject, message="")
    Alert.objects.filter(subject="two").update(resolved_at=ClockTimestamp())
    assert figures(api, "agent_server_alerts") == [
        f'agent_server_alerts{{kind="{kind}"}} {float(kind == Kind.SCHEDULE_FAILED)}' for kind in ALERTED
    ]
