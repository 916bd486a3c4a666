"""A new run where its session has one that has not ended: interrupt and rollback, and cancelling with rollback."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from core.db import Row
from core.ids import new_id
from runs.lifecycle import Status
from runs.models import Run, RunEvent
from runs.services import cancel_run
from runs.worker.outcomes import Cancelled, Finished
from runs.worker.rescue import held_by
from runtime.contract import Message as Said
from runtime.contract import Step
from sessions.models import Message, Session
from tests.runs.conftest import scripted
from tests.runs.hand import Hand
from tests.runs.worker import Tenant, in_thread, rows
from tests.servers import Server, wait_for
from tests.stubs.ledger import Ledger


def _history(session: UUID) -> list[tuple[str, Any]]:
    return list(Message.objects.filter(session_id=session).values_list("role", "content"))


async def history(session: UUID) -> list[tuple[str, Any]]:
    return await in_thread(_history, session)


async def _stands_at(session: UUID) -> Row:
    (row,) = await rows("SELECT * FROM sessions WHERE id = %(id)s", id=session)
    return {name: row[name] for name in ("message_count", "step", "checkpoint_id", "state")}


async def _run(run: UUID) -> Run:
    return await in_thread(lambda: Run.objects.get(id=run))


# -- runs that wait --------------------------------------------------------------------------------------------------


def test_an_interrupting_run_takes_the_place_of_those_that_wait(tenant: Tenant, session: UUID) -> None:
    waiting = [tenant.run(session), tenant.run(session)]
    newest = tenant.run(session, multitask_strategy="interrupt")
    ended = Run.objects.filter(id__in=waiting).order_by("number")
    assert [(run.id, run.status, run.number) for run in ended] == [
        (waiting[0], "cancelled", 1),
        (waiting[1], "cancelled", 2),
    ]
    assert {run.error["code"] for run in ended} == {"superseded"}
    assert Session.objects.get(id=session).head_run_id == newest
    assert Run.objects.get(id=newest).ready


def test_the_end_of_a_superseded_run_is_in_its_log(tenant: Tenant, session: UUID) -> None:
    run = tenant.run(session)
    tenant.run(session, multitask_strategy="rollback")
    (event,) = RunEvent.objects.filter(run_id=run)
    assert (event.event, event.data["status"], event.data["error"]["code"]) == ("end", "cancelled", "superseded")


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
def test_an_idle_session_is_not_concerned(tenant: Tenant, session: UUID, strategy: str) -> None:
    run = Run.objects.get(id=tenant.run(session, multitask_strategy=strategy))
    assert (run.status, run.ready, run.multitask_strategy) == ("pending", True, strategy)


# -- a run at work ---------------------------------------------------------------------------------------------------


async def test_a_running_run_is_asked_to_stop_and_the_new_one_comes_next(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    first = await in_thread(tenant.run, session)
    held = await hand.claim()
    between = await in_thread(tenant.run, session)
    newest = await in_thread(lambda: tenant.run(session, multitask_strategy="interrupt"))
    assert (await _run(between)).status == "cancelled"
    assert (await _run(first)).status == "running"
    assert await held_by(hand.id).arun() == {first: Cancelled(superseded=True)}
    await held.commit(Cancelled(superseded=True))
    ended = await _run(first)
    assert (ended.status, ended.error["code"] if ended.error else None) == ("cancelled", "superseded")
    assert (await hand.claim()).claimed["id"] == newest


async def test_an_interrupted_run_keeps_its_work_and_answers_its_open_calls(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    await in_thread(tenant.run, session)
    held = await hand.claim()
    await held.calls("search")
    await in_thread(lambda: tenant.run(session, multitask_strategy="interrupt"))
    await held.commit(Cancelled(superseded=True))
    assert [role for role, _ in await history(session)] == ["user", "assistant", "tool"]


async def test_a_rollback_brings_the_session_back(tenant: Tenant, session: UUID, hand: Hand, async_pool: None) -> None:
    await in_thread(tenant.run, session)
    await (await hand.claim()).says("kept", done=True, colour="red", size=1)
    before, said = await _stands_at(session), await history(session)
    gone = await in_thread(tenant.run, session)
    held = await hand.claim()
    await held.says("not kept", colour="blue", extra=True)
    await in_thread(lambda: tenant.run(session, multitask_strategy="rollback"))
    await held.commit(Cancelled(superseded=True))
    assert await _stands_at(session) == before
    assert await history(session) == said
    assert await rows("SELECT id FROM checkpoints WHERE run_id = %(id)s", id=gone) == []
    run = await _run(gone)
    assert (run.status, run.checkpoint_id) == ("cancelled", None)
    log = await rows("SELECT seq FROM run_events WHERE run_id = %(id)s AND event = 'message'", id=gone)
    assert len(log) == 2


async def test_the_first_run_of_a_session_can_be_rolled_back(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    run = await in_thread(tenant.run, session)
    held = await hand.claim()
    await held.says("not kept", colour="blue")
    await cancel_run(tenant.identity, run, rollback=True).arun()
    await held.commit(Cancelled())
    assert await _stands_at(session) == {"message_count": 0, "step": 0, "checkpoint_id": None, "state": {}}
    assert await history(session) == []


async def test_a_run_that_was_about_to_succeed_is_rolled_back_all_the_same(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    run = await in_thread(tenant.run, session)
    held = await hand.claim()
    await cancel_run(tenant.identity, run, rollback=True).arun()
    await held.says("too late", done=True)
    assert ((await _run(run)).status, await history(session)) == ("cancelled", [])


async def test_a_run_that_was_about_to_succeed_is_cancelled_all_the_same_and_what_it_said_stays(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    run = await in_thread(tenant.run, session)
    held = await hand.claim()
    await cancel_run(tenant.identity, run).arun()
    await held.says("just in time", done=True)
    ended = await _run(run)
    assert (ended.status, ended.error, ended.last_seq) == ("cancelled", None, held.journal.last_seq)
    assert await history(session) == [("user", "hi"), ("assistant", "just in time")]
    (end,) = await rows("SELECT data FROM run_events WHERE run_id = %(id)s AND event = 'end'", id=run)
    assert end["data"]["status"] == "cancelled"
    (told,) = [data for _, _, event, _, data in held.journal.take() if event == "end"]
    assert told == {**end["data"], "output": None}


async def test_so_is_one_that_a_newer_run_takes_the_place_of(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    run = await in_thread(tenant.run, session)
    held = await hand.claim()
    await in_thread(lambda: tenant.run(session, multitask_strategy="interrupt"))
    await held.says("just in time", done=True)
    ended = await _run(run)
    assert (ended.status, ended.error["code"]) == ("cancelled", "superseded")


async def test_a_warm_conversation_forgets_what_was_rolled_back(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    await in_thread(tenant.run, session)
    await (await hand.claim()).says("kept", done=True)
    run = await in_thread(tenant.run, session)
    held = await hand.claim()
    await held.says("not kept")
    await cancel_run(tenant.identity, run, rollback=True).arun()
    await held.commit(Cancelled())
    await in_thread(tenant.run, session)
    assert [message.content for message in (await hand.claim()).conversation.messages] == ["hi", "kept"]


async def test_a_warm_conversation_forgets_it_too_when_others_wrote_as_much_since(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    run = await in_thread(tenant.run, session)
    held = await hand.claim()
    await held.says("not kept")
    await cancel_run(tenant.identity, run, rollback=True).arun()
    await held.commit(Cancelled())
    elsewhere = await in_thread(Hand)
    await in_thread(tenant.run, session)
    await (await elsewhere.claim()).says("kept", done=True)
    await in_thread(tenant.run, session)
    assert [message.content for message in (await hand.claim()).conversation.messages] == ["hi", "kept"]


# -- a run that waits for its next attempt, or for a person ----------------------------------------------------------


async def _begun_and_held_by_nobody(hand: Hand, status: str) -> UUID:
    """A run with two tool calls of which one is answered."""
    held = await hand.claim()
    await held.calls("search", "ask")
    answer = Said(id=str(new_id()), role="tool", content="found", tool_call_id="call_search", name="search")
    await held.commit(Finished(Step(kind="tools", messages=[answer])))
    run = UUID(str(held.claimed["id"]))
    await in_thread(lambda: Run.objects.filter(id=run).update(status=status, lease_owner=None))
    return run


@pytest.mark.parametrize("status", ["interrupted", "pending"])
async def test_open_calls_of_a_run_that_nobody_holds_are_answered(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None, status: str
) -> None:
    await in_thread(tenant.run, session)
    run = await _begun_and_held_by_nobody(hand, status)
    await in_thread(lambda: tenant.run(session, multitask_strategy="interrupt"))
    said = await rows("SELECT * FROM messages WHERE session_id = %(id)s ORDER BY seq", id=session)
    assert [message["seq"] for message in said] == [1, 2, 3, 4]
    assert [message["tool_call_id"] for message in said[2:]] == ["call_search", "call_ask"]
    (*_, last) = await rows("SELECT * FROM checkpoints WHERE session_id = %(id)s ORDER BY step", id=session)
    stands = await _stands_at(session)
    assert (stands["checkpoint_id"], stands["message_count"], stands["step"]) == (last["id"], 4, last["step"])
    log = await rows("SELECT seq, event FROM run_events WHERE run_id = %(id)s ORDER BY seq", id=run)
    assert [event["event"] for event in log[-3:]] == ["message", "checkpoint", "end"]
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))


async def test_a_run_that_nobody_holds_is_rolled_back_at_once(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    await in_thread(tenant.run, session)
    run = await _begun_and_held_by_nobody(hand, "interrupted")
    assert await cancel_run(tenant.identity, run, rollback=True).arun() == Status.CANCELLED
    assert await history(session) == []


async def test_an_interrupted_head_ends_for_a_run_that_is_enqueued(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    await in_thread(tenant.run, session)
    run = await _begun_and_held_by_nobody(hand, "interrupted")
    newest = await in_thread(tenant.run, session)
    ended = await _run(run)
    assert (ended.status, ended.error["code"] if ended.error else None) == ("cancelled", "superseded")
    held = await hand.claim()
    assert held.claimed["id"] == newest
    assert [message.role for message in held.conversation.messages] == ["user", "assistant", "tool", "tool"]


async def test_racing_interrupts_leave_one_run(tenant: Tenant, session: UUID, async_pool: None) -> None:
    def interrupt() -> UUID:
        return tenant.run(session, multitask_strategy="interrupt")

    await asyncio.gather(*(in_thread(interrupt) for _ in range(6)))
    left = await rows("SELECT ready FROM runs WHERE session_id = %(id)s AND status = 'pending'", id=session)
    assert left == [{"ready": True}]


# -- with a whole server ---------------------------------------------------------------------------------------------


def _slow_call(ledger: Ledger) -> dict[str, Any]:
    return {"tool_calls": [{"name": "http_request", "args": {"url": f"{ledger.url}/slow?sleep=20"}}]}


def _texted_twice(server: Server, ledger: Ledger, turns: list[dict[str, Any]], strategy: str) -> tuple[Any, Any, Any]:
    """The first run, the second one, and the session's messages."""
    session = scripted(server, turns, tools=[{"name": "http_request"}])
    first = server.client.post(f"/sessions/{session}/runs", json={"input": {"message": "one"}}).json()
    wait_for(lambda: ledger.calls["slow"] == 1)
    body = {"input": {"message": "two"}, "multitask_strategy": strategy}
    second = server.client.post(f"/sessions/{session}/runs/wait", json=body).json()
    messages = server.client.get(f"/sessions/{session}/messages").json()["items"]
    return server.client.get(f"/runs/{first['id']}").json(), second, messages


