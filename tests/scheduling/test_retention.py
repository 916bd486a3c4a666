"""What became of slots is forgotten after some weeks."""

import time
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from core.ids import new_id
from scheduling.models import Firing, Schedule, TriggerCall
from scheduling.retention import forget_calls, forget_firings
from tests.api import Api
from tests.runs.worker import Tenant
from tests.scheduling.hand import make_schedule
from tests.scheduling.triggers import make


def timed_id(days_ago: float) -> UUID:
    """An id that was made so long ago."""
    return UUID(int=(int(1_000 * (time.time() - 86_400 * days_ago)) << 80) | (new_id().int & ((1 << 80) - 1)))


def firing(schedule: Schedule, days_ago: float, **fields: object) -> Firing:
    """One that was made so long ago, with an id of that time."""
    moment = timezone.now() - timedelta(days=days_ago)
    fields = {"outcome": "skipped", "settled": True, "created_at": moment, **fields}
    return Firing.objects.create(id=timed_id(days_ago), schedule=schedule, slot=moment, **fields)


def test_old_firings_go_and_younger_ones_stay(tenant: Tenant) -> None:
    schedule = make_schedule(tenant)
    firing(schedule, 30.1)
    young = firing(schedule, 29.9)
    assert forget_firings(30) == 1
    assert list(Firing.objects.all()) == [young]


def test_one_whose_run_has_not_ended_stays(tenant: Tenant) -> None:
    waiting = firing(make_schedule(tenant), 40, outcome="started", settled=False)
    assert forget_firings(30) == 0
    assert list(Firing.objects.all()) == [waiting]


def test_they_go_in_batches_and_the_rest_next_time(tenant: Tenant) -> None:
    schedule = make_schedule(tenant)
    for days_ago in (50, 49, 48, 47, 46):
        firing(schedule, days_ago)
    assert forget_firings(30, batch=2, batches=2) == 4
    assert forget_firings(30, batch=2, batches=2) == 1


def test_calls_of_triggers_go_too(api: Api) -> None:
    document = make(api)
    made = [timed_id(days_ago) for days_ago in (30.1, 29.9)]
    for id_ in made:
        TriggerCall.objects.create(id=id_, trigger_id=document["id"], delivery_id=id_, outcome="started")
    assert forget_calls(30) == 1
    assert TriggerCall.objects.get().pk == made[1]


def test_nothing_goes_where_everything_is_kept(tenant: Tenant) -> None:
    firing(make_schedule(tenant), 4_000)
    assert forget_firings(0) == 0


def test_they_are_kept_for_a_month() -> None:
    assert settings.SCHEDULE_HISTORY_DAYS == 30
