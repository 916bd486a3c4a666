"""The audit trail in the admin."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.identity import Identity
from accounts.models import AuditEntry
from assistants import services
from assistants.models import Assistant
from core.ids import new_id
from tests.assistants.admin_pages import page_of, shown

LIST = "/admin/accounts/auditentry/"


@pytest.fixture
def assistant(identity: Identity, body: dict[str, Any]) -> Assistant:
    """Created, then tagged."""
    made = services.create_assistant(identity, body)
    services.tag_version(identity, made.id, 1, "stable")
    return made


def listed(admin: Client, **query: Any) -> list[str]:
    found = admin.get(LIST, query)
    assert found.status_code == 200
    return [entry.action for entry in found.context["cl"].result_list]


def test_the_list_tells_who_did_what_to_what(admin: Client, assistant: Assistant) -> None:
    answer = admin.get(LIST)
    page = shown(answer)
    assert "key:tests tagged assistant helper tag: stable version: 1 Ours" in page
    assert f'href="{page_of(assistant)}"' in answer.content.decode()


def test_an_object_that_is_gone_has_no_link(admin: Client, assistant: Assistant) -> None:
    AuditEntry.objects.update(subject_id=(gone := new_id()))
    answer = admin.get(LIST)
    assert f"assistant {gone}" in shown(answer)
    assert str(gone) + "/change" not in answer.content.decode()


def test_entries_are_found_by_actor_and_subject(
    admin: Client, identity: Identity, stranger: Identity, assistant: Assistant, body: dict[str, Any]
) -> None:
    services.create_assistant(stranger, body)
    assert listed(admin, q="STRANGER") == ["created"]
    assert listed(admin, q=str(assistant.id)) == ["tagged", "created"]
    assert listed(admin, q=str(new_id())) == []


def test_entries_are_filtered(admin: Client, stranger: Identity, assistant: Assistant, body: dict[str, Any]) -> None:
    services.create_assistant(stranger, body)
    assert listed(admin, action="tagged") == ["tagged"]
    assert listed(admin, subject_type="assistant") == ["created", "tagged", "created"]
    assert listed(admin, workspace__id__exact=stranger.workspace_id) == ["created"]


def test_nobody_writes_the_trail(admin: Client, assistant: Assistant) -> None:
    entry = AuditEntry.objects.first()
    assert entry
    assert admin.get(f"{LIST}add/").status_code == 403
    assert admin.get(f"{LIST}{entry.id}/change/").status_code == 200
    assert admin.post(f"{LIST}{entry.id}/change/", {"actor": "nobody"}).status_code == 403
    assert admin.post(f"{LIST}{entry.id}/delete/", {"post": "yes"}).status_code == 403


def test_the_menu_leads_to_it(admin: Client, onlooker: Client) -> None:
    assert f'href="{LIST}"' in admin.get("/admin/").content.decode()
    assert f'href="{LIST}"' not in onlooker.get("/admin/").content.decode()
    assert onlooker.get(LIST).status_code == 403


def test_more_entries_need_no_more_queries(admin: Client, identity: Identity, assistant: Assistant) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            admin.get(LIST)
        return len(captured)

    few = queries()
    for number in range(5):
        made = services.create_assistant(identity, {"name": str(number), "llm": {"provider": "fake", "model": "echo"}})
        services.archive_assistant(identity, made.id)
    assert queries() == few
