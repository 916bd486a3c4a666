"""An agent that awaits something cancelled has failed; its run does not go round and round."""

import asyncio

import pytest

from runs.lifecycle import Status
from runtime.contract import AgentSpec, BaseAgent, State, Step, StepIO
from tests.runs.stage import Stage


class Gives(BaseAgent):
    """Awaits what somebody else has given up."""

    async def step(self, state: State, io: StepIO) -> Step:
        given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        given_up.cancel()
        await given_up
        return Step(kind="custom", done=True)


async def test_it_ends_with_an_error(stage: Stage) -> None:
    commit = await stage.carry_out("sync", Gives(AgentSpec("Gives", {"step_timeout_s": 60})))
    assert commit.status == Status.ERROR
    assert commit.error
    assert commit.error["message"] == "The agent awaited something that was cancelled."


async def test_the_end_of_the_process_still_cancels_it(stage: Stage) -> None:
    class Waits(BaseAgent):
        async def step(self, state: State, io: StepIO) -> Step:
            await asyncio.sleep(60)
            return Step(kind="custom", done=True)

    await stage.accept("sync")
    execution = await stage.begin(Waits(AgentSpec("Waits", {"step_timeout_s": 60})))
    carrying_out = asyncio.create_task(execution.carry_out())
    await asyncio.sleep(0.1)
    carrying_out.cancel()
    with pytest.raises(asyncio.CancelledError):
        await carrying_out
