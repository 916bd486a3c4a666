"""`/webhooks`: where a workspace has events sent to."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEntry
from tests.api import UNKNOWN, Api, assert_refused
from tests.webhooks.hooks import URL, Hooks
from webhooks import services
from webhooks.kinds import SUBSCRIBABLE, Kind
from webhooks.models import Alert, Delivery, Endpoint
from webhooks.serializers import WebhookDocument
from webhooks.signing import secrets_of, unseal

BODY = {"name": "ops", "url": URL, "events": ["run.failed"]}
OWN = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


def valid_secrets(webhook_id: str) -> list[str]:
    """What signs now."""
    row = Endpoint.objects.get(id=webhook_id)
    until = row.previous_until
    previous = row.previous_secret if until and until > timezone.now() else None
    return secrets_of(row.workspace_id, row.pk, row.sealed_secret, previous)


# -- made, read, changed, deleted ------------------------------------------------------------------------------------


def test_one_is_made_with_a_secret_that_is_shown_once(api: Api, hooks: Hooks) -> None:
    made = hooks.make()
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert api.get(f"/webhooks/{made['id']}").json() == made == api.items("/webhooks")[0]
    assert list(made) == list(WebhookDocument.model_fields)
    assert (made["enabled"], made["headers"], made["retry_delays_s"]) == (True, {}, None)
    row = Endpoint.objects.get()
    assert secret.encode() not in bytes(row.sealed_secret)
    assert unseal(row.workspace_id, row.pk, row.sealed_secret) == secret


def test_all_fields_are_kept(hooks: Hooks) -> None:
    body = {
        "name": "all",
        "url": URL + "?token=x",
        "events": ["*"],
        "headers": {"X-Environment": "a b"},
        "retry_delays_s": [1, 604_800],
        "enabled": False,
        "secret": OWN,
    }
    made = hooks.make(**body)
    assert {name: made[name] for name in body} == {**body, "events": list(SUBSCRIBABLE)}


def test_sent_again_it_makes_nothing_again(api: Api) -> None:
    sent = {"path": "/webhooks", "data": BODY, "format": "json", "headers": {"idempotency-key": "k"}}
    first, again = api.client.post(**sent), api.client.post(**sent)
    assert (again.status_code, again["Idempotency-Replayed"]) == (201, "true")
    assert (again.json()["id"], again.json()["secret"]) == (first.json()["id"], None)
    assert Endpoint.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"name": ""}, ["name"]),
        ({"url": "example.com"}, ["url"]),
        ({"url": "ftp://example.com"}, ["url"]),
        ({"url": "https://user:pass@example.com"}, ["url"]),
        ({"url": "http://127.0.0.1:8000/"}, ["url"]),
        ({"url": "http://localhost/"}, ["url"]),
        ({"url": "https://example.com/" + "x" * 2_000}, ["url"]),
        ({"events": []}, ["events"]),
        ({"events": ["run.started"]}, ["events", 0]),
        ({"events": ["test"]}, ["events", 0]),
        ({"events": ["*", "run.failed"]}, ["events"]),
        ({"headers": {"Authorization": "Bearer x"}}, ["headers"]),
        ({"headers": {"Content-Length": "1"}}, ["headers"]),
        ({"headers": {"Webhook-Id": "1"}}, ["headers"]),
        ({"headers": {"HOST": "other.example"}}, ["headers"]),
        ({"headers": {"a b": "x"}}, ["headers"]),
        ({"headers": {"x-a": "1", "X-A": "2"}}, ["headers"]),
        ({"headers": {"x-a": "1\r\nx-b: 2"}}, ["headers", "x-a"]),
        ({"headers": {"x-a": "x" * 1_001}}, ["headers", "x-a"]),
        ({"headers": {f"x-{number}": "1" for number in range(21)}}, ["headers"]),
        ({"retry_delays_s": []}, ["retry_delays_s"]),
        ({"retry_delays_s": [0]}, ["retry_delays_s", 0]),
        ({"retry_delays_s": [604_801]}, ["retry_delays_s", 0]),
        ({"retry_delays_s": [1] * 21}, ["retry_delays_s"]),
        ({"secret": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"}, ["secret"]),
        ({"secret": "whsec_c2hvcnQ="}, ["secret"]),
        ({"secret": OWN + "!"}, ["secret"]),
        ({"secret": "whsec_ключ"}, ["secret"]),
        ({"active": True}, ["active"]),
    ],
)
def test_a_bad_body_is_invalid_and_makes_nothing(api: Api, change: dict[str, Any], loc: list[Any]) -> None:
    answer = api.post("/webhooks", {**BODY, **change})
    assert_refused(answer, 422, "invalid", *loc)
    assert not Endpoint.objects.exists()


def test_a_secret_is_not_repeated_in_an_error(api: Api) -> None:
    answer = api.post("/webhooks", {**BODY, "secret": "whsec_mine-and-wrong"})
    assert_refused(answer, 422, "invalid", "secret")
    assert "mine-and-wrong" not in answer.text


def test_only_what_the_body_has_is_changed(api: Api, hooks: Hooks) -> None:
    made = hooks.make(retry_delays_s=[5])
    path = f"/webhooks/{made['id']}"
    changed = api.patch(path, {"events": ["*"], "retry_delays_s": None}).json()
    assert (changed["events"], changed["retry_delays_s"]) == (list(SUBSCRIBABLE), None)
    assert (changed["name"], changed["url"]) == (made["name"], made["url"])
    assert changed["updated_at"] > made["updated_at"]
    assert api.patch(path, {}).json() == changed == api.patch(path, {"name": "ops"}).json()
    assert_refused(api.patch(path, {"url": "http://10.0.0.1/"}), 422, "invalid", "url")
    assert_refused(api.patch(path, {"name": None}), 422, "invalid", "name")
    assert_refused(api.patch(path, {"secret": OWN}), 422, "invalid", "secret")


@pytest.mark.parametrize("change", [{"enabled": True}, {"url": "https://other.example/"}])
def test_switched_on_again_or_moved_it_never_failed(api: Api, hooks: Hooks, change: dict[str, Any]) -> None:
    made = hooks.make()
    later = timezone.now() + timedelta(hours=1)
    Endpoint.objects.update(enabled=False, disabled_reason="Gone.", failures=7, not_before=later)
    changed = api.patch(f"/webhooks/{made['id']}", change).json()
    assert (changed["failures"], changed["disabled_reason"]) == (0, "")
    assert Endpoint.objects.get().not_before is None
    # Another name makes no better receiver.
    Endpoint.objects.update(failures=7)
    assert api.patch(f"/webhooks/{made['id']}", {"name": "other"}).json()["failures"] == 7


def test_what_waits_goes_to_the_new_url_and_what_arrived_has_not(api: Api, hooks: Hooks) -> None:
    made = hooks.make()
    (arrived,) = hooks.tell()
    Delivery.objects.update(status="delivered")
    hooks.tell()
    api.patch(f"/webhooks/{made['id']}", {"url": "https://other.example/"})
    (waits, log) = api.items("/webhook-deliveries")
    assert (log["id"], log["url"], waits["url"]) == (str(arrived.pk), URL, "https://other.example/")


def test_a_deleted_one_hears_nothing_more_and_the_log_stays(api: Api, hooks: Hooks) -> None:
    gone, other = hooks.make(name="gone"), hooks.make(name="other")
    hooks.tell()
    Delivery.objects.filter(endpoint=gone["id"]).update(lease_owner=UNKNOWN, lease_expires_at=timezone.now())
    Alert.objects.create(workspace=api.workspace, kind=Kind.DELIVERY_DEAD, subject=gone["id"], message="Dead.")
    assert api.delete(f"/webhooks/{gone['id']}").status_code == 204
    assert_refused(api.get(f"/webhooks/{gone['id']}"), 404, "not_found")
    (log,) = api.items("/webhook-deliveries", webhook_id=gone["id"])
    assert (log["status"], log["next_attempt_at"], log["finished_at"] is None) == ("cancelled", None, False)
    assert Delivery.objects.get(id=log["id"]).lease_owner is None
    assert [item["status"] for item in api.items("/webhook-deliveries", webhook_id=other["id"])] == ["pending"]
    assert api.items("/alerts", open="true") == []
    assert len(hooks.tell()) == 3


def test_there_is_an_end_of_how_many(api: Api, hooks: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MOST_ENDPOINTS", 1)
    made = hooks.make()
    assert_refused(api.post("/webhooks", BODY), 409, "conflict")
    api.delete(f"/webhooks/{made['id']}")
    hooks.make()


def test_where_there_are_none_nothing_is_begun(api: Api, hooks: Hooks, settings: Any) -> None:
    made = hooks.make(enabled=False)
    settings.WEBHOOKS = False
    path = f"/webhooks/{made['id']}"
    refused = [api.post("/webhooks", BODY), api.patch(path, {"enabled": True}), api.post(f"{path}/test")]
    for answer in refused:
        assert_refused(answer, 409, "conflict")
        assert "switched off" in answer.json()["detail"]
    assert api.patch(path, {"name": "kept"}).json()["name"] == "kept"
    assert api.delete(path).status_code == 204


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_a_new_secret_takes_the_place_of_the_old_one_which_signs_for_a_day(api: Api, hooks: Hooks) -> None:
    made = hooks.make(secret=OWN)
    answer = api.post(f"/webhooks/{made['id']}/rotate")
    assert answer.status_code == 201
    rotated = answer.json()
    assert valid_secrets(made["id"]) == [rotated["secret"], OWN]
    until = Endpoint.objects.get().previous_until
    assert until is not None
    assert abs(until - timezone.now() - timedelta(days=1)) < timedelta(minutes=5)
    again = api.post(f"/webhooks/{made['id']}/rotate", {"overlap_s": 60}).json()
    assert valid_secrets(made["id"]) == [again["secret"], rotated["secret"]]


def test_without_an_overlap_the_old_secret_is_forgotten(api: Api, hooks: Hooks) -> None:
    made = hooks.make()
    api.post(f"/webhooks/{made['id']}/rotate")
    rotated = api.post(f"/webhooks/{made['id']}/rotate", {"overlap_s": 0}).json()
    row = Endpoint.objects.get()
    assert (row.previous_secret, rotated["previous_secret_until"]) == (None, None)
    assert valid_secrets(made["id"]) == [rotated["secret"]]


def test_a_rotation_that_is_sent_again_rotates_once(api: Api, hooks: Hooks) -> None:
    path = f"/webhooks/{hooks.make()['id']}/rotate"
    first, again = (api.client.post(path, headers={"idempotency-key": "k"}) for _ in range(2))
    assert again.json() == {**first.json(), "secret": None}
    assert valid_secrets(first.json()["id"])[0] == first.json()["secret"]


@pytest.mark.parametrize("overlap", [-1, 604_801, "1", None])
def test_a_bad_overlap_is_invalid(api: Api, hooks: Hooks, overlap: Any) -> None:
    made = hooks.make(secret=OWN)
    answer = api.post(f"/webhooks/{made['id']}/rotate", {"overlap_s": overlap})
    assert_refused(answer, 422, "invalid", "overlap_s")
    assert valid_secrets(made["id"]) == [OWN]


# -- a test ----------------------------------------------------------------------------------------------------------


def test_a_test_goes_to_this_webhook_alone_though_it_is_switched_off(api: Api, hooks: Hooks) -> None:
    made = hooks.make(enabled=False)
    hooks.make(events=["*"])
    answer = api.post(f"/webhooks/{made['id']}/test")
    assert answer.status_code == 202
    (delivery,) = api.items("/webhook-deliveries")
    assert delivery == answer.json()
    assert (delivery["webhook_id"], delivery["event"], delivery["url"]) == (made["id"], "test", URL)
    assert (delivery["status"], delivery["max_attempts"]) == ("pending", 1)
    row = Delivery.objects.get()
    assert (row.manual, row.destination) == (True, made["id"])
    assert row.event.data == {"webhook": {"id": made["id"], "name": "ops"}}


# -- lists, walls, the trail -----------------------------------------------------------------------------------------


def test_the_list_is_filtered(api: Api, hooks: Hooks) -> None:
    hooks.make(name="off", enabled=False)
    hooks.make(name="all", events=["*"])
    hooks.make(name="ops")

    def names(**query: str) -> list[str]:
        return [item["name"] for item in api.items("/webhooks", **query)]

    assert names() == ["ops", "all", "off"]
    assert names(enabled="false") == ["off"]
    assert names(event="queue.stuck") == ["all"]
    assert names(event="queue.stuck,run.failed", enabled="true") == ["ops", "all"]
    assert_refused(api.get("/webhooks", event="nothing"), 422, "invalid", "query", "event")


def test_the_list_costs_two_statements_however_long_it_is(api: Api, hooks: Hooks) -> None:
    for number in range(4):
        hooks.make(name=str(number))
    with CaptureQueriesContext(connection) as asked:
        assert len(api.items("/webhooks", limit=2)) == 2
    about = [query["sql"] for query in asked if '"webhook_endpoints"' in query["sql"]]
    assert len(about) == 2
    assert not any("secret" in sql for sql in about)


def test_another_workspaces_webhook_is_unknown(hooks: Hooks, stranger: Api) -> None:
    path = f"/webhooks/{hooks.make()['id']}"
    tried = [
        stranger.get(path),
        stranger.patch(path, {"name": "x"}),
        stranger.delete(path),
        stranger.post(f"{path}/rotate"),
        stranger.post(f"{path}/test"),
    ]
    assert [answer.status_code for answer in tried] == [404] * 5
    assert stranger.items("/webhooks") == []


def test_who_is_bound_to_a_user_has_none(api: Api, hooks: Hooks) -> None:
    path = f"/webhooks/{hooks.make()['id']}"
    bound = Api(api.workspace, user_id="ann")
    tried = [
        bound.get("/webhooks"),
        bound.post("/webhooks", BODY),
        bound.get(path),
        bound.delete(path),
        bound.post(f"{path}/rotate"),
        bound.post(f"{path}/test"),
        bound.get("/webhook-deliveries"),
        bound.get("/alerts"),
    ]
    for answer in tried:
        assert_refused(answer, 403, "forbidden")


def test_what_is_done_is_audited_without_secrets(api: Api, hooks: Hooks) -> None:
    made = hooks.make(secret=OWN)
    path = f"/webhooks/{made['id']}"
    api.patch(path, {"name": "new"})
    rotated = api.post(f"{path}/rotate").json()
    api.post(f"{path}/test")
    api.delete(path)
    entries = list(AuditEntry.objects.filter(subject_type="webhook", subject_id=made["id"]).order_by("id"))
    assert [entry.action for entry in entries] == ["created", "updated", "rotated", "tested", "deleted"]
    assert entries[1].details["changed"] == ["name"]
    assert entries[4].details["cancelled"] == 1
    assert not any(secret in str(entry.details) for entry in entries for secret in (OWN, rotated["secret"]))
