"""How runs of schedules end is counted, and told once."""

from typing import Any

import pytest

from runs.models import Run
from scheduling.firing import fire_due, start_now
from scheduling.models import Firing, Schedule
from scheduling.settling import settle
from scheduling.tasks import forget
from tests.runs.worker import Tenant
from tests.scheduling.hand import due_again, end_run, end_runs, make_schedule, runs_of
from webhooks.models import Alert, Endpoint, Event

BROKE = {"type": "ToolError", "code": "tool", "message": "It broke.", "retryable": False}


def ran(schedule: Schedule, *statuses: str) -> Schedule:
    """One run after another, which ended so; gives the schedule after that."""
    for status in statuses:
        due_again(schedule)
        fire_due()
        end_runs(schedule, status)
        settle()
    return Schedule.objects.get(id=schedule.id)


@pytest.fixture
def schedule(tenant: Tenant) -> Schedule:
    return make_schedule(tenant, alert_after=2)


def listen(tenant: Tenant) -> None:
    Endpoint.objects.create(
        workspace_id=tenant.identity.workspace_id,
        name="ops",
        url="https://example.com",
        events=["schedule.failed"],
        sealed_secret=b"-",
        created_by="key:test",
    )


def test_an_end_is_kept_with_its_firing(schedule: Schedule) -> None:
    after = ran(schedule, "success")
    firing = Firing.objects.get(schedule=schedule)
    assert (firing.run_status, firing.settled) == ("success", True)
    assert (after.last_status, after.consecutive_failures) == ("success", 0)


def test_while_it_has_not_ended_nothing_is_counted(schedule: Schedule) -> None:
    fire_due()
    assert settle() == 0
    assert Schedule.objects.get(id=schedule.id).last_status is None


def test_it_is_counted_once(schedule: Schedule) -> None:
    assert ran(schedule, "error").consecutive_failures == 1
    assert settle() == 0


@pytest.mark.parametrize(
    ("statuses", "failures"),
    [
        (("error", "timeout"), 2),
        (("error", "cancelled", "error"), 2),
        (("error", "success"), 0),
        (("error", "success", "error"), 1),
        (("cancelled",), 0),
    ],
)
def test_failures_in_a_row(schedule: Schedule, statuses: tuple[str, ...], failures: int) -> None:
    assert ran(schedule, *statuses).consecutive_failures == failures


def test_ends_are_counted_in_their_order(tenant: Tenant) -> None:
    schedule = make_schedule(tenant, skip_if_running=False, max_active_runs=2)
    for _ in range(2):
        due_again(schedule)
        fire_due()
    first, second = runs_of(schedule)
    end_run(second.id, "success")
    end_run(first.id, "error", BROKE)
    assert settle() == 2
    after = Schedule.objects.get(id=schedule.id)
    assert (after.last_status, after.consecutive_failures) == ("error", 1)


def test_a_run_that_is_deleted_counts_as_nothing(schedule: Schedule) -> None:
    fire_due()
    Run.objects.get(schedule_id=schedule.id).delete()
    assert settle() == 1
    after = Schedule.objects.get(id=schedule.id)
    assert (after.last_status, after.consecutive_failures) == (None, 0)


def test_a_streak_is_told_once(tenant: Tenant, schedule: Schedule) -> None:
    listen(tenant)
    ran(schedule, "error")
    assert (Alert.objects.count(), Event.objects.count()) == (0, 0)
    ran(schedule, "error", "error", "error")
    assert (Alert.objects.count(), Event.objects.count()) == (1, 1)
    alert = Alert.objects.get()
    assert (alert.kind, alert.subject, alert.resolved_at) == ("schedule.failed", str(schedule.id), None)
    assert alert.message == f"The schedule {schedule.name!r} failed 2 times in a row: error"


def test_a_success_ends_the_streak_and_the_next_one_is_told_again(tenant: Tenant, schedule: Schedule) -> None:
    listen(tenant)
    ran(schedule, "error", "error", "success")
    assert Alert.objects.get().resolved_at is not None
    ran(schedule, "error", "timeout")
    assert (Alert.objects.count(), Event.objects.count()) == (2, 2)


def test_with_its_assistant_its_alert_goes_too(tenant: Tenant, schedule: Schedule) -> None:
    ran(schedule, "error", "error")
    other = ran(make_schedule(tenant), "error")
    Schedule.objects.get(id=schedule.id).delete()
    forget()
    assert [str(alert.subject) for alert in Alert.objects.filter(resolved_at=None)] == [str(other.id)]


def test_what_is_told(tenant: Tenant) -> None:
    listen(tenant)
    schedule = make_schedule(tenant)
    fire_due()
    (run,) = runs_of(schedule)
    end_run(run.id, "error", BROKE)
    settle()
    told: dict[str, Any] = Event.objects.get().data
    assert told["schedule"] == {
        "id": str(schedule.id),
        "name": schedule.name,
        "assistant_id": str(schedule.assistant_id),
        "alert_after": 1,
        "consecutive_failures": 1,
    }
    assert told["run"] == {"id": str(run.id), "session_id": str(run.session_id), "status": "error", "error": BROKE}
    assert (told["firing"]["run_id"], told["firing"]["run_status"]) == (str(run.id), "error")
    assert Alert.objects.get().message.endswith(": It broke.")


def test_a_run_by_hand_counts_too(tenant: Tenant, schedule: Schedule) -> None:
    start_now(tenant.identity, schedule.id)
    end_runs(schedule, "error")
    settle()
    assert Schedule.objects.get(id=schedule.id).consecutive_failures == 1
