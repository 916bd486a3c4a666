"""What a run keeps in the middle of a step is there when the step is carried out again, and nobody else's."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from core.redaction import everywhere
from runs.lifecycle import Status
from runs.worker.committer import LeaseLost
from runs.worker.keeping import Keeper
from runs.worker.rescue import put_back
from runtime.contract import AgentSpec, BaseAgent, State, Step, StepIO
from runtime.errors import ModelServerError
from runtime.secrets import Secret
from tests.runs.stage import Stage
from tests.runs.worker import one, rows

KEPT = "SELECT key, value FROM run_results WHERE run_id = %(run)s ORDER BY key"


class Acting(BaseAgent):
    """Does this in its only step."""

    def __init__(self, act: Callable[[StepIO], Awaitable[Any]], **secrets: Secret) -> None:
        super().__init__(AgentSpec("acting", {"step_timeout_s": 30}, secrets=secrets))
        self._act = act

    async def step(self, state: State, io: StepIO) -> Step:
        return Step(kind="custom", structured=await self._act(io), done=True)


async def keep_and_fail(io: StepIO) -> None:
    await io.keep("first", {"of": [1, None]})
    raise ModelServerError("Come back.")


async def what_is_kept(io: StepIO) -> Any:
    return dict(await io.kept())


async def carried_out_again(stage: Stage, act: Callable[[StepIO], Awaitable[Any]]) -> Any:
    """What the step gives that is carried out after the one that failed."""
    await stage.carry_out("sync", Acting(keep_and_fail))
    await rows("UPDATE runs SET next_attempt_at = NULL WHERE id = %(run)s RETURNING id", run=stage.run_id)
    commit = await (await stage.begin(Acting(act))).carry_out()
    assert commit.status == Status.SUCCESS, commit.error
    assert commit.output is not None
    return commit.output["structured"]


async def test_what_a_step_that_failed_has_kept_is_there_for_the_next(stage: Stage) -> None:
    assert await carried_out_again(stage, what_is_kept) == {"first": {"of": [1, None]}}


async def test_a_second_value_takes_the_first_ones_place(stage: Stage) -> None:
    async def again(io: StepIO) -> Any:
        await io.keep("first", "other")
        return await what_is_kept(io)

    assert await carried_out_again(stage, again) == {"first": "other"}
    assert await rows(KEPT, run=stage.run_id) == [{"key": "first", "value": "other"}]


async def test_it_is_stored_before_the_step_ends(stage: Stage) -> None:
    async def look(io: StepIO) -> Any:
        await io.keep("first", 1)
        return await rows(KEPT, run=io.run_id)

    commit = await stage.carry_out("exit", Acting(look))
    assert commit.output is not None
    assert commit.output["structured"] == [{"key": "first", "value": 1}]


async def test_another_run_sees_nothing_of_it(stage: Stage) -> None:
    await stage.carry_out("sync", Acting(lambda io: io.keep("first", 1)))
    commit = await stage.carry_out("sync", Acting(what_is_kept))
    assert commit.output is not None
    assert commit.output["structured"] == {}


async def test_a_late_writer_is_refused_and_leaves_nothing(stage: Stage) -> None:
    async def lose(io: StepIO) -> None:
        await put_back(stage.worker, [stage.run_id]).arun()
        with pytest.raises(LeaseLost):
            await io.keep("late", 1)

    with pytest.raises(LeaseLost):
        await stage.carry_out("sync", Acting(lose))
    assert await rows(KEPT, run=stage.run_id) == []
    assert (await one("SELECT status FROM runs WHERE id = %(run)s", run=stage.run_id))["status"] == "pending"


async def test_a_late_writer_of_the_same_worker_is_refused_by_the_epoch(stage: Stage) -> None:
    async def lose(io: StepIO) -> None:
        await rows("UPDATE runs SET epoch = epoch + 1 WHERE id = %(run)s RETURNING id", run=io.run_id)
        await io.keep("late", 1)

    with pytest.raises(LeaseLost):
        await stage.carry_out("sync", Acting(lose))
    assert await rows(KEPT, run=stage.run_id) == []


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("k", 2**70, "What is kept as 'k' is not JSON"),
        ("k", {1}, "What is kept as 'k' is not JSON"),
        ("k", "x" * 1_048_576, "What is kept as 'k' has 1048578 bytes; 1048576 are allowed."),
        ("k" * 256, 1, "A key of what is kept has 1 to 255 characters"),
        ("", 1, "A key of what is kept has 1 to 255 characters"),
    ],
)
async def test_what_cannot_be_kept_ends_the_run_and_says_why(stage: Stage, key: str, value: Any, why: str) -> None:
    commit = await stage.carry_out("sync", Acting(lambda io: io.keep(key, value)))
    assert commit.error is not None
    assert (commit.status, commit.error["code"]) == (Status.ERROR, "agent_error")
    assert commit.error["message"].startswith(why)


async def test_a_secret_is_cut_out_of_what_is_kept_and_nul_is_no_fault(stage: Stage) -> None:
    async def leak(io: StepIO) -> Any:
        await io.keep("told", ["The key is correct-horse.\0"])
        return await what_is_kept(io)

    agent = Acting(leak, key=Secret("correct-horse", ()))
    commit = await stage.carry_out("sync", agent)
    assert commit.output is not None
    assert commit.output["structured"] == {"told": ["The key is [secret:key].\ufffd"]}
    assert await rows(KEPT, run=stage.run_id) == [{"key": "told", "value": ["The key is [secret:key].\ufffd"]}]


async def test_a_runs_first_execution_asks_nothing_of_the_database() -> None:
    """The pool is not open here."""
    claim = {"id": "run", "epoch": 1, "attempt": 1}
    keeper = Keeper(claim, "worker", everywhere, on_lost=lambda: None)
    assert await keeper.kept() == {}
