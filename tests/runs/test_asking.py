"""A run that asks a person: it waits without a worker, and goes on when it is resumed, once."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg.rows import dict_row

from core.errors import NotInterrupted
from core.validation import validate
from runs import tasks
from runs.bodies import ResumeRun
from runs.models import Run, RunEvent, RunPayload
from runs.resuming import resume_run
from runs.services import cancel_run, close_session, sweep
from runs.worker.commit import commit_steps
from runs.worker.outcomes import Finished
from runs.worker.rescue import put_back
from runtime.contract import Step
from sessions.models import Checkpoint, Message, Session
from tests.api import Api
from tests.runs.conftest import make_session, scripted
from tests.runs.hand import Hand, Held
from tests.runs.worker import Tenant, in_thread, rows
from tests.servers import Server, wait_for
from tests.sse import assert_contiguous, events

QUESTION = {"type": "custom", "value": "May I?"}


async def _run(run: UUID) -> Run:
    return await in_thread(lambda: Run.objects.get(id=run))


def _resume(tenant: Tenant, run: UUID, **body: Any) -> None:
    resume_run(tenant.identity, run, validate(ResumeRun, body or {"value": "yes"})).run()


async def resume(tenant: Tenant, run: UUID, **body: Any) -> None:
    await in_thread(lambda: _resume(tenant, run, **body))


async def asking(tenant: Tenant, hand: Hand, session: UUID) -> UUID:
    """A run that has asked."""
    run = await in_thread(tenant.run, session)
    held = await hand.claim()
    await held.says("Well,")
    await held.asks(**QUESTION)
    return run


# -- the interrupt -----------------------------------------------------------------------------------------------------


async def test_a_run_that_asks_waits_without_a_worker(tenant: Tenant, hand: Hand, session: UUID, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await _run(await asking(tenant, hand, session))
    assert (run.status, run.interrupt, run.lease_owner, run.ready) == ("interrupted", QUESTION, None, False)
    (row,) = await rows("SELECT activity, head_run_id FROM sessions WHERE id = %(id)s", id=session)
    assert row == {"activity": "interrupted", "head_run_id": run.id}
    checkpoint = await in_thread(lambda: Checkpoint.objects.filter(session_id=session).first())
    assert (checkpoint.source, checkpoint.id) == ("interrupt", run.checkpoint_id)
    last = await in_thread(lambda: RunEvent.objects.filter(run_id=run.id).last())
    assert (last.event, last.data) == ("interrupt", QUESTION)


async def test_a_run_cancelled_meanwhile_does_not_ask(tenant: Tenant, hand: Hand, session: UUID, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await in_thread(tenant.run, session)
    held = await hand.claim()
    await held.calls("pay")
    await in_thread(lambda: cancel_run(tenant.identity, run).run())
    assert await held.asks(**QUESTION)
    ended = await _run(run)
    assert (ended.status, ended.error) == ("cancelled", None)
    roles = await in_thread(lambda: list(Message.objects.filter(session_id=session).values_list("role", flat=True)))
    assert roles == ["user", "assistant", "tool"]
    (row,) = await rows("SELECT activity, head_run_id FROM sessions WHERE id = %(id)s", id=session)
    assert row == {"activity": "idle", "head_run_id": None}


async def test_a_run_rolled_back_meanwhile_is_taken_out(tenant: Tenant, hand: Hand, session: UUID, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await in_thread(tenant.run, session)
    held = await hand.claim()
    await in_thread(lambda: cancel_run(tenant.identity, run, rollback=True).run())
    assert await held.asks(**QUESTION)
    assert (await _run(run)).status == "cancelled"
    assert await rows("SELECT id FROM messages WHERE session_id = %(id)s", id=session) == []


async def test_a_run_does_not_ask_where_another_waits_for_its_place(
    tenant: Tenant,
    hand: Hand,
    session: UUID,
    async_pool,  # type: ignore[no-untyped-def]
) -> None:
    run = await in_thread(tenant.run, session)
    held = await hand.claim()
    following = await in_thread(tenant.run, session)
    await held.asks(**QUESTION)
    ended = await _run(run)
    assert (ended.status, ended.error["code"]) == ("cancelled", "superseded")
    assert (await hand.claim()).claimed["id"] == following


async def test_a_run_that_comes_while_the_other_begins_to_ask_takes_its_place(
    tenant: Tenant,
    hand: Hand,
    session: UUID,
    async_pool,  # type: ignore[no-untyped-def]
) -> None:
    run = await in_thread(tenant.run, session)
    held = await hand.claim()
    commit = held.recorder.record(Finished(Step(kind="custom", interrupt=QUESTION)), held.journal.now(), 1)
    async with (
        await psycopg.AsyncConnection.connect(
            settings.DATABASE_DIRECT_URL, autocommit=True, row_factory=dict_row
        ) as conn,
        conn.transaction(),
    ):
        # What is accepted now has seen a running head, and waits for the session's lock.
        await conn.execute("SELECT FROM sessions WHERE id = %(id)s FOR UPDATE", {"id": session})
        accepting = asyncio.create_task(in_thread(tenant.run, session))
        await in_thread(wait_for, _somebody_waits_for_a_lock)
        await commit_steps(conn, hand.id, [commit])
    following = await accepting
    assert (await _run(run)).status == "cancelled"
    assert (await hand.claim()).claimed["id"] == following


def _somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


# -- the resume --------------------------------------------------------------------------------------------------------


async def test_a_resumed_run_goes_on_with_the_answer_until_a_step_is_stored(
    tenant: Tenant,
    hand: Hand,
    session: UUID,
    async_pool,  # type: ignore[no-untyped-def]
) -> None:
    run = await asking(tenant, hand, session)
    await resume(tenant, run)
    waiting = await _run(run)
    assert (waiting.status, waiting.ready, waiting.interrupt) == ("pending", True, None)
    held = await hand.claim()
    assert held.recorder.state().resume == {"value": "yes"}
    await held.says("Thank you.")
    assert held.recorder.state().resume is None
    assert await rows("SELECT resume FROM run_payloads WHERE run_id = %(id)s", id=run) == [{"resume": None}]
    await held.says("Done.", done=True)
    steps = await rows("SELECT kind FROM run_steps WHERE run_id = %(id)s ORDER BY index", id=run)
    assert [step["kind"] for step in steps] == ["model", "tools", "model", "model"]


async def test_the_answer_is_kept_while_its_step_is_not_stored(
    tenant: Tenant,
    hand: Hand,
    session: UUID,
    async_pool,  # type: ignore[no-untyped-def]
) -> None:
    run = await asking(tenant, hand, session)
    await resume(tenant, run)
    await hand.claim()
    await in_thread(lambda: put_back(hand.id, [run]).run())
    assert (await hand.claim()).recorder.state().resume == {"value": "yes"}


async def test_a_run_may_ask_again(tenant: Tenant, hand: Hand, session: UUID, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await asking(tenant, hand, session)
    await resume(tenant, run)
    again = {"type": "custom", "value": "Really?"}
    await (await hand.claim()).asks(**again)
    asked = await _run(run)
    assert (asked.status, asked.interrupt, asked.attempt) == ("interrupted", again, 2)
    assert await rows("SELECT resume FROM run_payloads WHERE run_id = %(id)s", id=run) == [{"resume": None}]


async def test_what_it_waited_does_not_count_against_its_time(
    tenant: Tenant,
    hand: Hand,
    session: UUID,
    async_pool,  # type: ignore[no-untyped-def]
) -> None:
    run = await in_thread(lambda: tenant.run(session, timeout_s=100))
    for _ in range(2):
        await (await hand.claim()).asks(**QUESTION)
        await in_thread(
            lambda: connection.cursor().execute(
                "UPDATE runs SET started_at = started_at - interval '1 h', "
                "interrupted_at = interrupted_at - interval '1 h'"
            )
        )
        await resume(tenant, run)
    assert 50 < (await hand.claim()).claimed["time_left_s"] <= 100


async def test_the_log_goes_on_without_a_gap(tenant: Tenant, hand: Hand, session: UUID, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await asking(tenant, hand, session)
    await resume(tenant, run)
    await (await hand.claim()).says("Done.", done=True)
    log = await rows("SELECT seq, event, data FROM run_events WHERE run_id = %(id)s ORDER BY seq", id=run)
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
    names = [event["event"] for event in log]
    resumed = log[names.index("interrupt") + 1]
    assert (resumed["event"], resumed["data"]["status"]) == ("status", "pending")


async def test_of_racing_resumes_one_is_the_resume(tenant: Tenant, hand: Hand, session: UUID, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await asking(tenant, hand, session)

    def attempt(nth: int) -> bool:
        try:
            _resume(tenant, run, value=nth)
        except NotInterrupted:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(await in_thread(lambda: list(threads.map(attempt, range(6))))) == 1
    assert (await _run(run)).last_seq == await in_thread(lambda: RunEvent.objects.filter(run_id=run).count())


# -- what else may happen to it ----------------------------------------------------------------------------------------


async def test_cancelling_it_answers_its_open_calls(tenant: Tenant, hand: Hand, session: UUID, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await in_thread(tenant.run, session)
    held: Held = await hand.claim()
    await held.calls("pay", "ship")
    await held.asks(**QUESTION)
    await in_thread(lambda: cancel_run(tenant.identity, run).run())
    messages = await rows("SELECT role, tool_call_id FROM messages WHERE session_id = %(id)s ORDER BY seq", id=session)
    assert [row["tool_call_id"] for row in messages if row["role"] == "tool"] == ["call_pay", "call_ship"]
    with pytest.raises(NotInterrupted):
        await resume(tenant, run)


async def test_closing_its_session_ends_it(tenant: Tenant, hand: Hand, session: UUID, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await asking(tenant, hand, session)
    await in_thread(lambda: close_session(tenant.identity, session).run())
    assert (await _run(run)).status == "cancelled"
    with pytest.raises(NotInterrupted):
        await resume(tenant, run)


async def test_its_session_does_not_expire_while_it_waits(
    tenant: Tenant, hand: Hand, session: UUID, async_pool
) -> None:  # type: ignore[no-untyped-def]
    run = await asking(tenant, hand, session)

    def expire() -> str:
        Session.objects.filter(id=session).update(ttl_seconds=60, expires_at="2026-01-01T00:00:00Z")
        sweep()
        return Session.objects.get(id=session).status

    assert await in_thread(expire) == "active"
    await resume(tenant, run)
    assert (await hand.claim()).claimed["id"] == run
    (row,) = await rows("SELECT expires_at > now() AS later FROM sessions WHERE id = %(id)s", id=session)
    assert row["later"]


async def test_a_new_run_takes_the_place_of_one_that_asks(
    tenant: Tenant, hand: Hand, session: UUID, async_pool
) -> None:  # type: ignore[no-untyped-def]
    run = await asking(tenant, hand, session)
    following = await in_thread(tenant.run, session)
    assert (await _run(run)).error["code"] == "superseded"
    assert (await hand.claim()).claimed["id"] == following


async def test_a_resume_goes_on_where_no_new_run_is_taken(
    tenant: Tenant, hand: Hand, session: UUID, async_pool
) -> None:  # type: ignore[no-untyped-def]
    run = await asking(tenant, hand, session)
    await in_thread(lambda: connection.cursor().execute("UPDATE assistants SET status = 'archived'"))
    await resume(tenant, run)
    assert (await hand.claim()).claimed["id"] == run
    assert await in_thread(lambda: RunPayload.objects.get(run_id=run).resume) == {"value": "yes"}


# -- with a whole server -----------------------------------------------------------------------------------------------


def _ask(server: Server, message: str = "ask") -> dict[str, Any]:
    session = make_session(server, type="Curious")
    run: dict[str, Any] = server.client.post(
        f"/sessions/{session}/runs/wait", json={"input": {"message": message}}
    ).json()
    return run


@pytest.mark.servers
def test_a_stream_ends_with_the_question_and_goes_on_after_the_answer(server: Server) -> None:
    run = _ask(server)
    with server.client.stream("GET", f"/runs/{run['id']}/stream") as response:
        received = list(events(response))
    assert received[-1].event == "interrupt"
    assert server.client.post(f"/runs/{run['id']}/resume", json={"value": "yes"}).status_code == 202
    # From the beginning: the question that was answered is history.
    with server.client.stream("GET", f"/runs/{run['id']}/stream") as response:
        whole = list(events(response))
    with server.client.stream("GET", f"/runs/{run['id']}/stream", params={"after": received[-1].id}) as response:
        rest = list(events(response))
    assert [event.id for event in received + rest] == [event.id for event in whole]
    assert [event.event for event in whole if event.event in {"interrupt", "end"}] == ["interrupt", "end"]
    assert_contiguous(whole)


@pytest.mark.servers
def test_a_person_decides_about_tool_calls(server: Server) -> None:
    wanted = [{"name": "calculator", "args": {"expression": expression}} for expression in ("1+1", "2+2", "3+3")]
    turns = [{"tool_calls": wanted}, {"text": "done"}]
    config = {"tools": [{"name": "calculator"}], "interrupt_on": {"calculator": True}}
    session = scripted(server, turns, **config)
    body = {"input": {"message": "go"}, "multitask_strategy": "reject"}
    run = server.client.post(f"/sessions/{session}/runs/wait", json=body).json()
    assert [request["arguments"]["expression"] for request in run["interrupt"]["action_requests"]] == [
        "1+1",
        "2+2",
        "3+3",
    ]
    assert server.client.get(f"/sessions/{session}/state").json()["interrupt"] == run["interrupt"]
    assert server.client.post(f"/sessions/{session}/runs", json=body).json()["code"] == "session_busy"
    decisions = [
        {"type": "approve"},
        {"type": "edit", "arguments": {"expression": "20+20"}},
        {"type": "reject", "message": "Not that."},
    ]
    assert server.client.post(f"/runs/{run['id']}/resume", json={"decisions": decisions}).status_code == 202
    ended = server.client.get(f"/runs/{run['id']}/join").json()
    messages = server.client.get(f"/sessions/{session}/messages").json()["items"]
    assert ended["output"]["text"] == "done"
    assert [message["content"] for message in messages if message["role"] == "tool"] == ["2", "40", "Not that."]
    assert [call["status"] for step in ended["steps"] for call in step["tool_calls"]] == ["ok", "ok", "rejected"]


@pytest.mark.servers
@pytest.mark.parametrize("message", ["ask for nothing", "ask and end"])
def test_a_question_that_makes_no_sense_is_the_agents_fault(server: Server, message: str) -> None:
    run = _ask(server, message)
    assert (run["status"], run["error"]["code"]) == ("error", "agent_error")


# -- nobody answers ----------------------------------------------------------------------------------------------------


async def unanswered(tenant: Tenant, hand: Hand, session: UUID, *, asked_s_ago: float) -> UUID:
    """A run with a minute for its answer, which asked so long ago while a tool call was open."""
    run = await in_thread(tenant.run, session)
    held = await hand.claim(interrupt_timeout_s=60)
    await held.calls("pay")
    await held.asks(**QUESTION)
    earlier = "interrupt_expires_at = interrupt_expires_at - make_interval(secs => %(s)s)"
    await rows(f"UPDATE runs SET {earlier} WHERE id = %(id)s RETURNING id", s=asked_s_ago, id=run)
    return run


async def test_a_run_says_how_long_it_waits(tenant: Tenant, hand: Hand, session: UUID, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await unanswered(tenant, hand, session, asked_s_ago=0)
    (row,) = await rows("SELECT interrupt_expires_at - interrupted_at AS time FROM runs WHERE id = %(id)s", id=run)
    assert 59.9 < row["time"].total_seconds() < 60.1
    await in_thread(tasks.sweep)
    assert (await _run(run)).status == "interrupted"
    await resume(tenant, run)
    assert (await _run(run)).interrupt_expires_at is None


async def test_who_waits_for_ever_says_nothing_of_it(tenant: Tenant, hand: Hand, session: UUID, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await asking(tenant, hand, session)
    await in_thread(tasks.sweep)
    assert ((await _run(run)).status, (await _run(run)).interrupt_expires_at) == ("interrupted", None)


async def test_after_its_time_no_answer_counts(tenant: Tenant, hand: Hand, session: UUID, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await unanswered(tenant, hand, session, asked_s_ago=61)
    with pytest.raises(NotInterrupted):
        await resume(tenant, run)
    assert (await _run(run)).status == "interrupted"


async def test_a_run_that_nobody_answers_is_cancelled_and_the_session_goes_on(
    tenant: Tenant,
    hand: Hand,
    session: UUID,
    async_pool,  # type: ignore[no-untyped-def]
) -> None:
    run = await unanswered(tenant, hand, session, asked_s_ago=61)
    await in_thread(tasks.sweep)
    ended = await _run(run)
    assert (ended.status, ended.error["code"]) == ("cancelled", "interrupt_expired")
    last = await in_thread(lambda: RunEvent.objects.filter(run_id=run).last())
    assert (last.event, last.data["status"]) == ("end", "cancelled")
    roles = await in_thread(lambda: list(Message.objects.filter(session_id=session).values_list("role", flat=True)))
    assert roles == ["user", "assistant", "tool"]
    (entry,) = await rows("SELECT actor, action FROM audit_entries WHERE subject_id = %(id)s", id=run)
    assert entry == {"actor": "system", "action": "expired"}
    following = await in_thread(tenant.run, session)
    assert (await hand.claim()).claimed["id"] == following


def test_the_document_shows_the_moment_while_the_run_asks(api: Api) -> None:
    run = api.run()
    Run.objects.filter(id=run).update(
        status="interrupted", interrupt=QUESTION, ready=False, interrupt_expires_at="2030-01-01T00:00:00Z"
    )
    assert api.get(f"/runs/{run}").json()["interrupt_expires_at"] == "2030-01-01T00:00:00.000000Z"
    Run.objects.filter(id=run).update(status="pending")
    assert api.get(f"/runs/{run}").json()["interrupt_expires_at"] is None
