"""The queue: who is claimed, in which order, and that a late writer is refused."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from core.db import pool
from core.errors import RunFinished, SessionBusy
from core.ids import new_id
from runs.accepting import create_run
from runs.bodies import CreateRun
from runs.lifecycle import Status
from runs.models import Run
from runs.services import cancel_run, close_session
from runs.worker.commit import commit_steps, written_before
from runs.worker.presence import Presence
from runs.worker.rescue import SEQ_GAP, held_by, put_back, rescue, rescue_lost, suspects
from sessions.models import Session
from tests.runs.worker import Tenant, claim_with, ending, in_thread, make_worker, one, rows

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker(transactional_db: None):  # type: ignore[no-untyped-def]
    return make_worker()


def test_of_ten_racing_runs_one_heads_the_session(tenant: Tenant) -> None:
    session = tenant.session()

    def create(_: int) -> None:
        tenant.run(session)
        connection.close()

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(create, range(10)))
    assert Run.objects.filter(session_id=session, ready=True).count() == 1
    assert Run.objects.get(session_id=session, ready=True).id == Session.objects.get(id=session).head_run_id


def test_reject_refuses_a_busy_session_and_stores_nothing(tenant: Tenant) -> None:
    session = tenant.session()
    tenant.run(session)
    with pytest.raises(SessionBusy):
        tenant.run(session, multitask_strategy="reject")
    assert Run.objects.filter(session_id=session).count() == 1


def test_a_cancelled_head_hands_the_session_on(tenant: Tenant) -> None:
    session = tenant.session()
    first, second = tenant.run(session), tenant.run(session)
    assert cancel_run(tenant.identity, first).run() == Status.CANCELLED
    run = Run.objects.get(id=second)
    assert (run.ready, Session.objects.get(id=session).head_run_id) == (True, second)
    with pytest.raises(RunFinished):
        cancel_run(tenant.identity, first).run()


def test_closing_a_session_cancels_what_waits_there(tenant: Tenant) -> None:
    session = tenant.session()
    waiting = [tenant.run(session) for _ in range(3)]
    closed = close_session(tenant.identity, session).run()
    assert closed.session["status"] == "closed"
    ended = Run.objects.filter(id__in=waiting).order_by("created_at")
    assert [(run.status, run.number) for run in ended] == [("cancelled", 1), ("cancelled", 2), ("cancelled", 3)]


async def test_one_run_of_a_session_at_a_time(tenant: Tenant, worker, async_pool) -> None:  # type: ignore[no-untyped-def]
    session = await in_thread(tenant.session)
    for _ in range(3):
        await create_run(tenant.identity, session, CreateRun(input={"message": "hi"}), new_id()).arun()
    claimed = await claim_with(worker)
    assert [(row["number"], row["attempt"], row["epoch"]) for row in claimed] == [(1, 1, 1)]
    assert await claim_with(worker) == []


async def test_the_end_of_a_run_lets_the_next_one_go(tenant: Tenant, worker, async_pool) -> None:  # type: ignore[no-untyped-def]
    session = await in_thread(tenant.session)
    ids = [await in_thread(tenant.run, session) for _ in range(2)]
    (first,) = await claim_with(worker)
    async with pool().connection() as conn:
        committed = await commit_steps(conn, worker, [ending(first)])
    assert committed.promoted
    (second,) = await claim_with(worker)
    assert [first["id"], second["id"]] == ids
    assert second["number"] == 2


async def test_higher_priority_goes_first_and_equals_by_age(tenant: Tenant, worker, async_pool) -> None:  # type: ignore[no-untyped-def]
    low = [await in_thread(tenant.run) for _ in range(3)]
    high = await in_thread(lambda: tenant.run(priority=5))
    order = [(await claim_with(worker, slots=1))[0]["id"] for _ in range(4)]
    assert order == [high, *low]


async def test_a_workspace_with_a_long_queue_does_not_hold_up_another(tenant: Tenant, worker, async_pool) -> None:  # type: ignore[no-untyped-def]
    for _ in range(8):
        await in_thread(tenant.run)
    other = await in_thread(Tenant.make, "other")
    late = await in_thread(other.run)
    claimed = await claim_with(worker, slots=2)
    assert late in [row["id"] for row in claimed]


async def test_a_capped_assistant_leaves_room_for_others(worker, async_pool, transactional_db) -> None:  # type: ignore[no-untyped-def]
    capped = await in_thread(lambda: Tenant.make("capped", max_concurrent_runs=2))
    for _ in range(6):
        await in_thread(capped.run)
    other = await in_thread(Tenant.make, "free")
    for _ in range(3):
        await in_thread(other.run)
    claimed = [row for _ in range(3) for row in await claim_with(worker, slots=4)]
    assert len([row for row in claimed if row["assistant_id"] == capped.assistant]) == 2
    assert len([row for row in claimed if row["assistant_id"] == other.assistant]) == 3


async def test_racing_workers_never_claim_the_same_run(tenant: Tenant, worker, async_pool) -> None:  # type: ignore[no-untyped-def]
    ids = {await in_thread(tenant.run) for _ in range(12)}
    claims = await asyncio.gather(*(claim_with(worker, slots=3) for _ in range(6)))
    claimed = [row["id"] for batch in claims for row in batch]
    assert len(claimed) == len(set(claimed)) == 12
    assert set(claimed) == ids


async def test_a_late_writer_is_refused_and_writes_nothing(tenant: Tenant, worker, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await in_thread(tenant.run)
    (stale,) = await claim_with(worker)
    await rescue([worker]).arun()
    successor = await in_thread(make_worker)
    (fresh,) = await claim_with(successor)
    assert fresh["epoch"] == stale["epoch"] + 1
    async with pool().connection() as conn:
        committed = await commit_steps(conn, worker, [ending(stale)])
    assert committed.ours == frozenset()
    assert (await one("SELECT status FROM runs WHERE id = %(run)s", run=run))["status"] == "running"
    assert await rows("SELECT seq FROM run_events WHERE run_id = %(run)s AND event = 'end'", run=run) == []


async def test_a_commit_whose_answer_was_lost_is_recognised(tenant: Tenant, worker, async_pool) -> None:  # type: ignore[no-untyped-def]
    await in_thread(tenant.run)
    (claimed,) = await claim_with(worker)
    async with pool().connection() as conn:
        first = await commit_steps(conn, worker, [ending(claimed)])
        again = await commit_steps(conn, worker, [ending(claimed)])
        known = await written_before(conn, worker, [ending(claimed)])
    assert first.ours == known == {str(claimed["id"])}
    assert again.ours == frozenset()


async def test_the_runs_of_a_dead_worker_go_back_to_the_queue(tenant: Tenant, worker, async_pool) -> None:  # type: ignore[no-untyped-def]
    run = await in_thread(tenant.run)
    await claim_with(worker)
    rescued = await rescue([worker]).arun()
    assert [row["id"] for row in rescued] == [run]
    row = await one("SELECT * FROM runs WHERE id = %(run)s", run=run)
    assert (row["status"], row["ready"], row["lease_owner"], row["last_seq"]) == ("pending", True, None, SEQ_GAP)
    event = await one("SELECT * FROM run_events WHERE run_id = %(run)s", run=run)
    assert event["event"] == "superseded"
    assert event["data"] == {"from_seq": 1, "to_seq": SEQ_GAP - 1, "reason": "rescue"}
    assert await rescue([worker]).arun() == []


@pytest.mark.parametrize(("lease_s", "suspected"), [(0.1, True), (10_000_000, False)])
async def test_a_worker_whose_lease_ran_out_is_suspected_unless_postgresql_has_just_started(
    async_pool: None, settings: Any, lease_s: float, suspected: bool
) -> None:
    settings.RUNNER_LEASE_S = lease_s
    expired = await in_thread(make_worker, -1.0)
    assert (expired in await suspects().arun()) is suspected


async def test_a_worker_that_leaves_runs_behind_stays_known_until_they_are_rescued(tenant: Tenant, async_pool) -> None:  # type: ignore[no-untyped-def]
    leaving, tidy = (Presence(slots=1, on_beat=lambda *_: None, on_lost=lambda: None) for _ in range(2))
    for presence in (leaving, tidy):
        await in_thread(presence.start)
    await in_thread(tenant.run)
    await claim_with(leaving.id)
    for presence in (leaving, tidy):
        await in_thread(presence.stop)
    assert [row["id"] for row in await rows("SELECT id FROM workers")] == [leaving.id]


async def test_what_a_worker_claims_while_it_is_declared_lost_is_rescued_too(
    tenant: Tenant,
    worker,
    async_pool,  # type: ignore[no-untyped-def]
) -> None:
    await rescue([worker]).arun()
    run = await in_thread(tenant.run)
    await claim_with(worker)
    (rescued,) = await rescue_lost()
    assert (rescued["id"], rescued["status"]) == (run, "pending")
    assert await rescue_lost() == []


@pytest.mark.parametrize(("lease_s", "assured"), [(60, True), (0.05, False)])
async def test_a_worker_begins_no_step_while_it_may_have_lost_its_lease(
    async_pool: None, settings: Any, lease_s: float, assured: bool
) -> None:
    settings.RUNNER_LEASE_S = lease_s
    presence = Presence(slots=1, on_beat=lambda *_: None, on_lost=lambda: None)
    await in_thread(presence.start)
    await in_thread(presence.stop)
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(presence.assured())
    await asyncio.wait([waiting], timeout=0.2)
    assert waiting.done() is assured
    waiting.cancel()


async def test_a_run_that_is_held_and_not_carried_out_goes_back_without_a_charge(
    tenant: Tenant,
    worker,
    async_pool,  # type: ignore[no-untyped-def]
) -> None:
    run = await in_thread(tenant.run)
    await claim_with(worker)
    assert await held_by(worker).arun() == {run: None}
    await put_back(worker, [run]).arun()
    row = await one("SELECT * FROM runs WHERE id = %(run)s", run=run)
    assert (row["status"], row["ready"], row["crashes"]) == ("pending", True, 0)
    assert [claimed["id"] for claimed in await claim_with(worker)] == [run]
