"""Hosted graphs whose worker is lost, that are stopped, taken back, or begun at an earlier checkpoint."""

import asyncio
from typing import Any

import pytest

from graphs import hosted
from runs.lifecycle import Status
from runs.services import cancel_run
from runs.worker.committer import LeaseLost
from runs.worker.outcomes import Cancelled, HandedBack
from runs.worker.rescue import put_back
from tests.graphs import made
from tests.graphs.hosting import Host, questions, values
from tests.runs.worker import in_thread, one, rows, until


async def lose(host: Host) -> None:
    """Carry the run out until it waits in its second node, have another worker take it over, and let it find out."""
    execution = await host.begin()
    carrying = asyncio.create_task(execution.carry_out())
    await asyncio.wait_for(made.reached.wait(), 10)
    await until(host.has_begun, True)
    await put_back(host.stage.worker, [host.stage.run_id]).arun()
    made.opened.set()
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(carrying, 10)


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_a_run_whose_worker_was_lost_goes_on_behind_its_finished_nodes(host: Host, durability: str) -> None:
    await host.accept("slow", {}, durability)
    await lose(host)
    assert values(await host.carry_out())["log"] == ["first", "waited"]
    assert made.done == {"first": 1, "waiting": 2}


async def test_finished_tasks_of_an_entrypoint_are_not_called_again(host: Host) -> None:
    await host.accept("functional", {"number": 4, "waits": True})
    await lose(host)
    assert values(await host.carry_out())["doubled"] == 8
    assert made.done["doubled"] == 1


async def test_what_an_exit_run_did_with_a_lost_worker_is_done_again(host: Host) -> None:
    await host.accept("slow", {}, "exit")
    execution = await host.begin()
    carrying = asyncio.create_task(execution.carry_out())
    await asyncio.wait_for(made.reached.wait(), 10)
    await put_back(host.stage.worker, [host.stage.run_id]).arun()
    made.opened.set()
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(carrying, 10)
    assert await host.checkpoints() == 0
    assert values(await host.carry_out())["log"] == ["first", "waited"]
    assert made.done == {"first": 2, "waiting": 2}


async def stopped(host: Host, durability: str, outcome: Any) -> Any:
    await host.accept("slow", {}, durability)
    execution = await host.begin()
    carrying = asyncio.create_task(execution.carry_out())
    await asyncio.wait_for(made.reached.wait(), 10)
    if isinstance(outcome, Cancelled):
        await in_thread(lambda: cancel_run(host.stage.tenant.identity, host.stage.run_id).run())
    execution.stop(outcome)
    return await asyncio.wait_for(carrying, 10)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_run_that_is_cancelled_keeps_what_was_finished(host: Host, durability: str) -> None:
    assert (await stopped(host, durability, Cancelled())).status == Status.CANCELLED
    assert await host.state() == {"log": ["first"]}
    made.opened.set()
    assert values(await host.run("slow", None))["log"] == ["first", "waited"]
    assert made.done["first"] == 1


async def test_a_run_that_is_handed_back_goes_on_elsewhere(host: Host) -> None:
    assert (await stopped(host, "async", HandedBack())).status == Status.PENDING
    made.opened.set()
    assert values(await host.carry_out())["log"] == ["first", "waited"]
    assert made.done["first"] == 1


async def test_a_cancelled_graph_is_carried_out_no_further(host: Host) -> None:
    await stopped(host, "async", Cancelled())
    made.opened.set()
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("graph of run")]


async def test_a_graph_that_does_not_heed_its_cancellation_tells_nothing_more(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosted, "LEAVE_S", 0.01)
    await host.accept("stubborn", {}, stream_mode=["custom"])
    execution = await host.begin()
    carrying = asyncio.create_task(execution.carry_out())
    await asyncio.wait_for(made.reached.wait(), 10)
    execution.stop(Cancelled())
    assert (await asyncio.wait_for(carrying, 10)).status == Status.CANCELLED
    last = host.stage.journal.last_seq
    made.opened.set()
    await until(lambda: asyncio.sleep(0, made.done["stubborn"]), 1)
    assert host.stage.journal.last_seq == last
    assert [part["data"] for part in await host.told("graph")] == ["before"]


async def test_a_rollback_takes_the_graphs_checkpoints_out(host: Host) -> None:
    await host.run("noted", {})
    before = await host.state(), await host.checkpoints()
    await host.accept("slow", {})
    execution = await host.begin()
    carrying = asyncio.create_task(execution.carry_out())
    await asyncio.wait_for(made.reached.wait(), 10)
    await in_thread(lambda: cancel_run(host.stage.tenant.identity, host.stage.run_id, rollback=True).run())
    execution.stop(Cancelled())
    await asyncio.wait_for(carrying, 10)
    assert (await host.state(), await host.checkpoints()) == before
    assert values(await host.run("noted", {}))["log"] == ["one", "two", "one", "two"]


async def test_a_run_that_asks_is_rolled_back_with_its_checkpoints(host: Host) -> None:
    await host.run("interrupting", {})
    await in_thread(lambda: cancel_run(host.stage.tenant.identity, host.stage.run_id, rollback=True).run())
    assert (await host.checkpoints(), await host.state()) == (0, {})


async def test_an_update_that_was_stored_is_not_made_again_after_a_crash(host: Host) -> None:
    await host.run("slow", {}, interrupt_before=["waiting"])
    await host.accept("slow", command={"update": {"log": ["mine"]}})
    await lose(host)
    assert values(await host.carry_out())["log"] == ["first", "mine", "waited"]


async def test_an_answer_that_was_stored_is_not_asked_for_again(host: Host) -> None:
    await host.run("asks_twice", {})
    assert questions(await host.answer("one")) == ["second?"]
    assert values(await host.answer("two"))["log"] == ["one", "two"]


async def test_a_run_begins_at_an_earlier_checkpoint(host: Host) -> None:
    await host.run("steps", {})
    sql = (
        "SELECT checkpoint_id FROM graph_checkpoints WHERE session_id = %(id)s AND metadata->>'step' = '2' "
        "AND namespace = ''"
    )
    earlier = str((await one(sql, id=host.session))["checkpoint_id"])
    ended = await host.run("steps", None, checkpoint={"checkpoint_id": earlier})
    assert values(ended)["log"] == [f"step {n}" for n in range(1, 6)]
    forked = await rows(
        "SELECT metadata->>'source' AS source FROM graph_checkpoints WHERE run_id = %(id)s ORDER BY checkpoint_id",
        id=host.stage.run_id,
    )
    assert [row["source"] for row in forked] == ["fork", "loop", "loop", "loop"]
