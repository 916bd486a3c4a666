"""Triggers in the admin."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.models import AuditEntry, Role
from scheduling.models import Trigger, TriggerCall
from tests.api import Api
from tests.scheduling.triggers import Sender, make
from tests.staff import act, list_of, page_of, staff

FORM = {"name": "ci", "enabled": "on", "verification": "standard", "signature_header": "x-hub-signature-256"}


@pytest.fixture
def editor(api: Api) -> Client:
    return staff(Role.EDITOR, api.workspace)


@pytest.fixture
def trigger(api: Api) -> Trigger:
    return Trigger.objects.get(pk=make(api)["id"])


def add(client: Client, api: Api, **fields: Any) -> Any:
    return client.post(f"{list_of(Trigger)}add/", {**FORM, "assistant": api.assistant(), **fields}, follow=True)


def test_a_trigger_is_added_and_its_secret_shown_once(api: Api, editor: Client) -> None:
    page = add(editor, api)
    made = Trigger.objects.get()
    assert page.text.count("whsec_") == 1
    shown = editor.get(page_of(made)).text
    assert "whsec_" not in shown
    assert f"/triggers/{made.token}" in shown


def test_one_that_is_signed_as_github_signs(api: Api, editor: Client) -> None:
    add(editor, api, verification="sha256", signature_header="x-signature", secret="a secret".replace(" ", "-") * 3)
    assert (Trigger.objects.get().verification, Trigger.objects.get().signature_header) == ("sha256", "x-signature")


@pytest.mark.parametrize(("field", "value"), [("secret", "guess"), ("tag", "no where"), ("version", "0")])
def test_what_cannot_be_stands_on_the_page(api: Api, editor: Client, field: str, value: str) -> None:
    page = add(editor, api, **{field: value})
    assert page.context["adminform"].form.errors
    assert not Trigger.objects.exists()


def test_a_trigger_is_changed_switched_rotated_and_deleted(trigger: Trigger, editor: Client) -> None:
    assert editor.post(page_of(trigger), {"name": "other"}).status_code == 302
    act(editor, trigger, "disable")
    assert "whsec_" in act(editor, trigger, "rotate")
    trigger.refresh_from_db()
    assert (trigger.name, trigger.enabled, trigger.previous_secret is not None) == ("other", False, True)
    editor.post(f"{list_of(Trigger)}{trigger.pk}/delete/", {"post": "yes"})
    assert not Trigger.objects.exists()
    trail = AuditEntry.objects.filter(subject_id=trigger.pk).order_by("id")
    assert [entry.action for entry in trail] == ["created", "updated", "updated", "rotated", "deleted"]


def test_its_page_has_the_calls(api: Api, editor: Client) -> None:
    document = make(api)
    called = Sender(document).standard(id_="msg_1")
    page = editor.get(page_of(Trigger.objects.get())).text
    assert "msg_1" in page
    assert f"/admin/runs/run/{called.json()['run_id']}/change/" in page
    call = TriggerCall.objects.get()
    found = editor.get(list_of(TriggerCall), {"q": document["id"]}).context["cl"].result_list
    assert [row.pk for row in found] == [call.pk]
    assert editor.get(page_of(call)).status_code == 200


def test_an_operator_looks_and_has_no_buttons(trigger: Trigger, api: Api) -> None:
    operator = staff(Role.OPERATOR, api.workspace)
    page = operator.get(page_of(trigger))
    assert page.status_code == 200
    assert "/act/" not in page.text


def test_a_list_takes_as_many_statements_for_many_rows(
    api: Api, editor: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(6):
        made = make(api, name=f"t{number}")
        TriggerCall.objects.create(trigger_id=made["id"], delivery_id="d", outcome="started")
    for model in (Trigger, TriggerCall):
        with django_assert_max_num_queries(11):
            page = editor.get(list_of(model))
        assert len(page.context["cl"].result_list) == 6
