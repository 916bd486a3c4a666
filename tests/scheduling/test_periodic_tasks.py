"""Beat's own periodic tasks are made where they are missing, and what people do with them stays."""

import json
from typing import Any

import pytest
from celery import Celery
from django.conf import settings
from django_celery_beat.models import ClockedSchedule, IntervalSchedule, PeriodicTask

from config.celery import app
from config.scheduler import Scheduler
from core.redis import client
from scheduling.firing import fire_due
from tests.runs.worker import Tenant
from tests.scheduling.hand import due_again, end_runs, make_schedule, outcomes

pytestmark = pytest.mark.django_db(transaction=True)


def start_beat() -> Scheduler:
    """As `manage.py beat` does before its first tick."""
    return Scheduler(app=app)


def test_they_are_made_at_the_first_start() -> None:
    scheduler = start_beat()
    made = set(PeriodicTask.objects.values_list("name", flat=True))
    assert made == {*settings.CELERY_BEAT_SCHEDULE, "celery.backend_cleanup"}
    assert scheduler.schedule["sweep"].schedule.run_every.total_seconds() == 5


@pytest.mark.parametrize("name", ["sweep", "forget_firings", "celery.backend_cleanup"])
def test_what_people_change_in_them_survives_a_start(name: str) -> None:
    start_beat()
    every_hour = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.HOURS)
    PeriodicTask.objects.filter(name=name).update(
        interval=every_hour, crontab=None, enabled=False, expire_seconds=7, description="ours"
    )
    scheduler = start_beat()
    task = PeriodicTask.objects.get(name=name)
    assert (task.interval, task.enabled, task.expire_seconds, task.description) == (every_hour, False, 7, "ours")
    assert name not in scheduler.schedule


def test_one_that_is_at_another_interval_runs_at_that() -> None:
    start_beat()
    PeriodicTask.objects.filter(name="sweep").update(
        interval=IntervalSchedule.objects.create(every=9, period=IntervalSchedule.SECONDS)
    )
    assert start_beat().schedule["sweep"].schedule.run_every.total_seconds() == 9


def test_tasks_of_peoples_own_survive_a_start() -> None:
    clocked = ClockedSchedule.objects.create(clocked_time="2100-01-01T00:00:00Z")
    mine = PeriodicTask.objects.create(
        name="mine", task="scheduling.start", clocked=clocked, one_off=True, kwargs='{"schedule_id": "x"}'
    )
    before = PeriodicTask.objects.filter(id=mine.id).values().get()
    start_beat()
    start_beat()
    assert PeriodicTask.objects.filter(id=mine.id).values().get() == before


def test_one_that_is_missing_is_made_again() -> None:
    start_beat()
    PeriodicTask.objects.filter(name="sweep").delete()
    assert "sweep" in start_beat().schedule


def asked() -> list[dict[str, Any]]:
    """The headers of the messages that wait for a worker, which are taken."""
    queue = settings.CELERY_TASK_DEFAULT_QUEUE
    messages = [json.loads(text)["headers"] for text in client().lrange(queue, 0, -1)]
    client().delete(queue)
    return messages


def ticks(scheduler: Scheduler) -> list[str]:
    """The tasks that beat asks for until it would sleep."""
    while scheduler.tick() == 0:
        pass
    # Or it would do so when the process ends.
    scheduler.sync()
    return [each["task"] for each in asked()]


def test_a_worker_is_asked_once_a_schedule_is_due(tenant: Tenant) -> None:
    scheduler = start_beat()
    ticks(scheduler)
    schedule = make_schedule(tenant, ago_s=-600)
    assert ticks(scheduler) == []
    due_again(schedule)
    assert ticks(scheduler) == ["scheduling.fire_due"]
    assert scheduler.tick() <= 1
    asked()


def test_a_worker_is_asked_once_a_run_of_a_schedule_has_ended(tenant: Tenant) -> None:
    scheduler, schedule = start_beat(), make_schedule(tenant)
    fire_due()
    ticks(scheduler)
    end_runs(schedule)
    assert ticks(scheduler) == ["scheduling.fire_due"]


def test_without_redis_beat_fires_by_itself(tenant: Tenant) -> None:
    away = Celery("away", broker="redis://127.0.0.1:1/0", set_as_current=False)
    schedule = make_schedule(tenant)
    assert Scheduler(app=away).tick() <= 1
    assert outcomes(schedule) == ["started"]


def test_messages_that_no_worker_takes_expire() -> None:
    # As beat does.
    app.loader.import_default_modules()
    scheduler = start_beat()
    for name in settings.CELERY_BEAT_SCHEDULE:
        scheduler.apply_async(scheduler.schedule[name])
    sent = asked()
    # Or it would do so when the process ends.
    scheduler.sync()
    assert {each["periodic_task_name"] for each in sent} == set(settings.CELERY_BEAT_SCHEDULE)
    assert [each["periodic_task_name"] for each in sent if each["expires"] is None] == []
