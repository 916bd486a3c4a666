"""`/webhook-deliveries`: what was sent, what came back, and sending it again."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEntry
from core.ids import new_id
from tests.api import UNKNOWN, Api, assert_refused
from tests.webhooks.hooks import URL, Hooks
from webhooks.kinds import Kind
from webhooks.models import Attempt, Delivery, DeliveryStatus, Event
from webhooks.queries import MOST_ATTEMPTS
from webhooks.serializers import AttemptDocument, DeliveryLogDocument

RUN = new_id()


def of_a_run(api: Api, **fields: Any) -> Delivery:
    """The delivery of a run that has named its own receiver."""
    event = Event.objects.create(workspace=api.workspace, kind=Kind.RUN_SUCCEEDED, run_id=RUN, data={}, body="{}")
    given = {"kind": Kind.RUN_SUCCEEDED, "url": URL, "destination": "https://example.com:443", "max_attempts": 7}
    return Delivery.objects.create(workspace=api.workspace, event=event, **{**given, **fields})


def attempt(delivery: Delivery, number: int, **fields: Any) -> None:
    Attempt.objects.create(delivery=delivery, number=number, started_at=timezone.now(), duration_ms=1.5, **fields)


def ended(delivery: Delivery, status: DeliveryStatus, attempts: int) -> None:
    Delivery.objects.filter(id=delivery.pk).update(
        status=status, attempt_count=attempts, next_attempt_at=None, finished_at=timezone.now()
    )


# -- reading ---------------------------------------------------------------------------------------------------------


def test_what_is_told_is_on_its_way_to_who_listens(api: Api, hooks: Hooks) -> None:
    listens = hooks.make(retry_delays_s=[1, 2])
    hooks.make(events=["queue.stuck"])
    hooks.tell(id="x")
    (delivery,) = api.items("/webhook-deliveries")
    assert delivery == {
        "id": delivery["id"],
        "event_id": delivery["event_id"],
        "webhook_id": listens["id"],
        "run_id": None,
        "event": "run.failed",
        "url": URL,
        "status": "pending",
        "attempt_count": 0,
        "max_attempts": 3,
        "next_attempt_at": delivery["next_attempt_at"],
        "last_status_code": None,
        "last_error": "",
        "created_at": delivery["created_at"],
        "finished_at": None,
    }
    assert delivery["next_attempt_at"] is not None
    one = api.get(f"/webhook-deliveries/{delivery['id']}").json()
    assert one == {**delivery, "body": None, "attempts": []}
    assert list(one) == list(DeliveryLogDocument.model_fields)


def test_the_log_tells_what_was_sent_and_what_came_back(api: Api) -> None:
    delivery = of_a_run(api, attempt_count=2)
    said = {"request_headers": {"webhook-id": "x"}, "response_headers": {"server": "s"}, "response_body": "<b>no</b>"}
    attempt(delivery, 2, status_code=None, error="No answer within 15 s.", manual=True)
    attempt(delivery, 1, status_code=500, **said)
    log = api.get(f"/webhook-deliveries/{delivery.pk}").json()
    assert (log["body"], log["run_id"], log["webhook_id"]) == ("{}", str(RUN), None)
    first, second = log["attempts"]
    assert list(first) == list(AttemptDocument.model_fields)
    assert {name: first[name] for name in said} == said
    assert (first["number"], first["status_code"], first["manual"], first["duration_ms"]) == (1, 500, False, 1.5)
    assert (second["number"], second["status_code"], second["manual"]) == (2, None, True)
    assert second["error"] == "No answer within 15 s."


def test_of_very_many_attempts_the_latest_are_shown(api: Api) -> None:
    delivery = of_a_run(api)
    for number in range(1, MOST_ATTEMPTS + 3):
        attempt(delivery, number)
    numbers = [shown["number"] for shown in api.get(f"/webhook-deliveries/{delivery.pk}").json()["attempts"]]
    assert numbers == list(range(3, MOST_ATTEMPTS + 3))


def test_the_list_is_filtered(api: Api, hooks: Hooks) -> None:
    made = hooks.make()
    hooks.tell()
    own = of_a_run(api, status=DeliveryStatus.DEAD)

    def found(**query: Any) -> list[str | None]:
        return [item["webhook_id"] for item in api.items("/webhook-deliveries", **query)]

    assert found() == [None, made["id"]]
    assert found(webhook_id=made["id"]) == found(event="run.failed") == found(status="pending") == [made["id"]]
    assert found(run_id=RUN) == found(status="dead") == found(status="dead,delivered") == [None]
    assert found(run_id=RUN, status="pending") == found(webhook_id=UNKNOWN) == []
    assert api.items("/webhook-deliveries", run_id=RUN)[0]["id"] == str(own.pk)
    assert_refused(api.get("/webhook-deliveries", status="lost"), 422, "invalid", "query", "status")


def test_the_list_goes_on_by_its_cursor(api: Api) -> None:
    ids = [str(of_a_run(api).pk) for _ in range(5)][::-1]
    first = api.get("/webhook-deliveries", limit=3).json()
    rest = api.get("/webhook-deliveries", limit=3, cursor=first["next_cursor"]).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == ids
    assert (first["total"], rest["next_cursor"]) == (5, None)


def test_the_list_costs_two_statements_however_long_it_is(api: Api) -> None:
    for _ in range(4):
        of_a_run(api)
    with CaptureQueriesContext(connection) as asked:
        assert len(api.items("/webhook-deliveries", limit=2)) == 2
    about = [query["sql"] for query in asked if '"webhook_deliveries"' in query["sql"]]
    assert len(about) == 2
    assert not any('"data"' in sql or '"body"' in sql for sql in about)


def test_another_workspaces_delivery_is_unknown(api: Api, stranger: Api) -> None:
    path = f"/webhook-deliveries/{of_a_run(api).pk}"
    assert_refused(stranger.get(path), 404, "not_found")
    assert_refused(stranger.post(f"{path}/redeliver"), 404, "not_found")
    assert stranger.items("/webhook-deliveries") == stranger.items("/webhook-deliveries", run_id=RUN) == []


# -- once more -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [DeliveryStatus.DEAD, DeliveryStatus.DELIVERED])
def test_one_that_has_ended_gets_one_more_attempt_with_the_same_id(api: Api, status: DeliveryStatus) -> None:
    delivery = of_a_run(api)
    ended(delivery, status, attempts=7)
    answer = api.post(f"/webhook-deliveries/{delivery.pk}/redeliver")
    assert answer.status_code == 202
    told = answer.json()
    assert (told["status"], told["attempt_count"], told["max_attempts"]) == ("pending", 7, 8)
    assert (told["event_id"], told["finished_at"]) == (str(delivery.event_id), None)
    delivery.refresh_from_db()
    assert delivery.manual
    assert delivery.next_attempt_at is not None


def test_it_goes_where_the_webhook_is_now(api: Api, hooks: Hooks) -> None:
    made = hooks.make()
    (delivery,) = hooks.tell()
    ended(delivery, DeliveryStatus.DEAD, attempts=7)
    api.patch(f"/webhooks/{made['id']}", {"url": "https://new.example/"})
    assert api.get(f"/webhook-deliveries/{delivery.pk}").json()["url"] == URL
    assert api.post(f"/webhook-deliveries/{delivery.pk}/redeliver").json()["url"] == "https://new.example/"


def test_one_that_waits_is_brought_forward(api: Api, hooks: Hooks) -> None:
    hooks.make()
    (delivery,) = hooks.tell()
    later = timezone.now() + timedelta(hours=1)
    Delivery.objects.update(attempt_count=2, next_attempt_at=later)
    told = api.post(f"/webhook-deliveries/{delivery.pk}/redeliver").json()
    assert (told["status"], told["max_attempts"]) == ("pending", delivery.max_attempts)
    delivery.refresh_from_db()
    assert delivery.manual
    assert delivery.next_attempt_at is not None
    assert delivery.next_attempt_at < later


def test_to_a_webhook_that_is_switched_off_it_is_sent_all_the_same(api: Api, hooks: Hooks) -> None:
    made = hooks.make()
    (delivery,) = hooks.tell()
    api.patch(f"/webhooks/{made['id']}", {"enabled": False})
    assert api.post(f"/webhook-deliveries/{delivery.pk}/redeliver").status_code == 202


def test_to_a_deleted_webhook_nothing_is_sent_again(api: Api, hooks: Hooks) -> None:
    made = hooks.make()
    (waits,) = hooks.tell()
    (arrived, _) = hooks.tell()
    ended(arrived, DeliveryStatus.DELIVERED, attempts=1)
    api.delete(f"/webhooks/{made['id']}")
    for delivery in (waits, arrived):
        assert_refused(api.post(f"/webhook-deliveries/{delivery.pk}/redeliver"), 409, "conflict")
    assert sorted(Delivery.objects.values_list("status", flat=True)) == ["cancelled", "delivered"]


def test_where_there_are_no_webhooks_nothing_is_sent_again(api: Api, settings: Any) -> None:
    delivery = of_a_run(api)
    settings.WEBHOOKS = False
    assert_refused(api.post(f"/webhook-deliveries/{delivery.pk}/redeliver"), 409, "conflict")


def test_who_asked_is_in_the_trail(api: Api) -> None:
    delivery = of_a_run(api)
    api.post(f"/webhook-deliveries/{delivery.pk}/redeliver")
    entry = AuditEntry.objects.get(subject_type="delivery")
    assert (entry.action, entry.subject_id) == ("redelivered", delivery.pk)
    assert entry.details == {"event": "run.succeeded", "url": URL}
