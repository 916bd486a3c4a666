"""What a run's model calls took and cost, and gave: the same in its total, its steps and its events."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from runs.lifecycle import Status
from runs.worker.outcomes import Cancelled
from runtime.configuration import RuntimeSettings, configure, current
from runtime.contract import AgentSpec, BaseAgent, ModelRecord, State, Step, StepIO, Usage
from runtime.errors import ModelServerError
from runtime.prices import Price
from runtime.react import ReactAgent
from tests.runs.stage import Stage
from tests.runs.worker import one, rows

USED = {"input_tokens": 1_000, "output_tokens": 100}


@pytest.fixture(autouse=True)
def _prices() -> Iterator[None]:
    before = current()
    configure(RuntimeSettings(prices={"fake/script": Price(1, 10)}))
    yield
    configure(before)


class Failing(BaseAgent):
    """Its only model call is cut off after it has taken something."""

    async def step(self, state: State, io: StepIO) -> Step:
        error = ModelServerError("Come back.")
        error.record = ModelRecord("fake", "script", Usage(500, 0, 0.0005))
        raise error


def scripted(*turns: dict[str, Any], config: dict[str, Any] | None = None, **llm: Any) -> ReactAgent:
    block = {"provider": "fake", "model": "script", "settings": {"turns": list(turns)}, **llm}
    return ReactAgent(AgentSpec("ReactAgent", {"llm": block, "step_timeout_s": 30, **(config or {})}))


async def accounts(stage: Stage) -> tuple[list[Any], list[Any], list[Any]]:
    """Tokens in, tokens out and cost: of the run, and as its steps and as its events sum up."""
    run = await one("SELECT input_tokens, output_tokens, cost_usd FROM runs WHERE id = %(id)s", id=stage.run_id)
    total = [run["input_tokens"], run["output_tokens"], None if run["cost_usd"] is None else float(run["cost_usd"])]
    steps = await rows("SELECT model FROM run_steps WHERE run_id = %(id)s AND model IS NOT NULL", id=stage.run_id)
    told = await rows("SELECT data FROM run_events WHERE run_id = %(id)s AND event = 'usage'", id=stage.run_id)
    return total, summed([row["model"]["usage"] for row in steps]), summed([row["data"] for row in told])


def summed(usages: list[dict[str, Any]]) -> list[Any]:
    costs = [usage["cost_usd"] for usage in usages if usage["cost_usd"] is not None]
    return [
        sum(usage["input_tokens"] for usage in usages),
        sum(usage["output_tokens"] for usage in usages),
        round(sum(costs), 8) if costs else None,
    ]


async def test_the_total_is_the_sum_of_the_calls(stage: Stage) -> None:
    calling = {"tool_calls": [{"name": "nothing", "args": {}}], "usage": USED}
    commit = await stage.carry_out("sync", scripted(calling, {"text": "done", "usage": USED}))
    assert await accounts(stage) == ([2_000, 200, 0.004],) * 3
    usage = {"input_tokens": 2_000, "output_tokens": 200, "total_tokens": 2_200, "cost_usd": 0.004}
    assert commit.events[-1]["data"]["usage"] == usage


async def test_what_a_failed_call_has_taken_stays_counted_when_the_run_is_tried_again(stage: Stage) -> None:
    await stage.carry_out("sync", Failing(AgentSpec("failing", {"step_timeout_s": 30})))
    await rows("UPDATE runs SET next_attempt_at = NULL WHERE id = %(run)s RETURNING id", run=stage.run_id)
    commit = await (await stage.begin(scripted({"text": "done", "usage": USED}))).carry_out()
    assert commit.status == Status.SUCCESS
    assert await accounts(stage) == ([1_500, 100, 0.0025],) * 3


async def test_a_model_without_a_price_costs_nothing_that_is_known(stage: Stage) -> None:
    await stage.carry_out("sync", scripted({"text": "done"}, model="echo"))
    assert (await accounts(stage))[0][2] is None


async def test_a_failure_is_told_before_the_fallback_answers(stage: Stage) -> None:
    failing = {"turns": [{"error": {"status": 500}}]}
    await stage.carry_out("sync", scripted(settings=failing, fallbacks=[{"provider": "fake", "model": "echo"}]))
    told = await rows("SELECT event, data FROM run_events WHERE run_id = %(id)s ORDER BY seq", id=stage.run_id)
    names = [row["event"] for row in told]
    assert names.index("custom") < names.index("token")
    assert told[names.index("custom")]["data"]["name"] == "model_failed"
    assert (await stage.messages())[-1] == "hi"
    assert (await accounts(stage))[0] == [1, 1, None]


async def test_an_answer_that_fits_the_schema_is_in_the_runs_output(stage: Stage) -> None:
    config = {"output_schema": {"type": "array"}}
    commit = await stage.carry_out("sync", scripted({"text": "one"}, {"text": "[1]"}, config=config))
    assert commit.output is not None
    assert (commit.output["text"], commit.output["structured"]) == ("[1]", [1])


async def test_answers_that_never_fit_are_kept_and_counted(stage: Stage) -> None:
    config = {"output_schema": {"type": "array"}}
    commit = await stage.carry_out("sync", scripted({"text": "one", "usage": USED}, config=config))
    assert (commit.status, commit.error and commit.error["code"]) == (Status.ERROR, "output_invalid")
    assert (await stage.messages()).count("one") == 3
    assert await accounts(stage) == ([3_000, 300, 0.006],) * 3


async def test_a_call_whose_answer_is_refused_counts(stage: Stage) -> None:
    config = {"middleware": [{"name": "until_tool", "settings": {"tools": ["calculator"]}}]}
    commit = await stage.carry_out("sync", scripted({"text": "one", "usage": USED}, config=config))
    assert commit.error is not None
    assert commit.error["code"] == "until_tool_not_called"
    assert await accounts(stage) == ([1_000, 100, 0.002],) * 3


async def test_what_a_model_says_after_a_cancel_is_not_kept(stage: Stage) -> None:
    await stage.accept("sync")
    execution = await stage.begin(scripted({"text": "one two three four", "delay_ms": 50, "usage": USED}))
    under_way = asyncio.create_task(execution.carry_out())
    async with asyncio.timeout(10):
        while stage.journal.first_token is None:  # noqa: ASYNC110 - what changes is in the other task
            await asyncio.sleep(0.005)
    execution.stop(Cancelled(superseded=False))
    assert (await under_way).status == Status.CANCELLED
    assert await stage.messages() == ["hi"]
    assert await accounts(stage) == ([0, 0, None],) * 3
