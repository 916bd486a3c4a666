"""`after_seconds`: a run that starts not before its time."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from runs.models import Run
from runs.services import cancel_run
from tests.api import Api, assert_refused
from tests.runs.conftest import make_session
from tests.runs.worker import Tenant, claim_with, in_thread, make_worker, rows
from tests.servers import Server


async def _comes_due(run: UUID) -> None:
    await rows(
        "UPDATE runs SET next_attempt_at = clock_timestamp(), queued_at = clock_timestamp() "
        "WHERE id = %(run)s RETURNING id",
        run=run,
    )


async def test_it_is_claimed_when_its_time_has_come(tenant: Tenant, async_pool: None) -> None:
    worker = await in_thread(make_worker)
    run = await in_thread(lambda: tenant.run(after_seconds=60))
    assert await claim_with(worker) == []
    await _comes_due(run)
    assert [row["id"] for row in await claim_with(worker)] == [run]


async def test_it_keeps_its_place_in_the_session(tenant: Tenant, async_pool: None) -> None:
    worker, session = await in_thread(make_worker), await in_thread(tenant.session)
    late = await in_thread(lambda: tenant.run(session, after_seconds=60))
    behind = await in_thread(tenant.run, session)
    assert await claim_with(worker) == []
    await cancel_run(tenant.identity, late).arun()
    assert [row["id"] for row in await claim_with(worker)] == [behind]


async def test_it_waits_for_its_turn_and_for_its_time(tenant: Tenant, async_pool: None) -> None:
    worker, session = await in_thread(make_worker), await in_thread(tenant.session)
    first = await in_thread(tenant.run, session)
    late = await in_thread(lambda: tenant.run(session, after_seconds=60))
    await cancel_run(tenant.identity, first).arun()
    assert await claim_with(worker) == []
    await _comes_due(late)
    assert [row["id"] for row in await claim_with(worker)] == [late]


def test_the_answer_says_when(api: Api) -> None:
    body = {"input": {"message": "hi"}, "after_seconds": 60, "queue_timeout_s": 5}
    run = api.post(f"/sessions/{api.session()}/runs", body).json()
    row = Run.objects.get(id=run["id"])
    assert run["status"] == "pending"
    assert row.next_attempt_at is not None
    assert row.next_attempt_at - row.created_at >= timedelta(seconds=59)
    assert row.queue_deadline_at == row.next_attempt_at + timedelta(seconds=5)


def test_zero_is_now(api: Api) -> None:
    assert Run.objects.get(id=api.run(after_seconds=0)).next_attempt_at is None


@pytest.mark.parametrize("seconds", [-1, 30 * 86_400 + 1, "5", True])
def test_a_time_that_cannot_be_is_refused(api: Api, seconds: Any) -> None:
    body = {"input": {"message": "hi"}, "after_seconds": seconds}
    assert_refused(api.post(f"/sessions/{api.session()}/runs", body), 422, "invalid", "after_seconds")
    assert not Run.objects.exists()


@pytest.mark.servers
def test_a_worker_finds_it_by_itself(server: Server) -> None:
    body = {"input": {"message": "later"}, "after_seconds": 0.5}
    run = server.client.post(f"/sessions/{make_session(server)}/runs/wait", json=body).json()
    assert (run["status"], run["output"]["text"]) == ("success", "later")
    assert run["started_at"] >= run["queued_at"]
