"""Functions as agents on the database: what they keep, ask and save, run by run."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from core.validation import validate
from runs.bodies import ResumeRun
from runs.lifecycle import Status
from runs.resuming import resume_run
from runs.worker.committer import LeaseLost
from runs.worker.rescue import put_back
from runs.worker.step_commit import StepCommit
from runtime import registry
from runtime.contract import AgentSpec, BaseAgent
from runtime.functional import entrypoint, interrupt, task
from runtime.registry import agent_class
from tests.runs.stage import Stage
from tests.runs.worker import in_thread, one

done: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    done.clear()


def agent_of(function: Callable[..., Any]) -> BaseAgent:
    entrypoint("Function")(function)
    return agent_class("Function")(AgentSpec("Function", {"step_timeout_s": 30}))


async def go_on(stage: Stage, agent: BaseAgent, answer: Any) -> StepCommit:
    """The run's next execution, once a person has answered."""
    body = validate(ResumeRun, {"value": answer})
    await in_thread(lambda: resume_run(stage.tenant.identity, stage.run_id, body).run())
    return await (await stage.begin(agent)).carry_out()


async def state_of(stage: Stage) -> Any:
    return (await one("SELECT state FROM sessions WHERE id = %(id)s", id=stage.session))["state"]


@task
async def work(what: str) -> str:
    done[what] += 1
    return what.upper()


async def test_a_function_goes_on_behind_its_finished_tasks_after_each_answer(stage: Stage) -> None:
    async def letter(text: str, *, previous: Any) -> list[Any]:
        told = [previous, await work(text)]
        told.append(interrupt("more?"))
        told.append(await work(told[-1]))
        return [*told, interrupt("enough?")]

    agent = agent_of(letter)
    asked = await stage.carry_out("sync", agent)
    assert (asked.status, asked.interrupt) == (Status.INTERRUPTED, {"type": "custom", "value": "more?"})
    asked = await go_on(stage, agent, "more")
    assert (asked.status, asked.interrupt) == (Status.INTERRUPTED, {"type": "custom", "value": "enough?"})
    ended = await go_on(stage, agent, "yes")
    assert ended.output is not None
    assert (ended.status, ended.output["structured"]) == (Status.SUCCESS, [None, "HI", "more", "MORE", "yes"])
    assert done == {"hi": 1, "more": 1}
    assert await state_of(stage) == {"previous": [None, "HI", "more", "MORE", "yes"]}


async def test_what_a_lost_worker_finished_is_not_done_again(stage: Stage) -> None:
    async def two(text: str) -> str:
        first = await work(text)
        if not done["lost"]:
            done["lost"] += 1
            await put_back(stage.worker, [stage.run_id]).arun()
        return first + await work("more")

    agent = agent_of(two)
    with pytest.raises(LeaseLost):
        await stage.carry_out("sync", agent)
    ended = await (await stage.begin(agent)).carry_out()
    assert (ended.status, await stage.messages()) == (Status.SUCCESS, ["hi", "HIMORE"])
    assert (done["hi"], done["lost"]) == (1, 1)


async def test_a_stream_that_asks_takes_back_what_it_said(stage: Stage) -> None:
    async def stream(_: Any) -> AsyncIterator[str]:
        yield "Well, "
        yield str(interrupt("go on?"))

    agent = agent_of(stream)
    asked = await stage.carry_out("sync", agent)
    told = {event["event"]: event for event in asked.events}
    assert told["superseded"]["data"] == {
        "from_seq": told["token"]["seq"],
        "to_seq": told["token"]["seq"],
        "reason": "interrupt",
    }
    await go_on(stage, agent, "yes")
    assert await stage.messages() == ["hi", "Well, yes"]
