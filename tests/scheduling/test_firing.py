"""A slot that has come becomes one firing, and a run or the reason why there is none."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from assistants.models import Assistant
from runs.models import Run
from scheduling.firing import fire_due
from scheduling.models import Firing, Schedule
from sessions.models import Session
from tests.runs.worker import Tenant
from tests.scheduling.hand import due_again, end_runs, make_schedule, outcomes, runs_of
from webhooks.models import Alert


def test_a_slot_that_has_come_starts_a_run(tenant: Tenant) -> None:
    schedule = make_schedule(tenant, metadata={"a": 1})
    assert fire_due() == 1
    (run,) = runs_of(schedule)
    (firing,) = Firing.objects.filter(schedule=schedule)
    assert (firing.slot, firing.outcome, firing.run_id) == (schedule.next_slot, "started", run.id)
    assert (run.status, run.metadata, run.payload.input) == ("pending", {"a": 1}, {"message": "hi"})
    after = Schedule.objects.get(id=schedule.id)
    assert after.next_slot == after.next_run_at == schedule.next_slot + timedelta(hours=1)
    assert after.last_run_at >= firing.slot


def test_it_is_fired_once(tenant: Tenant) -> None:
    schedule = make_schedule(tenant)
    assert [fire_due(), fire_due()] == [1, 0]
    assert outcomes(schedule) == ["started"]


def test_a_slot_that_has_its_firing_gets_no_second_one(tenant: Tenant) -> None:
    schedule = make_schedule(tenant, skip_if_running=False, max_active_runs=9)
    fire_due()
    Schedule.objects.filter(id=schedule.id).update(next_slot=schedule.next_slot, next_run_at=schedule.next_run_at)
    assert fire_due() == 0
    assert len(runs_of(schedule)) == 1
    assert Schedule.objects.get(id=schedule.id).next_slot > schedule.next_slot


@pytest.mark.parametrize("fields", [{"ago_s": -60}, {"enabled": False}])
def test_what_is_not_due_is_left_alone(tenant: Tenant, fields: dict[str, Any]) -> None:
    schedule = make_schedule(tenant, **fields)
    assert fire_due() == 0
    assert outcomes(schedule) == []


def test_each_run_has_a_session_of_its_own(tenant: Tenant) -> None:
    schedule = make_schedule(tenant)
    fire_due()
    end_runs(schedule)
    due_again(schedule)
    fire_due()
    assert len({run.session_id for run in runs_of(schedule)}) == 2


def test_a_fixed_session_gets_all_runs(tenant: Tenant) -> None:
    session = tenant.session()
    schedule = make_schedule(tenant, session_id=session)
    fire_due()
    assert [run.session_id for run in runs_of(schedule)] == [session]


def test_a_users_schedule_opens_the_users_sessions(tenant: Tenant) -> None:
    schedule = make_schedule(tenant, user_id="ada")
    fire_due()
    (run,) = runs_of(schedule)
    assert (run.user_id, run.session.user_id) == ("ada", "ada")


def test_a_users_schedule_does_not_reach_others_sessions(tenant: Tenant) -> None:
    schedule = make_schedule(tenant, user_id="ada", session_id=tenant.session())
    fire_due()
    assert Firing.objects.get(schedule=schedule).reason == "There is no such session."


def test_a_run_that_is_refused_leaves_the_reason_and_nothing_else(tenant: Tenant) -> None:
    Assistant.objects.filter(id=tenant.assistant).update(runs_per_day=1)
    tenant.run()
    schedule = make_schedule(tenant)
    fire_due()
    firing = Firing.objects.get(schedule=schedule)
    assert (firing.outcome, firing.run_id) == ("failed", None)
    assert firing.reason.startswith("The assistant takes 1 run a day")
    assert (Run.objects.count(), Session.objects.count()) == (1, 1)
    after = Schedule.objects.get(id=schedule.id)
    assert (after.last_status, after.consecutive_failures, after.last_run_at) == ("failed", 1, None)
    assert after.next_slot > schedule.next_slot
    assert firing.reason in Alert.objects.get(subject=schedule.id).message


def test_its_runs_have_its_webhook(tenant: Tenant, settings: Any) -> None:
    hook = {"url": "https://8.8.8.8/hook", "secret_env": None, "events": ["run.failed"]}
    schedules = [make_schedule(tenant, webhook=hook)]
    fire_due()
    settings.WEBHOOKS = False
    schedules.append(make_schedule(tenant, webhook=hook))
    fire_due()
    assert [run.webhook for schedule in schedules for run in runs_of(schedule)] == [hook, None]


def test_an_archived_assistant_says_so(tenant: Tenant) -> None:
    Assistant.objects.filter(id=tenant.assistant).update(status="archived")
    schedule = make_schedule(tenant)
    fire_due()
    assert Firing.objects.get(schedule=schedule).reason.startswith("The assistant is archived")


def test_its_runs_count_for_the_workspace(tenant: Tenant) -> None:
    workspace = Assistant.objects.get(id=tenant.assistant).workspace
    workspace.limits = {"runs_per_day": 1}
    workspace.save()
    schedules = [make_schedule(tenant, ago_s=2), make_schedule(tenant, ago_s=1)]
    fire_due()
    assert [outcomes(schedule) for schedule in schedules] == [["started"], ["failed"]]


def test_one_moment_is_fired_and_nothing_follows(tenant: Tenant) -> None:
    schedule = make_schedule(tenant)
    Schedule.objects.filter(id=schedule.id).update(interval_s=None, at=schedule.next_slot)
    fire_due()
    after = Schedule.objects.get(id=schedule.id)
    assert (outcomes(schedule), after.next_slot, after.next_run_at) == (["started"], None, None)


def test_nothing_follows_after_its_end(tenant: Tenant) -> None:
    schedule = make_schedule(tenant, end_time=timezone.now() + timedelta(minutes=1))
    fire_due()
    assert outcomes(schedule) == ["started"]
    assert Schedule.objects.get(id=schedule.id).next_run_at is None


def test_a_slot_begins_as_late_as_its_jitter_says(tenant: Tenant) -> None:
    schedule = make_schedule(tenant, ago_s=0, every_s=1_800, jitter_s=1_200)
    fire_due()
    after = Schedule.objects.get(id=schedule.id)
    # It was thought to be due, and its jitter is looked up then.
    assert (outcomes(schedule), after.next_slot) == ([], schedule.next_slot)
    assert after.next_slot < after.next_run_at < after.next_slot + timedelta(seconds=1_200)


def test_while_a_run_has_not_ended_the_next_is_skipped(tenant: Tenant) -> None:
    schedule = make_schedule(tenant)
    fire_due()
    due_again(schedule)
    fire_due()
    assert outcomes(schedule) == ["started", "skipped"]
    assert Firing.objects.get(schedule=schedule, outcome="skipped").reason == "The run before it has not ended."


def test_as_many_runs_as_it_may_have(tenant: Tenant) -> None:
    schedule = make_schedule(tenant, skip_if_running=False, max_active_runs=2)
    for _ in range(3):
        due_again(schedule)
        fire_due()
    assert outcomes(schedule) == ["started", "started", "skipped"]


def test_a_run_that_asks_a_person_has_not_ended(tenant: Tenant) -> None:
    schedule = make_schedule(tenant)
    fire_due()
    Run.objects.filter(schedule_id=schedule.id).update(status="interrupted", ready=False)
    due_again(schedule)
    fire_due()
    assert outcomes(schedule) == ["started", "skipped"]


def test_a_broken_schedule_keeps_no_other_from_firing(tenant: Tenant, caplog: pytest.LogCaptureFixture) -> None:
    before = timezone.now()
    broken = make_schedule(tenant, ago_s=2)
    Schedule.objects.filter(id=broken.id).update(interval_s=None, cron="* * * * *", timezone="Mars/Olympus_Mons")
    whole = make_schedule(tenant)
    assert fire_due() == 1
    assert outcomes(whole) == ["started"]
    assert str(broken.id) in caplog.text
    # It is tried again later, and not with each tick.
    assert Schedule.objects.get(id=broken.id).next_run_at >= before + timedelta(seconds=30)
