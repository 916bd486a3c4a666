"""Sessions that nobody has used for long keep what was said and where they stand, and lose how it came about."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from runs.documents import run_document
from runs.ending import take_out
from runs.models import Run, RunEvent, RunResult
from runs.pruning import prune_idle_sessions
from runs.queries import get_run
from runs.tasks import prune_idle
from runs.worker.runner import Runner
from sessions.models import Checkpoint, Message, Session
from sessions.queries import values_at
from tests.api import Api
from tests.runs.conftest import make_session  # noqa: F401
from tests.runs.worker import Tenant, in_thread, one, until
from tests.sessions.test_api_fork import KNOWN, steps_in
from tests.sse import Event, assert_contiguous

DAYS = 30


def leave(session: str | UUID, days_ago: int = DAYS + 1) -> None:
    Session.objects.filter(id=session).update(last_activity_at=timezone.now() - timedelta(days=days_ago))


def used(api: Api, days_ago: int = DAYS + 1) -> str:
    """A session of four checkpoints that was used so long ago."""
    session = api.session()
    steps_in(session)
    leave(session, days_ago)
    return session


def stands(api: Api, session: str) -> list[Any]:
    return [api.get(f"/sessions/{session}{rest}").json() for rest in ("", "/state", "/messages")]


def kept(session: str) -> list[int]:
    return list(Checkpoint.objects.filter(session_id=session).values_list("step", flat=True))


def test_the_latest_checkpoint_holds_all_that_the_session_stands_at(api: Api) -> None:
    session = used(api)
    before = stands(api, session)
    assert prune_idle_sessions(DAYS) == 1
    assert stands(api, session) == before
    (checkpoint,) = api.items(f"/sessions/{session}/checkpoints")
    assert (checkpoint["step"], checkpoint["parent_id"]) == (4, None)
    assert values_at(UUID(checkpoint["id"])).run() == {"metadata": KNOWN, "todos": [], "mood": "good"}
    assert api.get(f"/sessions/{session}/checkpoints/{checkpoint['id']}").json()["state"] == before[1]
    forked = api.post(f"/sessions/{session}/fork").json()["id"]
    assert api.get(f"/sessions/{forked}/state").json()["todos"] == before[1]["todos"]


def test_what_was_said_on_a_line_that_the_session_left_goes(api: Api) -> None:
    session = used(api)
    said = Message.objects.filter(session_id=session)
    current = set(said.values_list("id", flat=True))
    Message.objects.create(session_id=session, seq=2, step=2, dropped_at_step=3, role="assistant", content="left")
    prune_idle_sessions(DAYS)
    assert set(said.values_list("id", flat=True)) == current


def test_what_was_used_lately_and_what_is_not_over_stay_whole(api: Api) -> None:
    lately, busy = used(api, DAYS - 1), used(api)
    api.run(busy)
    leave(busy)
    assert prune_idle_sessions(DAYS) == 0
    assert [kept(lately), kept(busy)] == [[4, 3, 2, 1]] * 2


def test_again_it_finds_nothing_until_the_session_has_gone_on(api: Api) -> None:
    session = used(api)
    assert [prune_idle_sessions(DAYS), prune_idle_sessions(DAYS)] == [1, 0]
    base = Checkpoint.objects.get(session_id=session)
    newer = Checkpoint.objects.create(
        session_id=session, parent=base, step=5, source="model", message_count=5, changes={"mood": "better"}
    )
    state = {"todos": [], "mood": "better"}
    Session.objects.filter(id=session).update(step=5, checkpoint_id=newer.id, state=state)
    assert prune_idle_sessions(DAYS) == 1
    assert Checkpoint.objects.get(session_id=session).changes == state


def test_it_is_bounded(api: Api) -> None:
    for _ in range(5):
        used(api)
    assert prune_idle_sessions(DAYS, batch=2, most=3) == 3
    assert prune_idle_sessions(DAYS, batch=2) == 2


def test_a_session_that_somebody_has_locked_is_left_for_the_next_time(transactional_db: None, api: Api) -> None:
    locked, free = used(api), used(api)

    def prune() -> int:
        try:
            return prune_idle_sessions(DAYS)
        finally:
            connection.close()

    with transaction.atomic(), ThreadPoolExecutor(1) as thread:
        list(Session.objects.select_for_update().filter(id=locked))
        assert thread.submit(prune).result(timeout=10) == 1
    assert [kept(locked), kept(free)] == [[4, 3, 2, 1], [4]]


def test_nothing_is_thinned_unless_a_number_of_days_is_set(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    session = used(api, 10_000)
    prune_idle()
    assert kept(session) == [4, 3, 2, 1]
    monkeypatch.setattr(settings, "KEEP_LATEST_DAYS", DAYS)
    prune_idle()
    assert kept(session) == [4]


# -- with real runs --------------------------------------------------------------------------------------------------


async def carried_out(tenant: Tenant, runner: Runner, session: UUID) -> UUID:
    run = await in_thread(tenant.run, session)
    runner.wake()
    await until(lambda: one("SELECT status FROM runs WHERE id = %(run)s", run=run), {"status": "success"})
    return run


def told(run: UUID) -> list[Event]:
    return [Event(f"1-{row.seq}", row.event, row.data) for row in RunEvent.objects.filter(run_id=run)]


async def test_a_run_keeps_its_end_and_its_numbers_have_no_gap(runner: Runner) -> None:
    tenant = await in_thread(Tenant.make)
    session = await in_thread(tenant.session)
    run = await carried_out(tenant, runner, session)
    before, document = await in_thread(told, run), run_document(await get_run(tenant.identity, run).arun())
    await in_thread(lambda: RunResult.objects.create(run_id=run, key="task", value=1))
    await in_thread(leave, session)
    assert await in_thread(prune_idle_sessions, DAYS) == 1
    cover, end = after = await in_thread(told, run)
    assert (end, cover.event, cover.seq) == (before[-1], "superseded", len(before) - 1)
    assert cover.data == {"from_seq": 1, "to_seq": len(before) - 2, "reason": "pruned"}
    assert not await in_thread(RunResult.objects.exists)
    # Whoever comes back after any event finds no gap, one that is gone included.
    for seen in range(1, len(before)):
        assert_contiguous([*before[:seen], *(event for event in after if event.seq > seen)])
    assert run_document(await get_run(tenant.identity, run).arun()) == document


async def test_the_session_goes_on_and_can_go_back_to_where_it_stood(runner: Runner) -> None:
    tenant = await in_thread(Tenant.make)
    session = await in_thread(tenant.session)
    for _ in range(2):
        await carried_out(tenant, runner, session)
    await in_thread(leave, session)
    assert await in_thread(prune_idle_sessions, DAYS) == 1

    def place() -> dict[str, Any]:
        return Session.objects.values("state", "message_count", "step", "checkpoint_id").get(id=session)

    stood = await in_thread(place)
    later = await carried_out(tenant, runner, session)
    assert (await in_thread(place))["message_count"] == stood["message_count"] + 2
    await in_thread(take_back, later)
    assert await in_thread(place) == stood


def take_back(run: UUID) -> None:
    Run.objects.filter(id=run).update(rollback=True)
    query = take_out([run])
    with connection.cursor() as cursor:
        cursor.execute(query.sql, query.params)