@pytest.mark.servers
def test_interrupting_a_tool_leaves_a_history_that_models_take(server: Server, ledger: Ledger) -> None:
    first, second, messages = _texted_twice(server, ledger, [_slow_call(ledger), {"text": "done"}], "interrupt")
    assert (first["status"], first["error"]["code"]) == ("cancelled", "superseded")
    assert (second["status"], second["output"]["text"]) == ("success", "done")
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "user", "assistant"]


@pytest.mark.servers
def test_after_a_rollback_the_conversation_is_the_new_runs(server: Server, ledger: Ledger) -> None:
    turns = [_slow_call(ledger), {"text": "not reached"}]
    session = scripted(server, turns, tools=[{"name": "http_request"}])
    first = server.client.post(f"/sessions/{session}/runs", json={"input": {"message": "one"}}).json()
    wait_for(lambda: ledger.calls["slow"] == 1)
    answer = server.client.post(f"/runs/{first['id']}/cancel", json={"action": "rollback", "wait": True})
    assert answer.json()["status"] == "cancelled"
    assert server.client.get(f"/sessions/{session}/messages").json()["items"] == []
    assert server.client.get(f"/sessions/{session}/checkpoints").json()["items"] == []
    assert server.client.get(f"/sessions/{session}").json()["message_count"] == 0


@pytest.mark.servers
def test_a_rollback_over_http(server: Server, ledger: Ledger) -> None:
    turns = [_slow_call(ledger), {"text": "not reached"}]
    session = scripted(server, turns, tools=[{"name": "http_request"}])
    first = server.client.post(f"/sessions/{session}/runs", json={"input": {"message": "one"}}).json()
    wait_for(lambda: ledger.calls["slow"] == 1)
    body = {"input": {"message": "two"}, "multitask_strategy": "rollback"}
    second = server.client.post(f"/sessions/{session}/runs", json=body).json()
    wait_for(lambda: server.client.get(f"/runs/{first['id']}").json()["status"] == "cancelled")
    # The counter of the model's turns went back, too: the second run plays the first turn again.
    wait_for(lambda: ledger.calls["slow"] == 2)
    messages = server.client.get(f"/sessions/{session}/messages").json()["items"]
    assert {message["run_id"] for message in messages} == {second["id"]}
    server.client.post(f"/runs/{second['id']}/cancel")
