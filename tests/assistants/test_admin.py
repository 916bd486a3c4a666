"""Assistants in the admin: read, added and moved through the services."""

import json
import re
from typing import Any

import pytest
from django.test import Client

from accounts.identity import Identity
from accounts.models import User
from assistants import services
from assistants.models import Assistant

pytestmark = pytest.mark.django_db
LIST = "/admin/assistants/assistant/"
Body = dict[str, Any]


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin", password="admin"))
    return client


def shown(response: Any) -> str:
    assert response.status_code == 200, response.content
    page: str = response.content.decode()
    return page


def add(admin: Client, identity: Identity, body: Any) -> str:
    text = body if isinstance(body, str) else json.dumps(body)
    fields = {"workspace": str(identity.workspace_id), "configuration": text}
    return shown(admin.post(f"{LIST}add/", fields, follow=True))


def act(admin: Client, action: str, assistant: Assistant) -> str:
    fields = {"action": action, "_selected_action": [str(assistant.id)]}
    return shown(admin.post(LIST, fields, follow=True))


def test_the_list_is_searched_and_filtered(admin: Client, identity: Identity, body: Body) -> None:
    services.create_assistant(identity, body)
    assert "helper" in shown(admin.get(LIST))
    assert "helper" in shown(admin.get(f"{LIST}?q=help&status__exact=active"))
    assert "helper" not in shown(admin.get(f"{LIST}?status__exact=archived"))


def test_an_assistant_shows_its_configuration_and_versions(admin: Client, identity: Identity, body: Body) -> None:
    assistant = services.create_assistant(identity, {**body, "system_prompt": "<b>Be kind.</b>"})
    services.update_assistant(identity, assistant.id, {"change_note": "shorter", "max_steps": 7})
    page = shown(admin.get(f"{LIST}{assistant.id}/change/"))
    assert "&lt;b&gt;Be kind.&lt;/b&gt;" in page
    assert "shorter" in page
    assert not re.search(r'name="(status|version|_save)"', page)


def test_an_assistant_is_added_as_by_the_api(admin: Client, identity: Identity, body: Body) -> None:
    page = add(admin, identity, {**body, "tools": [{"name": "no_such_tool"}]})
    assistant = Assistant.objects.get()
    assert (assistant.status, assistant.created_by) == ("created", "user:admin")
    assert "There is no tool" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"llm": {"provider": "fake"}}, "llm.model: Field required"),
        ({"surprise": 1}, "surprise: "),
        ({"name": "taken"}, "named &#x27;taken&#x27; exists"),
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
    ],
    ids=str,
)
def test_a_wrong_configuration_is_explained(
    admin: Client, identity: Identity, body: Body, change: Any, message: str
) -> None:
    services.create_assistant(identity, {**body, "name": "taken"})
    assert message in add(admin, identity, {**body, **change} if isinstance(change, dict) else change)
    assert Assistant.objects.count() == 1


def test_actions_move_assistants_and_say_what_they_cannot(admin: Client, identity: Identity, body: Body) -> None:
    assistant = services.create_assistant(identity, body)
    assert "helper: archived." in act(admin, "archive", assistant)
    assert "helper: An assistant that is archived cannot be activated." in act(admin, "activate", assistant)
    assert "helper: restored." in act(admin, "restore", assistant)
    assert Assistant.objects.get().status == "active"


def test_nothing_is_deleted_here(admin: Client, identity: Identity, body: Body) -> None:
    assistant = services.create_assistant(identity, body)
    assert admin.post(f"{LIST}{assistant.id}/delete/", {"post": "yes"}).status_code == 403
    assert Assistant.objects.exists()
