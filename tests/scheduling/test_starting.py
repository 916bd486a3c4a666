"""A schedule's run that somebody, or another clock, asks for."""

from dataclasses import replace
from uuid import UUID

import pytest

from accounts.idempotency import Once, Replayed
from accounts.limits import Holder, Limits
from accounts.models import AuditEntry
from assistants.models import Assistant
from core.errors import AssistantNotActive, NotFound, QuotaExceeded
from core.ids import new_id
from scheduling.firing import fire_due, start_now
from scheduling.models import Firing, Schedule
from scheduling.tasks import start
from tests.runs.worker import Tenant
from tests.scheduling.hand import make_schedule, outcomes, runs_of


@pytest.fixture
def schedule(tenant: Tenant) -> Schedule:
    return make_schedule(tenant, ago_s=-600)


def test_it_starts_at_once_and_its_slots_stay(tenant: Tenant, schedule: Schedule) -> None:
    firing = start_now(tenant.identity, schedule.id)
    (run,) = runs_of(schedule)
    assert (firing["slot"], firing["outcome"], firing["run_id"]) == (None, "started", run.id)
    after = Schedule.objects.get(id=schedule.id)
    assert (after.next_slot, after.next_run_at) == (schedule.next_slot, schedule.next_run_at)
    assert after.last_run_at is not None
    entry = AuditEntry.objects.get(action="triggered")
    assert (entry.subject_id, entry.details["run_id"]) == (schedule.id, str(run.id))


def test_paused_and_with_a_run_that_has_not_ended_too(tenant: Tenant, schedule: Schedule) -> None:
    Schedule.objects.filter(id=schedule.id).update(enabled=False)
    for _ in range(2):
        start_now(tenant.identity, schedule.id)
    assert outcomes(schedule) == ["started", "started"]


def test_what_refuses_the_run_is_said(tenant: Tenant, schedule: Schedule) -> None:
    Assistant.objects.filter(id=tenant.assistant).update(status="archived")
    with pytest.raises(AssistantNotActive):
        start_now(tenant.identity, schedule.id)
    assert (outcomes(schedule), AuditEntry.objects.filter(action="triggered").count()) == ([], 0)


def test_it_counts_for_the_callers_key(tenant: Tenant, schedule: Schedule) -> None:
    key = Holder("key", new_id(), Limits(runs_per_day=1))
    limited = replace(tenant.identity, api_key_id=key.id, limits=(key,))
    start_now(limited, schedule.id)
    with pytest.raises(QuotaExceeded):
        start_now(limited, schedule.id)


def test_a_request_that_is_sent_again_starts_nothing(tenant: Tenant, schedule: Schedule) -> None:
    once = Once(tenant.identity.workspace_id, "", "POST", "/there", "k", "digest")
    firing = start_now(tenant.identity, schedule.id, once)
    with pytest.raises(Replayed) as replayed:
        start_now(tenant.identity, schedule.id, once)
    assert replayed.value.resource_id == firing["id"]
    assert len(runs_of(schedule)) == 1


def test_only_a_schedule_that_the_caller_sees(tenant: Tenant, schedule: Schedule) -> None:
    stranger = Tenant.make("stranger")
    bound = replace(tenant.identity, user_id="ada")
    for identity in (stranger.identity, bound):
        with pytest.raises(NotFound):
            start_now(identity, schedule.id)
    with pytest.raises(NotFound):
        start_now(tenant.identity, new_id())


# -- a periodic task of an operator's own ------------------------------------------------------------------------------


def test_another_clock_starts_it_paused_or_not(schedule: Schedule) -> None:
    Schedule.objects.filter(id=schedule.id).update(enabled=False)
    start.apply_async(kwargs={"schedule_id": str(schedule.id)})
    assert outcomes(schedule) == ["started"]


def test_it_is_a_slot_otherwise(tenant: Tenant, schedule: Schedule) -> None:
    start.apply_async(kwargs={"schedule_id": str(schedule.id)})
    start.apply_async(kwargs={"schedule_id": str(schedule.id)})
    assert outcomes(schedule) == ["started", "skipped"]
    Assistant.objects.filter(id=tenant.assistant).update(status="archived")
    other = make_schedule(tenant, ago_s=-600)
    start.apply_async(kwargs={"schedule_id": str(other.id)})
    assert Firing.objects.get(schedule=other).reason.startswith("The assistant is archived")
    assert Schedule.objects.get(id=other.id).consecutive_failures == 1


@pytest.mark.parametrize("unknown", [str(UUID(int=7)), "none"])
def test_a_schedule_that_is_not_there_is_said_in_the_log(
    db: None, unknown: str, caplog: pytest.LogCaptureFixture
) -> None:
    start.apply_async(kwargs={"schedule_id": unknown})
    assert unknown in caplog.text


def test_its_own_slots_go_on(schedule: Schedule) -> None:
    start.apply_async(kwargs={"schedule_id": str(schedule.id)})
    after = Schedule.objects.get(id=schedule.id)
    assert after.next_slot == schedule.next_slot
    assert fire_due() == 0
