"""A run that takes its process with it, again and again, and those that were beside it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F

from core.db import pool
from core.ids import new_id
from runs.lifecycle import Status
from runs.models import CRASHES_BEFORE_ALONE, Run, RunEvent, Worker
from runs.pools import COMMON
from runs.worker.commit import commit_steps
from runs.worker.isolation import is_to_make_room
from runs.worker.rescue import SEQ_GAP, rescue
from sessions.models import Checkpoint, Message, Session
from tests.runs.conftest import make_assistant
from tests.runs.worker import Tenant, claim_with, ending, in_thread, make_worker
from tests.servers import Server
from tests.sse import assert_contiguous, events

HELLO = {"input": {"message": "hello there"}}


@pytest.fixture
async def tenant(async_pool: None) -> Tenant:
    return await in_thread(Tenant.make)


async def suspect(tenant: Tenant, **columns: Any) -> UUID:
    """A pending run that has crashed twice at its step."""
    run = await in_thread(tenant.run)
    await change(run, crashes=CRASHES_BEFORE_ALONE, **columns)
    return run


async def change(run: UUID, **columns: Any) -> None:
    await in_thread(lambda: Run.objects.filter(id=run).update(**columns))


async def found(run: UUID) -> Run:
    return await in_thread(lambda: Run.objects.get(id=run))


# -- who claims it ------------------------------------------------------------------------------------------------


async def test_who_crashed_too_often_is_claimed_alone(tenant: Tenant) -> None:
    ordinary, alone = await in_thread(tenant.run), await suspect(tenant)
    worker = await in_thread(make_worker)
    assert [row["id"] for row in await claim_with(worker)] == [ordinary]
    await suspect(tenant)
    assert [row["id"] for row in await claim_with(worker, alone=True)] == [alone]


async def test_one_crash_or_two_put_it_back_beside_others(tenant: Tenant) -> None:
    run = await in_thread(tenant.run)
    for crashes in (1, 2):
        worker = await in_thread(make_worker)
        await claim_with(worker)
        await rescue([worker]).arun()
        row = await found(run)
        assert (row.status, row.ready, row.crashes) == ("pending", True, crashes)


async def test_leaving_without_progress_does_not_forgive_them(tenant: Tenant) -> None:
    run, worker = await suspect(tenant), await in_thread(make_worker)
    (claimed,) = await claim_with(worker, alone=True)
    async with pool().connection() as conn:
        leaving = ending(claimed, Status.PENDING)
        leaving.run["step_count"] = 0
        await commit_steps(conn, worker, [leaving])
    assert (await found(run)).crashes == CRASHES_BEFORE_ALONE


async def test_progress_forgives_the_crashes(tenant: Tenant) -> None:
    run, worker = await suspect(tenant), await in_thread(make_worker)
    (claimed,) = await claim_with(worker, alone=True)
    step = ending(claimed)
    step.status = None
    async with pool().connection() as conn:
        await commit_steps(conn, worker, [step])
    await rescue([worker]).arun()
    row = await found(run)
    assert (row.status, row.crashes) == ("pending", 1)


async def test_the_emptiest_worker_makes_room(tenant: Tenant) -> None:
    busy, empty = await in_thread(make_worker), await in_thread(make_worker)
    await in_thread(tenant.run)
    await claim_with(busy)
    assert not await is_to_make_room(empty, COMMON).arun()
    await suspect(tenant)
    assert await is_to_make_room(empty, COMMON).arun()
    assert not await is_to_make_room(busy, COMMON).arun()
    await in_thread(lambda: Worker.objects.filter(id=empty).update(state="draining"))
    assert await is_to_make_room(busy, COMMON).arun()


async def test_nobody_makes_room_for_what_may_not_start(tenant: Tenant) -> None:
    worker = await in_thread(make_worker)
    await suspect(tenant, next_attempt_at=F("created_at") + "1 hour")
    full = await in_thread(lambda: Tenant.make("full", max_concurrent_runs=1))
    await in_thread(full.run)
    await claim_with(worker)
    await suspect(full)
    gpu = await in_thread(lambda: Tenant.make("gpu", resources={"labels": ["gpu"]}))
    await suspect(gpu)
    assert not await is_to_make_room(worker, COMMON).arun()


# -- its end --------------------------------------------------------------------------------------------------------


async def test_a_crash_of_its_own_ends_it_and_its_session_goes_on(tenant: Tenant) -> None:
    run, worker = await suspect(tenant), await in_thread(make_worker)
    session = (await found(run)).session_id
    following = await in_thread(tenant.run, session)
    await claim_with(worker, alone=True)
    (ended,) = await rescue([worker]).arun()
    assert (ended["id"], ended["status"]) == (run, "error")
    row = await found(run)
    assert (row.status, row.error["code"], row.lease_owner) == ("error", "worker_crashed", None)
    log = await in_thread(lambda: list(RunEvent.objects.filter(run_id=run).order_by("seq")))
    assert [(event.seq, event.event) for event in log] == [
        (SEQ_GAP, "superseded"),
        (SEQ_GAP + 1, "error"),
        (SEQ_GAP + 2, "end"),
    ]
    assert log[0].data == {"from_seq": 1, "to_seq": SEQ_GAP - 1, "reason": "rescue"}
    assert log[-1].data["error"]["code"] == "worker_crashed"
    assert (await found(following)).ready
    assert await rescue([worker]).arun() == []


async def test_the_tool_calls_that_it_leaves_open_are_answered(tenant: Tenant) -> None:
    run, worker = await suspect(tenant), await in_thread(make_worker)
    (claimed,) = await claim_with(worker, alone=True)
    calls = [{"id": name, "name": "calculator", "args": {}} for name in ("answered", "open", "also open")]
    for seq, columns in enumerate(
        [{"role": "assistant", "tool_calls": calls}, {"role": "tool", "tool_call_id": "answered"}], start=1
    ):
        await in_thread(lambda s=seq, c=columns: _message(claimed, s, **c))
    await in_thread(lambda: Run.objects.filter(id=run).update(message_start=0))
    await rescue([worker]).arun()
    messages = await in_thread(lambda: list(Message.objects.filter(run_id=run, seq__gt=2).order_by("seq")))
    assert [(m.seq, m.role, m.tool_call_id) for m in messages] == [(3, "tool", "open"), (4, "tool", "also open")]
    session = await in_thread(lambda: Session.objects.get(id=claimed["session_id"]))
    checkpoint = await in_thread(lambda: Checkpoint.objects.get(run_id=run))
    assert (session.message_count, session.checkpoint_id, session.step) == (4, checkpoint.id, checkpoint.step)
    assert (checkpoint.message_count, checkpoint.source) == (4, "end")
    assert (await found(run)).checkpoint_id == checkpoint.id
    log = await in_thread(lambda: list(RunEvent.objects.filter(run_id=run).order_by("seq")))
    assert [event.event for event in log] == ["superseded", "error", "message", "message", "checkpoint", "end"]
    assert [event.seq for event in log] == [SEQ_GAP + nth for nth in range(6)]


def _message(claimed: Any, seq: int, **columns: Any) -> None:
    Message.objects.create(
        id=new_id(), session_id=claimed["session_id"], run_id=claimed["id"], seq=seq, **{"content": "", **columns}
    )
    Session.objects.filter(id=claimed["session_id"]).update(message_count=seq)


# -- real processes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moody() -> Iterator[Server]:
    settings = {"AGENT_SERVER_WORKERS": "2", "AGENT_SERVER_AGENTS": "tests.stubs.agents"}
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), **settings) as server:
        yield server


@pytest.mark.servers
@pytest.mark.timeout(180)
def test_a_poisonous_run_ends_and_none_of_its_neighbours(moody: Server) -> None:
    text = "word " * 30
    llm = {"provider": "fake", "model": "script", "settings": {"turns": [{"text": text, "delay_ms": 50}]}}
    assistant = make_assistant(moody, type="Moody", llm=llm)

    def start(message: str) -> str:
        body = {"assistant_id": assistant, "input": {"message": message}}
        return str(moody.client.post("/runs", json=body).json()["id"])

    neighbours = [start("hello") for _ in range(10)]
    poison = start("die")
    neighbours += [start("hello") for _ in range(10)]
    ended = moody.client.get(f"/runs/{poison}/join?wait_s=100", timeout=110).json()
    assert (ended["status"], ended["error"]["code"], ended["attempt"]) == ("error", "worker_crashed", 3)
    with moody.client.stream("GET", f"/runs/{poison}/stream") as response:
        heard = list(events(response))
    assert_contiguous(heard)
    assert heard[-1].event == "end"
    for run in neighbours:
        assert moody.client.get(f"/runs/{run}/join?wait_s=60", timeout=70).json()["status"] == "success"
    assert moody.sql("SELECT DISTINCT crashes FROM runs WHERE status = 'success'") == [(0,)]
    # Whoever dies right after its start is started again all the same.
    assert moody.client.post("/runs/wait", json={**HELLO, "assistant_id": assistant}).json()["status"] == "success"
