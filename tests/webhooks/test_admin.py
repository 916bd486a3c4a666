"""Webhooks, what was sent to them, and alerts, as operators see them."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import AuditEntry, Role
from tests.api import UNKNOWN, Api
from tests.staff import act, act_on, list_of, page_of, staff, superuser
from tests.webhooks.hooks import Hooks
from webhooks.kinds import Kind
from webhooks.models import Alert, Attempt, Delivery, DeliveryStatus, Endpoint

SCRIPT = "<script>alert(1)</script>"
FORM = {"name": "ops", "url": "https://example.com/hooks?key=1", "events": ["run.failed"], "enabled": "on"}


@pytest.fixture
def editor(api: Api) -> Client:
    return staff(Role.EDITOR, api.workspace)


@pytest.fixture
def delivery(hooks: Hooks) -> Delivery:
    hooks.make()
    return hooks.tell(text="Hello")[0]


def attempt(delivery: Delivery, number: int = 1, **fields: Any) -> Attempt:
    """An attempt of which the receiver said something."""
    said = {"status_code": 500, "response_body": SCRIPT, "response_headers": {"x-said": SCRIPT}, **fields}
    return Attempt.objects.create(delivery=delivery, number=number, started_at=timezone.now(), duration_ms=12.0, **said)


def end(delivery: Delivery, status: DeliveryStatus, **fields: Any) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(status=status, attempt_count=1, **fields)


# -- webhooks ----------------------------------------------------------------------------------------------------------


def test_a_webhook_is_added_and_its_secret_shown_once(api: Api, editor: Client) -> None:
    form = {**FORM, "workspace": api.workspace.pk, "header_lines": "x-team: ops", "delays": "5, 60"}
    page = editor.post(f"{list_of(Endpoint)}add/", form, follow=True)
    made = Endpoint.objects.get()
    assert (made.headers, made.retry_delays_s) == ({"x-team": "ops"}, [5, 60])
    assert page.text.count("whsec_") == 1
    assert "whsec_" not in editor.get(page_of(made)).text
    assert AuditEntry.objects.get(subject_id=made.pk).actor.startswith("user:staff")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("url", "http://127.0.0.1/", "127.0.0.1"),
        ("header_lines", "webhook-id: 1", "own"),
        ("header_lines", "no colon", "name: value"),
        ("delays", "5, soon", "Whole seconds"),
        ("delays", "0", "greater than or equal to 1"),
        ("events", "run.eaten", "run.eaten"),
        ("secret", "guess", "whsec_"),
    ],
)
def test_what_cannot_be_stands_beside_its_field(api: Api, editor: Client, field: str, value: str, reason: str) -> None:
    page = editor.post(f"{list_of(Endpoint)}add/", {**FORM, "workspace": api.workspace.pk, field: value})
    assert page.status_code == 200
    assert reason in " ".join(page.context["adminform"].form.errors[field])
    assert not Endpoint.objects.exists()


def test_a_webhook_is_changed_and_deleted_by_the_services(hooks: Hooks, editor: Client) -> None:
    hooks.make(headers={"x-team": "ops"})
    made = Endpoint.objects.get()
    shown = editor.get(page_of(made)).context["adminform"].form.initial
    assert (
        editor.post(page_of(made), {**FORM, "name": "other", "header_lines": shown["header_lines"]}).status_code == 302
    )
    made.refresh_from_db()
    assert (made.name, made.headers) == ("other", {"x-team": "ops"})
    editor.post(f"{list_of(Endpoint)}{made.pk}/delete/", {"post": "yes"})
    assert not Endpoint.objects.exists()
    trail = AuditEntry.objects.filter(subject_id=made.pk).order_by("id")
    assert [entry.action for entry in trail] == ["created", "updated", "deleted"]


def test_its_buttons_test_switch_and_rotate(hooks: Hooks, editor: Client) -> None:
    hooks.make()
    made = Endpoint.objects.get()
    act(editor, made, "test")
    assert Delivery.objects.get().kind == Kind.TEST
    act(editor, made, "disable")
    assert not Endpoint.objects.get().enabled
    assert "whsec_" in act(editor, made, "rotate")
    act_on(editor, "enable", made)
    assert Endpoint.objects.get().enabled


def test_a_button_is_for_who_may_press_it_and_is_no_link(hooks: Hooks, api: Api) -> None:
    hooks.make()
    made, operator = Endpoint.objects.get(), staff(Role.OPERATOR, api.workspace)
    address, root = f"{list_of(Endpoint)}{made.pk}/act/disable/", superuser()
    assert address not in operator.get(page_of(made)).text
    assert operator.post(address).status_code == 404
    assert root.get(address).status_code == 405
    assert root.post(f"{list_of(Endpoint)}{made.pk}/act/delete_model/").status_code == 404
    assert Endpoint.objects.get().enabled


def test_the_list_says_how_many_arrived(hooks: Hooks, editor: Client) -> None:
    hooks.make()
    for status in (DeliveryStatus.DELIVERED, DeliveryStatus.DELIVERED, DeliveryStatus.DEAD):
        end(hooks.tell()[0], status)
    hooks.tell()
    assert "66 % of 3<" in editor.get(list_of(Endpoint)).text


def test_who_was_switched_off_says_why(hooks: Hooks, editor: Client) -> None:
    hooks.make()
    Endpoint.objects.update(enabled=False, disabled_reason="50 failures in a row")
    page = editor.get(list_of(Endpoint)).text
    assert "switched off" in page
    assert "50 failures in a row" in page


# -- deliveries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"status": "delivered", "last_status_code": 200}, "200"),
        ({"status": "dead", "last_status_code": 500, "last_error": "The answer was 500."}, "500"),
        ({"last_error": "refused: internal address"}, "refused: internal address"),
        ({"last_error": "no answer " * 50}, "no answer no answer"),
        ({}, "not sent yet"),
        ({"status": "cancelled"}, "cancelled"),
    ],
)
def test_the_log_says_what_came_back(delivery: Delivery, editor: Client, fields: Any, said: str) -> None:
    Delivery.objects.update(**fields)
    page = editor.get(list_of(Delivery)).text
    assert said in page
    assert "example.com/hooks" in page
    assert "kept for 30 days" in page


def test_answers_are_text_and_never_markup(delivery: Delivery, editor: Client) -> None:
    attempt(delivery, error=SCRIPT, request_headers={"webhook-id": str(delivery.event_id)})
    page = editor.get(page_of(delivery)).text
    assert SCRIPT not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
    assert f"webhook-id: {delivery.event_id}" in page


def test_a_delivery_is_sent_again(delivery: Delivery, editor: Client) -> None:
    end(delivery, DeliveryStatus.DEAD)
    assert "with the same webhook-id" in act(editor, delivery, "redeliver")
    assert Delivery.objects.get().status == DeliveryStatus.PENDING


def test_an_operator_sends_nothing_again(delivery: Delivery, api: Api) -> None:
    end(delivery, DeliveryStatus.DEAD)
    operator = staff(Role.OPERATOR, api.workspace)
    assert operator.get(page_of(delivery)).status_code == 200
    act_on(operator, "redeliver", delivery)
    assert Delivery.objects.get().status == DeliveryStatus.DEAD


def test_what_cannot_be_sent_again_says_so(delivery: Delivery, editor: Client, hooks: Hooks) -> None:
    hooks.api.delete(f"/webhooks/{delivery.endpoint_id}")
    assert "deleted" in act(editor, delivery, "redeliver")


@pytest.mark.parametrize("name", ["pk", "event_id", "endpoint_id"])
def test_a_delivery_is_found_by_whole_ids(delivery: Delivery, editor: Client, name: str) -> None:
    found = editor.get(list_of(Delivery), {"q": str(getattr(delivery, name))}).context["cl"].result_list
    assert [row.pk for row in found] == [delivery.pk]


def test_the_log_is_filtered(delivery: Delivery, editor: Client) -> None:
    for query, count in (
        ({"endpoint": delivery.endpoint_id}, 1),
        ({"endpoint": "x"}, 0),
        ({"kind": Kind.RUN_FAILED}, 1),
        ({"kind": Kind.TEST}, 0),
        ({"status__exact": "pending"}, 1),
    ):
        assert len(editor.get(list_of(Delivery), query).context["cl"].result_list) == count, query


# -- alerts ------------------------------------------------------------------------------------------------------------


def alert(api: Api | None, message: str = "It is dead.", **fields: Any) -> Alert:
    workspace = api.workspace if api else None
    made = {"kind": Kind.DELIVERY_DEAD, "subject": message, "message": message, **fields}
    return Alert.objects.create(workspace=workspace, **made)


def test_open_alerts_stand_first_and_are_resolved(api: Api, editor: Client) -> None:
    old = alert(api, "old")
    alert(api, "well again", resolved_at=timezone.now())
    assert [row.message for row in editor.get(list_of(Alert)).context["cl"].result_list] == ["old", "well again"]
    act(editor, old, "resolve")
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_the_servers_alert_is_everybodys_and_resolves_itself(api: Api, editor: Client) -> None:
    missing = alert(None, "No worker is alive.", kind=Kind.WORKERS_MISSING)
    assert editor.get(page_of(missing)).status_code == 200
    assert "when all is well again" in act(editor, missing, "resolve")
    assert Alert.objects.get().resolved_at is None


def test_every_page_begins_with_what_is_wrong(api: Api, stranger: Api, editor: Client) -> None:
    for number in range(5):
        alert(api, f"Wrong {number}.")
    alert(stranger, "Somebody elses wrong.")
    page = editor.get("/admin/").text
    assert "Wrong 4." in page
    assert "Wrong 1." not in page
    assert "and 2 more" in page
    assert "Somebody elses wrong." not in page
    assert "Somebody elses wrong." in superuser().get("/admin/").text


def test_what_is_well_again_is_no_notice(api: Api, editor: Client) -> None:
    alert(api, "Wrong.", resolved_at=timezone.now())
    assert 'aria-label="Open alerts"' not in editor.get("/admin/").text


@pytest.mark.parametrize("subject", [UNKNOWN, "no id"])
@pytest.mark.parametrize("kind", [Kind.SCHEDULE_FAILED, Kind.DELIVERY_DEAD, Kind.QUEUE_STUCK, Kind.WORKERS_MISSING])
def test_a_notice_leads_to_a_page_that_there_is(api: Api, kind: Kind, subject: str) -> None:
    alert(api, kind=kind, subject=subject)
    client = superuser()
    found = re.search(r'aria-label="Open alerts".*?href="([^"]+)"', client.get("/admin/").text, re.DOTALL)
    assert found
    address = unescape(found[1])
    is_of_no_schedule = kind == Kind.SCHEDULE_FAILED and subject == UNKNOWN
    assert client.get(address).status_code == (404 if is_of_no_schedule else 200)


# -- what it costs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [Endpoint, Delivery, Alert])
def test_a_list_takes_as_many_statements_for_many_rows(
    hooks: Hooks, editor: Client, model: Any, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(6):
        hooks.make(name=f"ops {number}")
        alert(hooks.api, f"Wrong {number}.")
    attempt(hooks.tell()[0])
    with django_assert_max_num_queries(12):
        page = editor.get(list_of(model))
    assert len(page.context["cl"].result_list) == 6
