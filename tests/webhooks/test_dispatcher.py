"""Many deliveries: whose turn it is, who is left alone, and what happens when the one who sends goes."""

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from core.ids import new_id
from tests.servers import wait_for
from tests.webhooks.post import SOON, Post
from webhooks.dispatch.claim import _CLAIM, anything_due, backlog
from webhooks.dispatch.dispatcher import NAME, Bounds, Dispatcher
from webhooks.dispatch.process import _Current, deliver
from webhooks.models import Alert, Delivery, Endpoint, Event

MANY = 3_000


def off_thread(change: Callable[[], object]) -> Callable[[], None]:
    """`change` on a thread that keeps no connection."""

    def do() -> None:
        try:
            change()
        finally:
            connection.close()

    return do


def bury(post: Post, endpoint: Endpoint | None, count: int) -> None:
    """So many due deliveries, older than all others."""
    event = Event.objects.create(workspace=post.workspace, kind="schedule.failed", data={})
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO webhook_deliveries (id, workspace_id, event_id, endpoint_id, kind, url, destination, status,
                max_attempts, next_attempt_at)
            SELECT gen_random_uuid(), %s, %s, %s, 'schedule.failed', %s, %s, 'pending', 7,
                clock_timestamp() - interval '1 hour'
            FROM generate_series(1, %s)
            """,
            [
                post.workspace.id,
                event.id,
                endpoint and endpoint.id,
                post.receiver.url + "/hang",
                post.receiver.url if endpoint is None else str(endpoint.id),
                count,
            ],
        )
        cursor.execute("ANALYZE webhook_deliveries, webhook_endpoints, webhook_events")


def test_a_burst_arrives_once_each(post: Post) -> None:
    endpoints = [post.endpoint(f"/200/{number}") for number in range(3)]
    for _ in range(20):
        post.tell()
    post.send()
    assert len(post.receiver.arrived) == 20 * len(endpoints)
    assert len({(one.path, one.headers["webhook-id"]) for one in post.receiver.arrived}) == 60
    assert set(Delivery.objects.values_list("status", "attempt_count")) == {("delivered", 1)}


def test_a_receiver_that_hangs_holds_its_own_places_only(post: Post) -> None:
    bury(post, None, 20)
    post.endpoint("/200/neighbour")
    for _ in range(10):
        post.tell()
    post.send(SOON, leaving=lambda: len(post.receiver.at("/200/neighbour")) == 10)
    assert len(post.receiver.at("/hang")) == SOON.share


def test_two_dispatchers_share_the_places_of_a_destination(post: Post) -> None:
    bury(post, None, 6)
    seen: list[int] = []

    def enough() -> bool:
        if len(seen) < 40:
            seen.append(len(post.receiver.arrived))
        return len(seen) == 40

    others = [threading.Thread(target=post.send, args=(SOON, enough)) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert max(seen) == SOON.share


def test_one_that_fails_is_left_alone_and_then_tried_one_at_a_time(post: Post) -> None:
    endpoint = post.endpoint("/500/x")
    for _ in range(6):
        post.tell()
    post.send()
    # Those that were under way together fail together, and count once.
    assert len(post.receiver.arrived) == SOON.share
    endpoint.refresh_from_db()
    assert endpoint.failures == 1
    assert endpoint.not_before is not None
    assert timedelta(0) < endpoint.not_before - timezone.now() <= timedelta(seconds=5)
    post.pass_time(seconds=5)
    post.send()
    assert len(post.receiver.arrived) == SOON.share + 1
    endpoint.refresh_from_db()
    assert endpoint.failures == 2
    Endpoint.objects.update(url=post.receiver.url + "/200/well")
    post.pass_time(seconds=20)
    post.send()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}


@pytest.mark.parametrize(("days", "enabled"), [(2, False), (0.5, True)])
def test_one_that_has_failed_for_long_is_switched_off(post: Post, days: float, enabled: bool) -> None:
    post.endpoint("/500/x", failures=49, last_success_at=timezone.now() - timedelta(days=days))
    post.tell()
    post.send()
    endpoint = Endpoint.objects.get()
    assert (endpoint.failures, endpoint.enabled) == (50, enabled)
    assert endpoint.disabled_reason == ("" if enabled else "Switched off after 50 failures in a row.")
    assert Alert.objects.count() == (0 if enabled else 1)


def test_what_waits_for_one_that_is_left_alone_is_not_even_read(post: Post) -> None:
    bury(post, post.endpoint("/500/x", not_before=timezone.now() + timedelta(hours=1)), MANY)
    bury(post, post.endpoint("/500/x", enabled=False), MANY)
    assert not anything_due().run()
    post.endpoint("/200/neighbour")
    post.tell()
    assert anything_due().run()
    with connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {_CLAIM}",
            {"owner": new_id(), "places": 64, "share": 4, "lease_s": 0.0},
        )
        ((plan,),) = cursor.fetchall()
    assert plan[0]["Plan"]["Actual Rows"] == 1
    assert plan[0]["Plan"]["Shared Hit Blocks"] < 300
    post.send()
    assert [one.path for one in post.receiver.arrived] == ["/200/neighbour"]


def test_what_a_dead_process_had_is_sent_after_its_lease_and_not_before(post: Post) -> None:
    post.endpoint()
    post.tell()
    lease = timezone.now() + timedelta(seconds=30)
    Delivery.objects.update(lease_owner=new_id(), lease_expires_at=lease, next_attempt_at=lease)
    post.send()
    assert not post.receiver.arrived
    post.pass_time(seconds=31)
    post.send()
    assert len(post.receiver.arrived) == 1


def test_who_was_too_late_writes_nothing(post: Post) -> None:
    other = UUID(int=7)
    post.receiver.meanwhile.append(off_thread(lambda: Delivery.objects.update(lease_owner=other)))
    post.endpoint()
    post.tell()
    post.send()
    delivery = post.delivery()
    assert (delivery.lease_owner, delivery.attempt_count, post.attempts()) == (other, 0, [])


def test_who_asks_while_an_attempt_is_under_way_gets_one_more(post: Post) -> None:
    post.receiver.meanwhile.append(
        off_thread(lambda: Delivery.objects.update(manual=True, next_attempt_at=timezone.now()))
    )
    post.endpoint("/500/x")
    post.tell()
    post.send()
    assert [attempt.manual for attempt in post.attempts()] == [False, True]
    assert not post.delivery().manual


def test_who_leaves_gives_back_what_is_under_way(post: Post) -> None:
    post.endpoint("/hang")
    post.tell()
    post.send(SOON, leaving=lambda: bool(post.receiver.arrived))
    delivery = post.delivery()
    assert (delivery.status, delivery.lease_owner, delivery.attempt_count) == ("pending", None, 0)
    assert anything_due().run()


def test_an_outage_of_postgresql_ends_it_and_what_was_under_way_comes_after_its_lease(post: Post) -> None:
    def cut() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [NAME])

    post.receiver.meanwhile.append(off_thread(cut))
    post.endpoint()
    post.tell()
    with pytest.raises(psycopg.OperationalError):
        post.send()
    assert not post.attempts()
    post.pass_time(seconds=60)
    post.send()
    assert len({one.headers["webhook-id"] for one in post.receiver.arrived}) == 1
    assert (len(post.receiver.arrived), post.delivery().status) == (2, "delivered")


def test_one_process_has_one_dispatcher_and_the_next_who_rings_has_it_look_again(post: Post) -> None:
    post.endpoint("/hang")
    post.tell()
    # It looks by itself only after the test's time is over.
    bounds = Bounds(timeout_s=100, look_s=100, leave_s=0.1)
    leaving = threading.Event()
    first = threading.Thread(target=deliver, kwargs={"bounds": bounds, "leaving": leaving.is_set})
    first.start()
    wait_for(lambda: post.receiver.arrived)
    post.endpoint("/200/later")
    Endpoint.objects.filter(url__endswith="/hang").update(enabled=False)
    post.tell()
    assert not deliver()
    wait_for(lambda: post.receiver.at("/200/later"))
    leaving.set()
    assert not deliver()
    first.join()
    assert _Current.dispatcher is None


def test_a_ring_after_the_last_look_begins_anew(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.endpoint()
    looks = []

    async def run(self: Dispatcher) -> None:
        looks.append(self)
        if len(looks) == 1:
            self.wake()

    monkeypatch.setattr(Dispatcher, "run", run)
    assert deliver()
    assert len(looks) == 2


def test_the_backlog_tells_what_waits_and_for_how_long(post: Post) -> None:
    assert backlog().run() == {"pending": 0, "oldest_due_age_s": 0}
    bury(post, post.endpoint("/500/x", enabled=False), 2)
    post.own()
    found = backlog().run()
    assert found["pending"] == 3
    assert 5 <= found["oldest_due_age_s"] < 60
