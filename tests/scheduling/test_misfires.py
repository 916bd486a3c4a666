"""Nobody looked for a while: what becomes of the slots that came meanwhile."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from scheduling import firing
from scheduling.due import Due, reckon
from scheduling.firing import fire_due
from scheduling.models import Firing, Schedule
from scheduling.timing import delay_s
from tests.runs.worker import Tenant
from tests.scheduling.hand import HOUR, due_again, end_runs, make_schedule, outcomes, runs_of

SEVERAL = {"skip_if_running": False, "max_active_runs": 1_000}


def after_ten_minutes(tenant: Tenant, misfire: str, **fields: Any) -> Schedule:
    """A slot every two minutes, of which five came and none is in time; the next is to come in some while."""
    return make_schedule(tenant, ago_s=545, every_s=120, misfire=misfire, **fields)


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("skip", ["missed"] * 5),
        ("once", ["missed"] * 4 + ["started"]),
        ("all", ["started"] * 5),
    ],
)
def test_the_rule_says_what_is_made_up_for(tenant: Tenant, misfire: str, expected: list[str]) -> None:
    schedule = after_ten_minutes(tenant, misfire, **SEVERAL)
    assert fire_due() == 5
    assert outcomes(schedule) == expected
    assert Schedule.objects.get(id=schedule.id).next_slot == schedule.next_slot + timedelta(minutes=10)
    assert fire_due() == 0


@pytest.mark.parametrize("misfire", ["skip", "once"])
def test_the_slot_that_is_in_time_starts_and_the_late_ones_are_missed(tenant: Tenant, misfire: str) -> None:
    schedule = make_schedule(tenant, ago_s=250, every_s=120, misfire=misfire)
    fire_due()
    assert outcomes(schedule) == ["missed", "missed", "started"]


def test_what_is_made_up_for_begins_in_order(tenant: Tenant) -> None:
    schedule = after_ten_minutes(tenant, "all", **SEVERAL)
    fire_due()
    by_slot = Firing.objects.filter(schedule=schedule).order_by("slot").values_list("run_id", flat=True)
    assert list(by_slot) == [run.id for run in runs_of(schedule)]


def test_without_room_it_waits_for_the_run_before_it(tenant: Tenant) -> None:
    schedule = after_ten_minutes(tenant, "all")
    for started in range(1, 6):
        fire_due()
        assert outcomes(schedule) == ["started"] * started
        end_runs(schedule)
        # It looks again some seconds later.
        Schedule.objects.filter(id=schedule.id).update(next_run_at=timezone.now())
    after = Schedule.objects.get(id=schedule.id)
    assert after.next_slot == schedule.next_slot + timedelta(minutes=10)


def test_one_that_waits_leaves_the_round_to_others(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "ROUND", 1)
    schedule, before = after_ten_minutes(tenant, "all"), timezone.now()
    fire_due()
    after = Schedule.objects.get(id=schedule.id)
    assert after.next_slot == schedule.next_slot + timedelta(minutes=2)
    assert after.next_run_at >= before + timedelta(seconds=5)


def test_a_slot_that_is_in_time_does_not_wait(tenant: Tenant) -> None:
    schedule = make_schedule(tenant, misfire="all")
    fire_due()
    due_again(schedule)
    fire_due()
    assert outcomes(schedule) == ["started", "skipped"]


def test_of_a_long_absence_a_hundred_rows_are_kept(tenant: Tenant) -> None:
    schedule = make_schedule(tenant, ago_s=499 * 60 + 20, every_s=60, misfire="once")
    fire_due()
    assert outcomes(schedule) == ["missed"] * 100 + ["started"]
    reasons = list(Firing.objects.filter(schedule=schedule, outcome="missed").order_by("slot").values_list("reason"))
    # Of 500 slots, one in time and a hundred that are told.
    assert "399 more before it" in reasons[0][0]
    assert len(set(reasons)) == 2


def test_at_most_a_hundred_are_made_up_for(tenant: Tenant) -> None:
    schedule = make_schedule(tenant, ago_s=500 * HOUR - 120, misfire="all")
    reckoning = reckon(schedule, timezone.now())
    assert (len(reckoning.starts), len(reckoning.missed), reckoning.earlier) == (100, 100, 300)
    assert reckoning.missed[-1] < reckoning.starts[0].slot


def test_slots_after_its_end_are_none(tenant: Tenant) -> None:
    schedule = after_ten_minutes(tenant, "once", end_time=timezone.now() - timedelta(minutes=5))
    fire_due()
    assert outcomes(schedule) == ["missed", "missed", "started"]
    assert Schedule.objects.get(id=schedule.id).next_run_at is None


def test_a_slot_is_late_a_minute_after_its_jitter(tenant: Tenant) -> None:
    schedule = make_schedule(tenant, jitter_s=1_800)
    slot = schedule.next_slot
    begins = slot + timedelta(seconds=delay_s(schedule.id, slot, 1_800, slot + timedelta(hours=1)))
    assert reckon(schedule, begins - timedelta(milliseconds=1)).starts == []
    assert reckon(schedule, begins + timedelta(seconds=59)).starts == [Due(slot, late=False)]
    assert reckon(schedule, begins + timedelta(seconds=61)).starts == [Due(slot, late=True)]
