"""Deleting an assistant for good in the admin, and what its runs add to the list."""

import pytest
from django.test import Client

from accounts.models import Membership, Role, User
from assistants.models import Assistant
from runs.models import Run
from sessions.models import Session
from tests.api import Api
from tests.assistants.admin_pages import LIST, page_of, post, shown


@pytest.fixture
def assistant(api: Api) -> Assistant:
    return Assistant.objects.get(id=api.assistant(name="helper"))


def test_who_types_its_name_deletes_it(admin: Client, api: Api, assistant: Assistant) -> None:
    api.session(str(assistant.id))
    page = shown(admin.get(page_of(assistant, "delete-for-good")))
    assert "Sessions 1, with their messages" in page
    assert "Delete for good" in shown(admin.get(page_of(assistant)))
    assert "helper is deleted" in post(admin, page_of(assistant, "delete-for-good"), name="helper")
    assert not Assistant.objects.exists()
    assert not Session.objects.exists()


@pytest.mark.parametrize("name", ["", "Helper", "helper ", "other"])
def test_another_name_deletes_nothing(admin: Client, assistant: Assistant, name: str) -> None:
    page = post(admin, page_of(assistant, "delete-for-good"), name=name)
    assert "This is not the assistant's name." in page or "This field is required." in page
    assert Assistant.objects.exists()


def test_an_assistant_with_runs_under_way_is_not_deleted(admin: Client, api: Api, assistant: Assistant) -> None:
    api.run(api.session(str(assistant.id)))
    assert "1 of its runs has not ended" in shown(admin.get(page_of(assistant, "delete-for-good")))
    page = post(admin, page_of(assistant, "delete-for-good"), name="helper")
    assert "not ended: 1 pending" in page
    assert Assistant.objects.exists()


def test_who_looks_on_deletes_nothing(client: Client, api: Api, assistant: Assistant) -> None:
    person = User.objects.create_user("otto", is_staff=True)
    Membership.objects.create(workspace=api.workspace, user=person, role=Role.OPERATOR)
    client.force_login(person)
    assert "Delete for good" not in shown(client.get(page_of(assistant)))
    assert client.post(page_of(assistant, "delete-for-good"), {"name": "helper"}).status_code == 403
    assert Assistant.objects.exists()


def test_djangos_own_deletion_is_closed(admin: Client, assistant: Assistant) -> None:
    assert admin.post(page_of(assistant, "delete"), {"post": "yes"}).status_code == 403
    assert Assistant.objects.exists()


def test_the_list_tells_how_many_runs_are_running(admin: Client, api: Api, assistant: Assistant) -> None:
    for _ in range(3):
        api.run(api.session(str(assistant.id)))
    running = [run.pk for run in Run.objects.all()[:2]]
    Run.objects.filter(pk__in=running).update(status="running", lease_owner=running[0])
    (row,) = admin.get(LIST).context["cl"].result_list
    assert row.running == 2
