"""Assistants in the admin: found, looked at, added and moved through the services."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.identity import Identity
from accounts.models import User, Workspace
from assistants import services, validation
from assistants.config import UpdateOptions
from assistants.models import Assistant
from tests.assistants.admin_pages import LIST, page_of, post, shown

pytestmark = pytest.mark.django_db
Body = dict[str, Any]
Make = Callable[..., Assistant]

READING = ["change", "compare", "history", "versions/1"]
WRITING = ["new-version", "activate", "archive", "restore", "versions/1/rollback", "versions/1/tags", "delete-for-good"]


@pytest.fixture
def make(identity: Identity, body: Body) -> Make:
    return lambda **config: services.create_assistant(identity, {**body, **config})


def listed(admin: Client, **query: str) -> list[str]:
    """The names that the list holds."""
    found = admin.get(LIST, query)
    assert found.status_code == 200
    return [assistant.name for assistant in found.context["cl"].result_list]


def add(admin: Client, identity: Identity, body: Any) -> str:
    text = body if isinstance(body, str) else json.dumps(body)
    return post(admin, f"{LIST}add/", workspace=str(identity.workspace_id), configuration=text)


def act(admin: Client, action: str, *assistants: Assistant, **fields: Any) -> str:
    return post(admin, LIST, action=action, _selected_action=[str(row.id) for row in assistants], **fields)


# -- the list --------------------------------------------------------------------------------------------------------


def test_assistants_are_searched(admin: Client, make: Make) -> None:
    helper = make(description="Answers customers.", metadata={"team": "support"})
    make(name="other")
    for term in ("help", "CUSTOMERS", str(helper.id), "support"):
        assert listed(admin, q=term) == ["helper"], term
    assert listed(admin, q="nobody") == []


def test_assistants_are_filtered(admin: Client, make: Make) -> None:
    make()
    make(name="broken", tools=[{"name": "no_such_tool"}])
    assert listed(admin, status__exact="active") == ["helper"]
    assert listed(admin, checks="failed") == ["broken"]
    assert listed(admin, checks="passed") == ["helper"]
    assert listed(admin, type="DocumentAssistant") == []


def test_a_row_tells_state_checks_and_tags(admin: Client, identity: Identity, make: Make) -> None:
    broken = make(tools=[{"name": "no_such_tool"}])
    services.tag_version(identity, broken.id, 1, "stable")
    page = shown(admin.get(LIST))
    for word in ("created", "failed", "stable → 1", "Ours"):
        assert word in page


def test_more_rows_need_no_more_queries(admin: Client, identity: Identity, make: Make) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            admin.get(LIST)
        return len(captured)

    services.tag_version(identity, make().id, 1, "stable")
    few = queries()
    for number in range(5):
        services.tag_version(identity, make(name=f"assistant {number}").id, 1, "stable")
    assert queries() == few


# -- one assistant ---------------------------------------------------------------------------------------------------


def test_an_assistant_shows_what_it_is(admin: Client, make: Make) -> None:
    assistant = make(
        system_prompt="<b>Be kind.</b>",
        llm={"provider": "fake", "model": "echo", "temperature": 0.5},
        quota={"tokens_per_day": 1_000_000},
        resources={"labels": ["gpu"]},
        metadata={"team": "support"},
        max_steps=7,
    )
    page = shown(admin.get(page_of(assistant)))
    for words in (
        "<b>Be kind.</b>",
        "fake / echo",
        "temperature 0.5",
        "Tokens a day 1,000,000",
        "Runs a day no limit",
        "Worker labels gpu",
        "team support",
        "max_steps 7",
    ):
        assert words in page
    assert "run_timeout_s 3600" not in page


def test_checks_are_told_in_words_those_first_that_need_somebody(admin: Client, make: Make) -> None:
    page = shown(admin.get(page_of(make(tools=[{"name": "no_such_tool"}], memory={"scope": "user"}))))
    checks = page[page.index("Checks failed") : page.index("Versions")]
    assert "failed tools.no_such_tool There is no tool 'no_such_tool'." in checks
    assert checks.index("close failed") < checks.index("info note memory.scope") < checks.index("check ok type")


def test_versions_are_paged_the_latest_first(admin: Client, identity: Identity, make: Make) -> None:
    assistant = make()
    for steps in range(1, 12):
        services.update_assistant(identity, assistant.id, {"max_steps": steps, "change_note": f"note {steps}."})
    services.tag_version(identity, assistant.id, 2, "stable")
    services.roll_back_assistant(identity, assistant.id, 5, UpdateOptions(change_note=""))
    first = shown(admin.get(page_of(assistant)))
    second = shown(admin.get(page_of(assistant), {"page": 2}))
    assert "13 current Rolled back to version 5. (copied from 5) key:tests" in first
    assert "note 11." in first
    assert "note 2." not in first
    assert "2 stable note 1." in second
    assert "stable → 2" in first


def test_one_version_is_shown_as_it_was(admin: Client, identity: Identity, make: Make) -> None:
    assistant = make(system_prompt="I am the first.", change_note="How it began.")
    services.update_assistant(identity, assistant.id, {"system_prompt": "I am the second."})
    page = shown(admin.get(page_of(assistant, "versions/1")))
    assert "I am the first." in page
    assert "How it began." in page
    assert admin.get(page_of(assistant, "versions/9")).status_code == 404


def test_the_history_tells_who_did_what(admin: Client, identity: Identity, make: Make) -> None:
    assistant = make()
    services.update_assistant(identity, assistant.id, {"max_steps": 7})
    post(admin, page_of(assistant, "archive"))
    history = shown(admin.get(page_of(assistant, "history")))
    history = history[history.index("When") :]
    assert "key:tests updated changed: max_steps changes: 1 version: 2" in history
    assert history.index("user:admin archived") < history.index("updated") < history.index("key:tests created")


# -- adding ----------------------------------------------------------------------------------------------------------


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
        ({"name": "taken"}, "named 'taken' exists"),
        ("{", "The configuration is not valid JSON"),
        ("[]", "must be a JSON object"),
        ("", "This field is required"),
    ],
    ids=str,
)
def test_a_wrong_configuration_is_explained(
    admin: Client, identity: Identity, make: Make, body: Body, change: Any, message: str
) -> None:
    make(name="taken")
    page = add(admin, identity, {**body, **change} if isinstance(change, dict) else change)
    assert message in page
    assert "New assistant" in page
    assert Assistant.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_servers_are_asked(
    admin: Client, identity: Identity, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_transaction = []
    probe_all = validation.probe_all

    def watched(servers: list[Any], secrets: Any) -> list[str]:
        in_transaction.append(connection.in_atomic_block)
        return probe_all(servers, secrets)

    monkeypatch.setattr(validation, "probe_all", watched)
    server = {"name": "nobody", "transport": "sse", "url": "http://127.0.0.1:9/sse"}
    add(admin, identity, {**body, "mcp_servers": [server]})
    post(admin, page_of(Assistant.objects.get(), "activate"))
    assert in_transaction == [False, False]


# -- moving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        ("created", {"activate", "archive", "new-version"}),
        ("active", {"archive", "new-version"}),
        ("archived", {"restore"}),
    ],
)
def test_only_what_the_state_allows_is_offered(
    admin: Client, identity: Identity, make: Make, status: str, offered: set[str]
) -> None:
    assistant = make(status="created") if status == "created" else make()
    if status == "archived":
        services.archive_assistant(identity, assistant.id)
    page = admin.get(page_of(assistant)).content.decode()
    assert {name for name in ("activate", "archive", "restore", "new-version") if f'{name}/"' in page} == offered


def test_an_assistant_is_moved_from_its_page(admin: Client, make: Make) -> None:
    assistant = make(status="created")
    assert "helper: activated." in post(admin, page_of(assistant, "activate"))
    assert "helper: archived." in post(admin, page_of(assistant, "archive"))
    assert "helper: restored." in post(admin, page_of(assistant, "restore"))
    assert Assistant.objects.get().status == "active"


def test_what_cannot_be_is_said(admin: Client, make: Make) -> None:
    broken = make(tools=[{"name": "no_such_tool"}])
    assert "tools.0.name: There is no tool 'no_such_tool'." in post(admin, page_of(broken, "activate"))
    assert "cannot be restored" in post(admin, page_of(broken, "restore"))


def test_looking_at_a_page_moves_nothing(admin: Client, make: Make) -> None:
    assistant = make()
    assert "Nothing is lost" in shown(admin.get(page_of(assistant, "archive")))
    assert Assistant.objects.get().status == "active"


def test_several_are_moved_at_once(admin: Client, make: Make) -> None:
    both = make(), make(name="other")
    assert "helper in Ours" in act(admin, "archive", *both)
    assert {row.status for row in Assistant.objects.all()} == {"active"}
    assert "other: archived." in act(admin, "archive", *both, confirmed="yes")
    assert "helper: An assistant that is archived cannot be activated." in act(admin, "activate", *both)
    assert "helper: restored." in act(admin, "restore", *both)


# -- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", READING)
def test_an_onlooker_may_look(onlooker: Client, make: Make, page: str) -> None:
    assert onlooker.get(page_of(make(), page)).status_code == 200


@pytest.mark.parametrize("page", WRITING)
def test_an_onlooker_writes_nothing(onlooker: Client, make: Make, page: str) -> None:
    assistant = make()
    assert onlooker.get(page_of(assistant, page)).status_code == 403
    assert onlooker.post(page_of(assistant, page), {"name": "helper"}).status_code == 403
    assert f'{page}/"' not in onlooker.get(page_of(assistant)).content.decode()


def test_an_onlooker_adds_nothing(onlooker: Client, identity: Identity) -> None:
    assert onlooker.get(f"{LIST}add/").status_code == 403
    assert onlooker.post(f"{LIST}add/", {"workspace": identity.workspace_id}).status_code == 403


@pytest.mark.parametrize("page", [*READING, *WRITING])
def test_staff_without_a_permission_sees_nothing(client: Client, make: Make, page: str) -> None:
    client.force_login(User.objects.create_user("staff", is_staff=True))
    assert client.get(page_of(make(), page)).status_code == 403


@pytest.mark.parametrize("page", WRITING)
def test_a_form_of_another_site_writes_nothing(make: Make, page: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("admin", password="admin"))
    assistant = make()
    assert client.post(page_of(assistant, page), {"name": "helper", "expected_version": 1}).status_code == 403


@pytest.mark.parametrize("page", [*READING, *WRITING])
def test_an_unknown_assistant_is_not_found(admin: Client, make: Make, page: str) -> None:
    stray = Assistant(workspace=Workspace.objects.create(name="Else", slug="else"), name="nobody")
    assert admin.get(page_of(stray, page)).status_code == 404
