"""Several who look at once, and somebody who changes what is looked at."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from runs.deletion import delete_assistant_for_good
from runs.models import Run
from scheduling.firing import fire_due
from scheduling.models import Firing, Schedule
from tests.runs.worker import Tenant
from tests.scheduling.hand import due_again, make_schedule, outcomes, runs_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    return Tenant.make()


def elsewhere(act: Callable[[], Any]) -> Any:
    """Done in a thread, which keeps no connection."""

    def call() -> Any:
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(20)


def test_of_many_that_look_at_once_each_slot_has_one(tenant: Tenant) -> None:
    slot, count = timezone.now() - timedelta(seconds=1), 500
    Schedule.objects.bulk_create(
        Schedule(
            workspace_id=tenant.identity.workspace_id,
            assistant_id=tenant.assistant,
            name=f"s {nth}",
            interval_s=3_600,
            anchor=slot,
            next_slot=slot,
            next_run_at=slot,
            input={"message": "hi"},
            created_by="key:test",
        )
        for nth in range(count)
    )

    def beat() -> int:
        try:
            return fire_due()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        fired = [looked.result(60) for looked in [pool.submit(beat) for _ in range(4)]]
    assert sum(fired) == Firing.objects.filter(outcome="started").count() == count
    assert Run.objects.values("schedule_id").distinct().count() == Run.objects.count() == count


@contextmanager
def held(schedule: Schedule) -> Iterator[Schedule]:
    """The schedule, locked as whoever changes it does, while others look."""
    with transaction.atomic():
        yield Schedule.objects.select_for_update().get(id=schedule.id)
        assert elsewhere(fire_due) == 0


def test_one_that_is_paused_in_the_second_it_is_due_does_not_fire(tenant: Tenant) -> None:
    schedule = make_schedule(tenant)
    with held(schedule) as changed:
        changed.enabled = False
        changed.save()
    assert fire_due() == 0
    assert outcomes(schedule) == []


def test_one_that_is_changed_in_the_second_it_is_due_does_not_fire_by_its_old_rule(tenant: Tenant) -> None:
    schedule = make_schedule(tenant)
    with held(schedule) as changed:
        changed.input = {"message": "new"}
        changed.anchor = changed.next_slot = changed.next_run_at = timezone.now() + timedelta(minutes=1)
        changed.save()
    assert fire_due() == 0
    due_again(schedule)
    fire_due()
    (run,) = runs_of(schedule)
    assert run.payload.input == {"message": "new"}
    assert outcomes(schedule) == ["started"]


def test_one_that_is_deleted_in_the_second_it_is_due_does_not_fire(tenant: Tenant) -> None:
    schedule = make_schedule(tenant)
    with held(schedule) as gone:
        gone.delete()
    assert fire_due() == 0
    assert not Run.objects.exists()


def test_an_assistant_that_is_being_deleted_takes_its_schedules_along(tenant: Tenant) -> None:
    make_schedule(tenant)
    with transaction.atomic():
        delete_assistant_for_good(tenant.identity, tenant.assistant)
        # It is not waited for: whoever fires would hold the schedule, which the deletion needs.
        assert elsewhere(fire_due) == 0
    assert fire_due() == 0
    assert not Schedule.objects.exists()
