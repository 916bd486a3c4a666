"""How often a run is stored: `sync`, `async`, `exit`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from core.db import pool
from runs.lifecycle import Status
from runs.models import Run, RunEvent, RunStep
from runs.services import cancel_run
from runs.worker.committer import LeaseLost
from runs.worker.outcomes import Cancelled
from runs.worker.rescue import put_back
from runtime.contract import AgentSpec, BaseAgent, Message, State, Step, StepIO
from tests.runs.conftest import scripted
from tests.runs.stage import Stage
from tests.runs.worker import Tenant, in_thread, one
from tests.servers import Server
from tests.sse import assert_contiguous, events

Act = Callable[[], Awaitable[Any]]
ASK = "ask"


class Scripted(BaseAgent):
    """Does one act a step and keeps its number as `last`; the last step ends the run, what gives ASK asks a person."""

    def __init__(self, *acts: Act) -> None:
        super().__init__(AgentSpec("scripted", {"step_timeout_s": 30}))
        self.acts = acts
        self.seen: list[Any] = []

    async def step(self, state: State, io: StepIO) -> Step:
        nth = len([message for message in state.messages if message.role == "assistant"])
        message_id = io.new_id()
        io.token(message_id, f"step {nth}")
        self.seen.append(await self.acts[nth]())
        said = Message(id=message_id, role="assistant", content=f"step {nth}")
        asked = {"type": "custom", "value": nth} if self.seen[-1] == ASK else None
        last = asked is None and nth == len(self.acts) - 1
        return Step(kind="custom", messages=[said], changes={"last": nth}, interrupt=asked, done=last)


async def test_sync_begins_a_step_when_the_one_before_is_stored(stage: Stage) -> None:
    agent = Scripted(stage.checkpoints, stage.checkpoints, stage.checkpoints)
    await stage.carry_out("sync", agent)
    assert agent.seen == [0, 2, 3]  # the input's is stored with the first step's


async def test_exit_stores_nothing_before_the_end_and_then_all_of_it(stage: Stage) -> None:
    agent = Scripted(stage.checkpoints, stage.checkpoints, stage.checkpoints)
    await stage.carry_out("exit", agent)
    assert agent.seen == [0, 0, 0]
    assert await stage.checkpoints() == 1
    assert await stage.messages() == ["hi", "step 0", "step 1", "step 2"]
    checkpoint = await one("SELECT * FROM checkpoints WHERE session_id = %(id)s", id=stage.session)
    assert (checkpoint["changes"], checkpoint["message_count"]) == ({"last": 2}, 4)
    assert (await one("SELECT state FROM sessions WHERE id = %(id)s", id=stage.session))["state"] == {"last": 2}
    steps = await in_thread(lambda: list(RunStep.objects.filter(run=stage.run_id).values_list("index", flat=True)))
    assert steps == [1, 2, 3]
    told = await in_thread(lambda: list(RunEvent.objects.filter(run=stage.run_id).values_list("seq", "event")))
    assert [seq for seq, _ in told] == list(range(1, len(told) + 1))
    assert [event for _, event in told].count("checkpoint") == 1


async def test_exit_tells_its_steps_as_they_happen(stage: Stage) -> None:
    async def heard() -> list[str]:
        return [event for _, _, event, _, data in stage.journal.take() if data.get("role") != "user"]

    agent = Scripted(heard, heard)
    await stage.carry_out("exit", agent)
    assert agent.seen == [["metadata", "status", "token"], ["message", "token"]]


async def test_an_exit_run_that_is_put_back_by_a_rescue_begins_anew(stage: Stage) -> None:
    async def lose() -> None:
        await put_back(stage.worker, [stage.run_id]).arun()

    with pytest.raises(LeaseLost):
        await stage.carry_out("exit", Scripted(stage.checkpoints, lose, stage.checkpoints))
    again = Scripted(stage.checkpoints, stage.checkpoints, stage.checkpoints)
    await (await stage.begin(again)).carry_out()
    assert len(again.seen) == 3
    assert await stage.messages() == ["hi", "step 0", "step 1", "step 2"]


async def test_what_an_exit_run_did_before_it_was_stopped_is_stored(stage: Stage) -> None:
    async def stop() -> None:
        execution.stop(Cancelled())

    await stage.accept("exit")
    execution = await stage.begin(Scripted(stage.checkpoints, stop, stage.checkpoints))
    assert (await execution.carry_out()).status == Status.CANCELLED
    assert await stage.messages() == ["hi", "step 0"]
    assert await stage.checkpoints() == 1


async def test_an_exit_run_that_asks_a_person_is_stored(stage: Stage) -> None:
    async def ask() -> str:
        return ASK

    commit = await stage.carry_out("exit", Scripted(stage.checkpoints, ask))
    assert commit.status == Status.INTERRUPTED
    assert await stage.messages() == ["hi", "step 0", "step 1"]
    assert (await one("SELECT source FROM checkpoints WHERE session_id = %(id)s", id=stage.session))["source"] == (
        "interrupt"
    )


async def test_an_exit_run_from_an_earlier_checkpoint_moves_the_line_when_it_ends(stage: Stage) -> None:
    await stage.carry_out("sync", Scripted(stage.checkpoints, stage.checkpoints))
    earlier = await one("SELECT id FROM checkpoints WHERE session_id = %(id)s AND step = 2", id=stage.session)
    await stage.accept("exit", checkpoint_id=str(earlier["id"]))
    agent = Scripted(stage.messages, stage.messages, stage.messages)
    await (await stage.begin(agent)).carry_out()
    assert agent.seen == [["hi", "step 0", "step 1"]] * 2
    assert await stage.messages() == ["hi", "step 0", "hi", "step 1", "step 2"]
    assert await stage.checkpoints() == 4


async def test_an_exit_run_that_is_rolled_back_leaves_nothing(stage: Stage) -> None:
    await stage.carry_out("exit", Scripted(stage.checkpoints))
    await stage.accept("exit")
    execution = await stage.begin(Scripted(stage.checkpoints, stage.checkpoints, stage.checkpoints))
    await in_thread(lambda: cancel_run(stage.tenant.identity, stage.run_id, rollback=True).run())
    assert (await execution.carry_out()).status == Status.CANCELLED
    assert await stage.messages() == ["hi", "step 0"]
    assert await stage.checkpoints() == 1


async def test_async_carries_out_the_next_step_while_one_is_written_and_no_more(stage: Stage) -> None:
    begun = [asyncio.Event() for _ in range(3)]

    def begin(nth: int) -> Act:
        async def act() -> int:
            begun[nth].set()
            return await stage.checkpoints()

        return act

    agent = Scripted(begin(0), begin(1), begin(2))
    await stage.accept("async")
    async with pool().connection() as other:
        execution = await stage.begin(agent)
        async with other.transaction():
            # Who holds the session's row holds up its commits.
            await other.execute("SELECT FROM sessions WHERE id = %(id)s FOR UPDATE", {"id": stage.session})
            carrying = asyncio.create_task(execution.carry_out())
            await asyncio.wait_for(begun[1].wait(), 10)
            await asyncio.sleep(0.1)
            assert not begun[2].is_set()
            assert agent.seen == [0, 0]
        await asyncio.wait_for(carrying, 10)
    assert await stage.messages() == ["hi", "step 0", "step 1", "step 2"]
    assert await stage.checkpoints() == 4


async def test_async_tells_no_event_before_those_of_lower_numbers(stage: Stage) -> None:
    async def heard() -> list[int]:
        await asyncio.sleep(0.05)
        return [seq for _, seq, *_ in stage.journal.take()]

    agent = Scripted(heard, heard, heard)
    await stage.carry_out("async", agent)
    told = [seq for step in agent.seen for seq in step]
    assert told == list(range(1, len(told) + 1))


async def test_async_stops_a_step_whose_run_was_taken_over(stage: Stage) -> None:
    async def lose() -> None:
        await put_back(stage.worker, [stage.run_id]).arun()

    async def forever() -> None:
        await asyncio.sleep(60)

    await stage.accept("async")
    execution = await stage.begin(Scripted(lose, forever, forever))
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(execution.carry_out(), 10)
    assert await stage.messages() == []


async def test_async_stops_a_step_where_the_commit_before_finds_a_cancel(stage: Stage) -> None:
    async def stop() -> None:
        await in_thread(lambda: cancel_run(stage.tenant.identity, stage.run_id).run())

    async def forever() -> None:
        await asyncio.sleep(60)

    await stage.accept("async")
    execution = await stage.begin(Scripted(stop, forever, forever))
    assert (await asyncio.wait_for(execution.carry_out(), 10)).status == Status.CANCELLED
    assert await stage.messages() == ["hi", "step 0"]


@pytest.mark.django_db
def test_a_run_has_its_assistants_durability_unless_its_body_says_another() -> None:
    tenant = Tenant.make(durability="exit")
    session = tenant.session()
    assert Run.objects.get(id=tenant.run(session)).durability == "exit"
    assert Run.objects.get(id=tenant.run(session, durability="async")).durability == "async"


@pytest.mark.servers
def test_an_exit_run_is_heard_while_nothing_of_it_is_stored(server: Server) -> None:
    turns = [{"tool_calls": [{"name": "current_time", "args": {}}]}, {"text": "one two three four", "delay_ms": 150}]
    session = scripted(server, turns, tools=[{"name": "current_time"}], durability="exit")
    body = {"input": {"message": "go"}}
    received = []
    stored = []
    with server.client.stream("POST", f"/sessions/{session}/runs/stream", json=body) as response:
        for event in events(response):
            received.append(event)
            if event.event == "token" and not stored:
                stored.append(server.client.get(f"/sessions/{session}/checkpoints").json()["total"])
    assert stored == [0]
    assert_contiguous(received)
    assert next(event.event for event in received if event.event in {"tool_result", "token"}) == "tool_result"
    assert server.client.get(f"/sessions/{session}/checkpoints").json()["total"] == 1
