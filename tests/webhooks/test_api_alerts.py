"""`/alerts`: what is wrong, until it is well again or somebody says so."""

from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEntry
from tests.api import Api, assert_refused
from webhooks.kinds import Kind
from webhooks.models import Alert


def alert(api: Api | None, kind: Kind = Kind.DELIVERY_DEAD, **fields: Any) -> Alert:
    """An open alert of the workspace, or of the server."""
    workspace = api.workspace if api else None
    return Alert.objects.create(workspace=workspace, kind=kind, **{"subject": "x", "message": "It is dead.", **fields})


def subjects(api: Api, **query: str) -> list[str]:
    return [item["subject"] for item in api.items("/alerts", **query)]


def test_the_workspaces_and_the_servers_are_listed_the_newest_first(api: Api, stranger: Api) -> None:
    alert(api, subject="ours")
    alert(stranger, subject="theirs")
    alert(None, Kind.WORKERS_MISSING, subject="everybody's")
    assert subjects(api) == ["everybody's", "ours"]
    assert subjects(stranger) == ["everybody's", "theirs"]
    assert api.items("/alerts")[1] == {
        "id": api.items("/alerts")[1]["id"],
        "kind": "delivery.dead",
        "subject": "ours",
        "message": "It is dead.",
        "opened_at": api.items("/alerts")[1]["opened_at"],
        "resolved_at": None,
    }


def test_one_that_nothing_else_resolves_is_resolved_by_hand_once(api: Api) -> None:
    opened = alert(api)
    path = f"/alerts/{opened.pk}/resolve"
    first, again = api.post(path), api.post(path)
    assert (first.status_code, first.json()) == (200, again.json())
    assert first.json()["resolved_at"] is not None
    assert (len(subjects(api, open="false")), subjects(api, open="true")) == (1, [])
    entry = AuditEntry.objects.get(subject_type="alert")
    assert (entry.action, entry.subject_id) == ("resolved", opened.pk)
    assert entry.details == {"kind": "delivery.dead", "subject": "x"}


def test_who_was_mailed_that_it_opened_is_mailed_that_it_is_resolved(api: Api) -> None:
    told, untold = alert(api, mailed_at=timezone.now()), alert(api, subject="y")
    for opened in (told, untold):
        api.post(f"/alerts/{opened.pk}/resolve")
        opened.refresh_from_db()
    assert (told.mail_not_before is None, untold.mail_not_before) == (False, None)


def test_a_new_alert_of_the_same_subject_stays_open(api: Api) -> None:
    former = alert(api)
    api.post(f"/alerts/{former.pk}/resolve")
    alert(api)
    api.post(f"/alerts/{former.pk}/resolve")
    assert len(subjects(api, open="true")) == 1


def test_the_servers_own_is_nobodys_to_resolve(api: Api) -> None:
    opened = alert(None, Kind.WORKERS_MISSING)
    assert_refused(api.post(f"/alerts/{opened.pk}/resolve"), 403, "forbidden")
    assert subjects(api, open="true") == ["x"]


def test_another_workspaces_is_unknown(api: Api, stranger: Api) -> None:
    assert_refused(stranger.post(f"/alerts/{alert(api).pk}/resolve"), 404, "not_found")
    assert not Alert.objects.exclude(resolved_at=None).exists()


def test_the_list_is_filtered(api: Api) -> None:
    alert(api, subject="dead")
    alert(api, Kind.QUEUE_STUCK, subject="stuck")
    assert subjects(api, kind="queue.stuck") == ["stuck"]
    assert subjects(api, kind="queue.stuck,delivery.dead") == ["stuck", "dead"]
    assert_refused(api.get("/alerts", open="yes"), 422, "invalid", "query", "open")


def test_the_list_costs_two_statements_however_long_it_is(api: Api) -> None:
    for number in range(4):
        alert(api, subject=str(number))
    with CaptureQueriesContext(connection) as asked:
        assert len(api.items("/alerts", limit=2)) == 2
    assert len([query for query in asked if '"alerts"' in query["sql"]]) == 2
