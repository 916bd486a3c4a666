"""Notices: what concerns a worker is looked at now, and not at its next round."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from core.ids import new_id
from core.redis import client
from runs.accepting import create_run
from runs.announce import tell_accepted
from runs.bodies import CreateRun
from runs.models import Run
from runs.notices import Notice, Process, channel, stop_now, tell_of_death
from runs.services import cancel_run
from runs.worker import rescue
from runs.worker import runner as worker
from runs.worker.presence import Presence
from runs.worker.runner import Runner
from tests.api import HELLO, Api
from tests.runs.worker import Tenant, claim_with, in_thread, one, until

LONG = {"provider": "fake", "model": "script", "settings": {"turns": [{"text": "one two", "delay_ms": 60_000}]}}
STATUS = "SELECT status FROM runs WHERE id = %(run)s"


@pytest.fixture
async def tenant(runner: Runner) -> Tenant:
    return await in_thread(lambda: Tenant.make(llm=LONG))


async def status(run: UUID) -> str:
    return str((await one(STATUS, run=run))["status"])


async def started(tenant: Tenant, runner: Runner, session: UUID | None = None) -> UUID:
    run = await in_thread(lambda: tenant.run(session))
    runner.wake()

    async def begun() -> bool:
        return str(run) in runner._executions

    # The row says so a moment before the worker has begun.
    await until(begun, True)
    await until(lambda: status(run), "running")
    return run


async def test_a_run_that_is_cancelled_is_stopped_at_once(tenant: Tenant, runner: Runner) -> None:
    run = await started(tenant, runner)
    await cancel_run(tenant.identity, run).arun()
    await asyncio.to_thread(stop_now, [run])
    await until(lambda: status(run), "cancelled")


async def test_so_is_one_that_a_newer_run_takes_the_place_of(tenant: Tenant, runner: Runner) -> None:
    session = await in_thread(tenant.session)
    run = await started(tenant, runner, session)
    body = CreateRun(input={"message": "hi"}, multitask_strategy="interrupt")
    await tell_accepted(await create_run(tenant.identity, session, body, new_id()).arun())
    await until(lambda: status(run), "cancelled")


async def test_one_that_was_claimed_a_moment_ago_is_looked_for_again(tenant: Tenant, runner: Runner) -> None:
    run = await started(tenant, runner)
    await cancel_run(tenant.identity, run).arun()
    begun = runner._executions.pop(str(run))
    runner._asked_to_stop.set()
    await asyncio.sleep(worker.STARTING_S)
    runner._executions[str(run)] = begun
    await until(lambda: status(run), "cancelled")


async def test_what_is_not_a_notice_is_passed_over(tenant: Tenant, runner: Runner) -> None:
    run = await started(tenant, runner)
    await cancel_run(tenant.identity, run).arun()
    for nonsense in (b"", b"[]", b"{}", b'{"stop": 1, "died": null}', b'{"stop": [], "died": 7}'):
        client().publish(channel(), nonsense)
    assert await status(run) == "running"
    await asyncio.to_thread(stop_now, [run])
    await until(lambda: status(run), "cancelled")


# -- a death ---------------------------------------------------------------------------------------------------------

HERE = Process(socket.gethostname(), os.getpid())


@pytest.fixture
async def presence(runner: Runner, settings: Settings) -> Presence:
    """Another worker of this process, on a PostgreSQL that started longer ago than a lease."""
    settings.RUNNER_LEASE_S = 3
    presence = Presence(slots=1, on_beat=lambda *_: None, on_lost=lambda: None)
    await in_thread(presence.start)
    await until(lambda: one("SELECT pg_postmaster_start_time() < now() - interval '3 s' AS old"), {"old": True})
    return presence


@pytest.fixture
async def held(presence: Presence) -> UUID:
    """Its run."""
    tenant = await in_thread(Tenant.make)
    run = await in_thread(tenant.run)
    assert len(await claim_with(presence.id)) == 1
    return run


async def end(presence: Presence) -> None:
    """What a kill leaves: the row stays because of the run, and the lock is free."""
    await in_thread(presence.stop)


async def test_one_look_is_enough_where_the_supervisor_saw_it_end(presence: Presence, held: UUID) -> None:
    await end(presence)
    assert [row["id"] for row in await rescue.rescue_at_once(HERE)] == [held]
    assert await rescue.rescue_at_once(HERE) == []


async def test_a_lock_that_is_freed_a_moment_later_is_waited_for(presence: Presence, held: UUID) -> None:
    rescuing = asyncio.create_task(rescue.rescue_at_once(HERE))
    await asyncio.sleep(2 * rescue.FREED_S)
    await end(presence)
    assert [row["id"] for row in await rescuing] == [held]


async def test_who_still_holds_its_lock_is_left_alone(
    presence: Presence, held: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescue, "FREED_LOOKS", 3)
    assert await rescue.rescue_at_once(HERE) == []
    assert await status(held) == "running"
    await end(presence)


@pytest.mark.parametrize("other", [Process("elsewhere", HERE.pid), Process(HERE.host, 1)])
async def test_a_death_elsewhere_says_nothing_of_this_one(presence: Presence, held: UUID, other: Process) -> None:
    await end(presence)
    assert await rescue.rescue_at_once(other) == []
    assert await status(held) == "running"


async def test_the_others_go_on_when_they_are_told(presence: Presence, held: UUID, settings: Settings) -> None:
    await end(presence)
    await asyncio.to_thread(tell_of_death, settings.REDIS_URL, HERE)
    await until(lambda: status(held), "success")


# -- who tells -------------------------------------------------------------------------------------------------------


@pytest.fixture
def told(db: None) -> Any:
    """What has been told since the last time of asking."""
    listening = client().pubsub(ignore_subscribe_messages=True)
    listening.subscribe(channel())
    listening.get_message(timeout=5)

    def ask() -> list[frozenset[str]]:
        found = []
        while message := listening.get_message(timeout=0.2):
            found.append(Notice.parse(message["data"]).stop)
        return found

    yield ask
    listening.close()


def _at_work(api: Api) -> tuple[str, str]:
    """A session and its run, which some worker carries out."""
    session = api.session()
    run = api.run(session)
    Run.objects.filter(id=run).update(status="running", lease_owner=new_id(), ready=False)
    return session, run


Act = Callable[[Api, str, str], Any]
ACTS: dict[str, Act] = {
    "cancel": lambda api, session, run: api.post(f"/runs/{run}/cancel"),
    "cancel all": lambda api, session, run: api.post("/runs/cancel", {"status": "running"}),
    "cancel these": lambda api, session, run: api.post("/runs/cancel", {"ids": [run]}),
    "close": lambda api, session, run: api.post(f"/sessions/{session}/close"),
    "interrupt": lambda api, session, run: api.run(session, multitask_strategy="interrupt"),
    "rollback": lambda api, session, run: api.run(session, multitask_strategy="rollback"),
    "batch": lambda api, session, run: api.post(
        "/runs/batch", {"runs": [{"session_id": session, "multitask_strategy": "interrupt", **HELLO}]}
    ),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_whoever_asks_a_run_to_stop_tells_it_after_the_commit(
    api: Api, told: Any, act: Act, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    session, run = _at_work(api)
    with django_capture_on_commit_callbacks(execute=True):
        act(api, session, run)
        assert told() == []
    assert [len(notice & {session, run}) for notice in told()] == [1]


def test_a_run_that_only_waits_its_turn_is_no_news(
    api: Api, told: Any, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    session, _ = _at_work(api)
    with django_capture_on_commit_callbacks(execute=True):
        waiting = api.run(session)
        api.post(f"/runs/{waiting}/cancel")
    assert told() == []
