"""What beat does for webhooks: it rings where something is due, and forgets what is old."""

from datetime import timedelta

import pytest
from django.db.models import F
from pytest_django import Settings

from config.doctor import service
from config.doctor.findings import State, make
from tests.webhooks.post import Post
from webhooks import tasks
from webhooks.dispatch.retention import forget_old
from webhooks.models import Attempt, Delivery, Endpoint, Event


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    heard: list[int] = []
    monkeypatch.setattr(tasks, "ring", lambda: heard.append(1))
    return heard


def test_beat_rings_where_something_is_due(post: Post, rings: list[int]) -> None:
    tasks.sweep()
    assert rings == []
    post.endpoint()
    post.tell()
    tasks.sweep()
    assert rings == [1]
    post.pass_time(hours=-1)
    tasks.sweep()
    assert rings == [1]


def test_a_server_without_webhooks_sends_none(post: Post, rings: list[int], settings: Settings) -> None:
    settings.WEBHOOKS = False
    post.endpoint()
    post.tell()
    tasks.sweep()
    tasks.deliver()
    assert (rings, post.receiver.arrived) == ([], [])


@pytest.mark.parametrize(("mark", "leaves"), [(None, False), (False, False), (0, True), (1, True), (True, True)])
def test_a_worker_that_was_told_to_end_begins_no_more(
    mark: int | None, leaves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celery.worker.state.should_stop", mark)
    assert tasks._leaving() == leaves


def test_the_task_sends_what_is_due(post: Post) -> None:
    post.endpoint()
    post.tell()
    tasks.deliver()
    assert len(post.receiver.arrived) == 1


def test_old_events_go_with_all_that_belongs_to_them(post: Post) -> None:
    post.endpoint()
    for _ in range(3):
        post.tell()
    post.send()
    kept = Event.objects.order_by("-created_at").first()
    assert kept is not None
    Event.objects.exclude(id=kept.id).update(created_at=F("created_at") - timedelta(days=31))
    assert forget_old(30, batch=1) == 2
    assert list(Event.objects.values_list("id", flat=True)) == [kept.id]
    assert list(Delivery.objects.values_list("event_id", flat=True)) == [kept.id]
    assert Attempt.objects.count() == 1


def test_what_is_still_to_be_sent_stays(post: Post) -> None:
    post.endpoint()
    post.tell()
    Event.objects.update(created_at=F("created_at") - timedelta(days=31))
    assert forget_old(30) == 0
    Endpoint.objects.update(enabled=False)
    assert forget_old(30) == 1
    assert not Delivery.objects.exists()


def test_the_doctor_says_what_could_be_sent_and_is_not(post: Post, settings: Settings) -> None:
    def state() -> tuple[State, str]:
        (finding,) = make([check for check in service.CHECKS if check.name == "webhooks"], timeout_s=60)
        return finding.state, finding.detail

    post.endpoint()
    post.tell()
    assert state() == (State.OK, "1 deliveries wait, none that could be sent for long.")
    post.pass_time(minutes=5)
    assert state()[0] == State.WARNING
    settings.WEBHOOKS = False
    assert state()[0] == State.OK
