"""Whether runs are carried out at all is looked at, told once, and taken back when it is well again."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from core.clock import ClockTimestamp
from runs.models import Run, RunEvent, Worker
from runs.watching import Watch
from sessions.models import Session
from tests.api import Api
from tests.runs.worker import make_worker
from webhooks.kinds import Kind
from webhooks.models import Alert, Delivery, Endpoint, Event


def subscribe(api: Api, *kinds: str) -> Endpoint:
    return Endpoint.objects.create(
        workspace=api.workspace,
        name="ours",
        url="https://ours.test",
        events=list(kinds),
        sealed_secret=b"",
        created_by="x",
    )


def open_alerts() -> list[tuple[str, UUID | None]]:
    return list(Alert.objects.filter(resolved_at=None).values_list("kind", "workspace_id"))


def waiting(api: Api, seconds: float = 301, *, session: str | None = None, **changes: Any) -> str:
    """A run that has been waiting for so long."""
    run = api.run(session)
    age(run, seconds, **changes)
    return run


def age(run: str, seconds: float, **changes: Any) -> None:
    then = ClockTimestamp() - timedelta(seconds=seconds)
    Run.objects.filter(id=run).update(**{"created_at": then, "queued_at": then, **changes})
    RunEvent.objects.filter(run_id=run).update(ts=then)


def look(watch: Watch | None = None, times: int = 2) -> None:
    watch = watch or Watch()
    for _ in range(times):
        watch.look(0)


@pytest.fixture
def worker(db: None) -> UUID:
    return make_worker()


# -- workers -----------------------------------------------------------------------------------------------------------


def test_no_worker_for_a_minute_is_told_to_everybody_who_listens(api: Api, stranger: Api) -> None:
    endpoints = [
        subscribe(api, "workers.missing"),
        subscribe(api, "workers.missing"),
        subscribe(stranger, "workers.missing"),
    ]
    subscribe(stranger, "queue.stuck")
    watch = Watch()
    assert [watch.look(now) for now in (100, 159, 160, 300)] == [False] * 4
    assert open_alerts() == [(Kind.WORKERS_MISSING, None)]
    told = Delivery.objects.filter(kind=Kind.WORKERS_MISSING, status="pending")
    assert {delivery.endpoint_id for delivery in told} == {endpoint.id for endpoint in endpoints}
    assert all(delivery.workspace_id == delivery.event.workspace_id for delivery in told.select_related("event"))
    assert {event.workspace_id for event in Event.objects.all()} == {api.workspace.id, stranger.workspace.id}
    assert Event.objects.all()[0].data["missing_s"] == 60


def test_a_restart_raises_nothing(api: Api) -> None:
    watch = Watch()
    watch.look(0)
    worker = make_worker()
    assert watch.look(10)
    Worker.objects.filter(id=worker).delete()
    watch.look(20)
    watch.look(79)
    assert open_alerts() == []
    watch.look(80)
    assert open_alerts() == [(Kind.WORKERS_MISSING, None)]


@pytest.mark.parametrize("gone", [{"state": "lost"}, {"lease_expires_at": ClockTimestamp() - timedelta(seconds=1)}])
def test_a_row_of_one_that_is_gone_is_no_worker(worker: UUID, gone: dict[str, Any]) -> None:
    Worker.objects.update(**gone)
    assert not Watch().look(0)


def test_a_worker_that_is_back_closes_it(api: Api) -> None:
    watch = Watch()
    watch.look(0)
    watch.look(60)
    make_worker()
    assert watch.look(61)
    assert open_alerts() == []
    assert Alert.objects.count() == 1


def test_two_beats_tell_it_once(api: Api) -> None:
    subscribe(api, "workers.missing")
    for watch in (Watch(), Watch()):
        watch.look(0)
        watch.look(60)
    assert (Alert.objects.count(), Delivery.objects.count()) == (1, 1)


def test_zero_seconds_look_for_nothing(api: Api, settings: Settings) -> None:
    settings.MISSING_WORKERS_S = settings.STUCK_QUEUE_S = 0
    watch = Watch()
    watch.look(0)
    watch.look(9_999)
    make_worker()
    waiting(api, 9_999)
    look(watch)
    assert not Alert.objects.exists()


# -- queues ------------------------------------------------------------------------------------------------------------


def test_a_run_that_could_begin_and_does_not_is_told(api: Api, stranger: Api, worker: UUID) -> None:
    subscribe(api, "queue.stuck")
    subscribe(stranger, "queue.stuck")
    run = waiting(api)
    waiting(stranger, 200)
    look()
    assert open_alerts() == [(Kind.QUEUE_STUCK, api.workspace.id)]
    event = Event.objects.get()
    assert (event.workspace_id, event.data["run_id"], event.data["free_slots"]) == (api.workspace.id, run, 10)
    assert 301 <= event.data["waited_s"] < 330


def test_one_look_is_not_enough_where_slots_are_free(api: Api, worker: UUID) -> None:
    watch = Watch()
    first = waiting(api)
    look(watch, 1)
    Run.objects.filter(id=first).update(status="running", ready=False, lease_owner=worker)
    waiting(api)
    look(watch, 1)
    assert open_alerts() == []
    look(watch, 1)
    assert open_alerts() == [(Kind.QUEUE_STUCK, api.workspace.id)]


def test_where_all_slots_are_in_use_a_queue_that_moves_too_slowly_is_told(api: Api, worker: UUID) -> None:
    Worker.objects.update(used=10)
    watch = Watch()
    first = waiting(api)
    look(watch, 1)
    Run.objects.filter(id=first).update(status="running", ready=False, lease_owner=worker)
    waiting(api)
    look(watch, 1)
    assert "all slots" in Alert.objects.get().message


def test_labels_that_no_worker_has_are_named(api: Api, worker: UUID) -> None:
    assistant = api.assistant(resources={"labels": ["gpu"]})
    waiting(api, session=api.session(assistant))
    look()
    assert "no worker is alive that takes ReactAgent with the labels gpu" in Alert.objects.get().message


def test_while_no_worker_is_alive_the_queue_is_not_to_blame(api: Api) -> None:
    waiting(api)
    look()
    assert open_alerts() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"next_attempt_at": ClockTimestamp() + timedelta(seconds=9)},
        {"next_attempt_at": ClockTimestamp() - timedelta(seconds=9)},
        {"ready": False},
        {"queued_at": ClockTimestamp() - timedelta(seconds=9)},
    ],
    ids=["not due", "due for a moment", "not its turn", "resumed"],
)
def test_what_cannot_begin_or_could_not_for_long_is_not_stuck(api: Api, worker: UUID, changes: dict[str, Any]) -> None:
    waiting(api, **changes)
    api.run()
    look()
    assert open_alerts() == []


def test_the_assistants_cap_holds_its_runs_back(api: Api, worker: UUID) -> None:
    assistant = api.assistant(max_concurrent_runs=1)
    running = api.run(api.session(assistant))
    Run.objects.filter(id=running).update(status="running", ready=False, lease_owner=worker)
    waiting(api, session=api.session(assistant))
    look()
    assert open_alerts() == []


def test_a_run_waits_from_the_end_of_the_one_before_it(api: Api, worker: UUID) -> None:
    session = api.session()
    before, run = api.run(session), api.run(session)
    Run.objects.filter(id=before).update(status="success", ready=False, finished_at=ClockTimestamp())
    Session.objects.filter(id=session).update(head_run_id=run)
    age(run, 301, ready=True)
    look()
    assert open_alerts() == []


def test_a_run_that_was_handed_back_waits_from_then_on(api: Api, worker: UUID) -> None:
    run = waiting(api, last_seq=7)
    RunEvent.objects.create(run_id=run, seq=7, event="status", data={}, ts=ClockTimestamp())
    look()
    assert open_alerts() == []


def test_a_queue_that_moves_again_closes_it_and_one_that_is_still_slow_does_not(api: Api, worker: UUID) -> None:
    run = waiting(api)
    look()
    age(run, 200)
    look()
    assert len(open_alerts()) == 1
    age(run, 100)
    look()
    assert open_alerts() == []


def test_it_is_told_again_when_it_happens_again(api: Api, worker: UUID) -> None:
    subscribe(api, "queue.stuck")
    run = waiting(api)
    watch = Watch()
    look(watch, 5)
    assert Delivery.objects.count() == 1
    Run.objects.filter(id=run).update(ready=False)
    look(watch)
    Run.objects.filter(id=run).update(ready=True)
    look(watch)
    assert (Alert.objects.count(), Delivery.objects.count()) == (2, 2)


def test_a_look_at_what_is_well_costs_four_statements(
    api: Api, worker: UUID, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        api.run()
    with django_assert_num_queries(4):
        Watch().look(0)
