"""Native runs of hosted graphs from an earlier checkpoint of their session: the graph begins where it stood then."""

from typing import Any

import pytest

from core.db import operation
from core.errors import Invalid
from core.ids import new_id
from runs.lifecycle import Status
from runs.pruning import thin_out
from runs.services import cancel_run
from runs.worker.agents import agent_of
from runs.worker.outcomes import Cancelled, HandedBack
from runs.worker.step_commit import StepCommit
from runtime.errors import NotSupported
from sessions.threads import copy_thread
from tests.graphs import made
from tests.graphs.hosting import Host, questions, values
from tests.graphs.test_going_on import lose, stopped
from tests.runs.worker import in_thread, rows


async def natively(host: Host, graph: str, given: Any, at: str, **options: Any) -> StepCommit:
    await host.accept_native(graph, given, at, **options)
    return await host.carry_out()


async def where(host: Host) -> Any:
    """What the session and its graph stand at."""
    sql = "SELECT message_count, step, checkpoint_id, state FROM sessions WHERE id = %(id)s"
    return await rows(sql, id=host.session), await host.checkpoints(), await host.messages()


async def twice(host: Host) -> str:
    """Two runs; gives the checkpoint that the first one left."""
    await host.run("noted", {})
    early = await host.stands()
    await host.run("noted", {})
    return early


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_run_begins_where_the_graph_stood(host: Host, durability: str) -> None:
    early = await twice(host)
    before = await host.checkpoints()
    ended = await natively(host, "noted", {"log": ["mine"]}, early, durability=durability)
    assert values(ended)["log"] == ["one", "two", "mine", "one", "two"]
    assert await host.state() == {"log": ["one", "two", "mine", "one", "two"]}
    assert await host.checkpoints() > before
    assert values(await host.run("noted", {}))["log"] == ["one", "two", "mine", "one", "two", "one", "two"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_without_an_input_what_the_graph_asked_there_is_asked_again(host: Host, durability: str) -> None:
    assert questions(await host.run("asks_twice", {}, durability)) == ["first?"]
    asked = await host.stands()
    await host.answer("one")
    await host.answer("two")
    assert questions(await natively(host, "asks_twice", None, asked, durability=durability)) == ["first?"]
    await host.answer("three")
    assert values(await host.answer("four"))["log"] == ["three", "four"]


async def test_the_conversation_goes_on_from_there_too(host: Host) -> None:
    await host.run("echo", {"messages": [{"role": "user", "content": "one"}]})
    early = await host.stands()
    await host.run("echo", {"messages": [{"role": "user", "content": "two"}]})
    await natively(host, "echo", {"message": "three"}, early)
    assert [said for _, said in await host.messages()] == ["one", "echo: one", "three", "echo: three"]


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_the_graph_has_said_what_the_session_has_and_no_more(host: Host, durability: str) -> None:
    await host.run("react", {"messages": [{"role": "user", "content": "hi"}]}, durability)
    said = await host.messages()
    for at, count in await host.stood():
        await natively(host, "react", {"message": "again"}, at)
        assert (await host.messages())[: count + 1] == [*said[:count], ("user", "again")]


async def test_a_run_that_was_stopped_goes_on_from_where_it_was(host: Host) -> None:
    await stopped(host, "sync", Cancelled())
    made.opened.set()
    assert values(await natively(host, "slow", None, await host.stands()))["log"] == ["first", "waited"]
    assert made.done["first"] == 1


@pytest.mark.parametrize("outcome", [Cancelled(), HandedBack()])
async def test_what_stops_a_run_before_it_begins_moves_nothing(host: Host, outcome: Any) -> None:
    early = await twice(host)
    before = await where(host)
    await host.accept_native("noted", {"log": ["mine"]}, early)
    execution = await host.begin()
    execution.stop(outcome)
    ended = await execution.carry_out()
    assert await where(host) == before
    if ended.status == Status.PENDING:
        assert values(await host.carry_out())["log"] == ["one", "two", "mine", "one", "two"]


async def test_who_comes_after_a_run_that_was_handed_back_finds_its_branch_whole(host: Host) -> None:
    await host.run("noted", {"wanted": ["x"]})
    early = await host.stands()
    await host.run("noted", {"wanted": ["y"]})
    await host.accept_native("noted", {"log": ["mine"]}, early)
    execution = await host.begin()
    execution.stop(HandedBack())
    await execution.carry_out()
    await host.carry_out()
    assert values(await host.run("noted", {}))["wanted"] == ["x"]


async def test_a_run_whose_worker_was_lost_goes_on_in_its_branch(host: Host) -> None:
    made.opened.set()
    await host.run("slow", {})
    early = await host.stands()
    await host.run("slow", {})
    made.opened.clear()
    made.reached.clear()
    await host.accept_native("slow", {}, early)
    await lose(host)
    assert values(await host.carry_out())["log"] == ["first", "waited"] * 2


async def test_a_rollback_puts_both_back(host: Host) -> None:
    await host.run("asks_twice", {})
    asked = await host.stands()
    await host.answer("one")
    await host.answer("two")
    before = await where(host)
    await natively(host, "asks_twice", None, asked)
    assert await where(host) != before
    await in_thread(lambda: cancel_run(host.stage.tenant.identity, host.stage.run_id, rollback=True).run())
    assert await where(host) == before
    assert values(await host.run("noted", {}))["log"] == ["one", "two", "one", "two"]


async def test_a_copy_of_the_session_can_begin_there_as_well(host: Host) -> None:
    await twice(host)
    copy = new_id()
    await in_thread(lambda: copy_thread(host.stage.tenant.identity, host.session, copy, {}).run())
    host.session = copy
    (early, _), _ = await host.stood()
    ended = await natively(host, "noted", {"log": ["mine"]}, early)
    assert values(ended)["log"] == ["one", "two", "mine", "one", "two"]


async def test_what_a_session_keeps_that_is_thinned_out_can_be_begun_at(host: Host) -> None:
    early = await twice(host)
    await in_thread(lambda: operation(atomic=True)(thin_out)([host.session]).run())
    with pytest.raises(Invalid, match="no such checkpoint"):
        await host.accept_native("noted", {}, early)
    ended = await natively(host, "noted", {"log": ["mine"]}, await host.stands())
    assert values(ended)["log"] == ["one", "two", "one", "two", "mine", "one", "two"]


# -- what cannot be ----------------------------------------------------------------------------------------------------


async def test_a_checkpoint_of_no_graph_is_refused(host: Host) -> None:
    early = await twice(host)
    await rows("UPDATE checkpoints SET graph_checkpoint_id = NULL WHERE id = %(id)s RETURNING id", id=early)
    with pytest.raises(Invalid, match="no graph stood"):
        await host.accept_native("noted", {}, early)


async def test_so_is_one_whose_graphs_checkpoint_is_gone(host: Host) -> None:
    early = await twice(host)
    await host.accept_native("noted", {}, early)
    await rows("DELETE FROM graph_checkpoints WHERE session_id = %(id)s RETURNING run_id", id=host.session)
    execution = await host.begin()
    agent = await agent_of(host.stage.claimed, execution.conversation)
    assert agent.takes_any_input
    with pytest.raises(NotSupported, match="no graph stood"):
        await agent.step(None, None)  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="no graph stood"):
        await host.accept_native("noted", {}, early)


async def test_there_is_nothing_to_go_on_with_behind_a_run_that_has_ended(host: Host) -> None:
    early = await twice(host)
    with pytest.raises(Invalid, match="nothing to go on with"):
        await host.accept_native("noted", None, early)
