"""Creating, changing and moving assistants."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from accounts.identity import Identity
from accounts.models import Workspace
from assistants import queries, services
from assistants.documents import assistant_document, version_document
from assistants.models import Assistant, AssistantVersion
from core.errors import AlreadyExists, Conflict, Invalid, NotFound, VersionConflict
from core.ids import new_id
from tests.api import UNKNOWN

Body = dict[str, Any]
NOWHERE = UNKNOWN
SUPPORT_AGENT = {
    "name": "support-agent",
    "type": "ReactAgent",
    "description": "Technical support agent for product documentation",
    "llm": {"provider": "openai", "model": "gpt-4o", "temperature": 0.3, "max_tokens": 4096},
    "system_prompt": "You are a technical support agent.",
    "tools": [{"name": "knowledge_search", "enabled": True}, {"name": "ticket_create", "enabled": True}],
    "skills": [{"skill_id": "troubleshoot-and-resolve", "version": "2.0.0"}],
    "memory": {"scope": "user", "provider": "mem0"},
    "mcp_servers": [],
    "metadata": {"team": "customer-success", "tier": "production"},
}


def create(identity: Identity, body: Body, **fields: Any) -> Assistant:
    return services.create_assistant(identity, {**body, **fields})


def patch(identity: Identity, assistant: Assistant, **changes: Any) -> Assistant:
    return services.update_assistant(identity, assistant.id, changes)


def config(identity: Identity, assistant: Assistant, number: int) -> Body:
    found: Body = queries.version(identity, assistant.id, number).config
    return found


def failed_checks(assistant: Assistant) -> list[str]:
    return [check["name"] for check in assistant.validation["checks"] if not check["ok"]]


def test_an_assistant_that_passes_its_checks_is_active_at_version_one(identity: Identity, body: Body) -> None:
    document = assistant_document(create(identity, body))
    assert (document["status"], document["version"]) == ("active", 1)
    assert document["validation"]["status"] == "passed"
    assert document["endpoint"] == f"/assistants/{document['id']}/sessions"
    assert document["created_by"] == "key:tests"
    assert document["created_at"] == document["updated_at"]
    assert not {"change_note", "expected_version"} & document.keys()


def test_activation_can_be_held_back(identity: Identity, body: Body) -> None:
    assistant = create(identity, body, status="created")
    assert (assistant.status, assistant.validation["status"]) == ("created", "passed")


OPENAI = {"provider": "openai", "model": "gpt-5-mini"}


def titled_by(llm: Body) -> Body:
    """An assistant whose middleware asks this model."""
    return {"middleware": [{"name": "conversation_title", "settings": {"llm": llm}}]}


def test_the_documented_example_is_taken_and_says_what_it_lacks(identity: Identity) -> None:
    assistant = create(identity, SUPPORT_AGENT)
    assert (assistant.status, assistant.version) == ("created", 1)
    assert {"tools.knowledge_search", "tools.ticket_create", "skills.troubleshoot-and-resolve"} <= set(
        failed_checks(assistant)
    )
    document = assistant_document(assistant)
    assert document["metadata"] == SUPPORT_AGENT["metadata"]


def with_writer(**own: Any) -> Body:
    writer = {"name": "writer", "description": "Writes.", "system_prompt": "Write.", **own}
    return {"middleware": [{"name": "subagents", "settings": {"subagents": [writer]}}]}


@pytest.mark.parametrize(
    ("fields", "check"),
    [
        ({"tools": [{"name": "no_such_tool"}]}, "tools.no_such_tool"),
        ({"tools": [{"name": "calculator", "parameters": {"surprise": 1}}]}, "tools.calculator"),
        ({"tools": [{"name": "knowledge_search"}]}, "tools.knowledge_search"),
        ({"tools": [{"name": "file_read"}]}, "tools.file_read"),
        ({"tools": [{"name": "web_search", "parameters": {"max_results": 3}}]}, "tools.web_search"),
        ({"llm": {"provider": "fake", "model": "script", "settings": {"turns": []}}}, "llm.settings.turns"),
        ({"llm": {"provider": "fake", "model": "parrot"}}, "llm.model"),
        ({"skills": [{"skill_id": "no-such-skill"}]}, "skills.no-such-skill"),
        ({"middleware": [{"name": "no-such"}]}, "middleware.no-such"),
        ({"middleware": [{"name": "limits", "settings": {}}]}, "middleware.limits"),
        ({"middleware": [{"name": "limits", "settings": {"max_cost_usd": 1}}]}, "middleware.limits"),
        ({"middleware": [{"name": "until_tool", "settings": {"tools": ["no-such"]}}]}, "middleware.until_tool"),
        (titled_by({"provider": "fake"}), "middleware.conversation_title"),
        (titled_by({"provider": "fake", "model": "parrot"}), "middleware.conversation_title"),
        (titled_by({**OPENAI, "base_url": "http://169.254.1.1/v1"}), "middleware.conversation_title"),
        (titled_by({**OPENAI, "api_key_env": "PATH"}), "middleware.conversation_title"),
        (titled_by({**OPENAI, "fallbacks": [3]}), "middleware.conversation_title"),
        (with_writer(tools=["no-such"]), "middleware.subagents"),
        (with_writer(llm={"provider": "fake", "model": "parrot"}), "middleware.subagents"),
        (with_writer(middleware=[{"name": "no-such"}]), "middleware.subagents"),
        (with_writer(middleware=[{"name": "until_tool"}]), "middleware.subagents"),
        (with_writer(middleware=[{"name": "until_tool", "settings": {"tools": ["no"]}}]), "middleware.subagents"),
        ({"knowledge_bases": [NOWHERE]}, f"knowledge_bases.{NOWHERE}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_this_server_does_not_have_fails_its_check(
    identity: Identity, body: Body, fields: Body, check: str
) -> None:
    assistant = create(identity, body, **fields)
    assert assistant.status == "created"
    assert failed_checks(assistant) == [check]


def test_a_tool_that_no_model_is_offered_need_not_work_here(identity: Identity, body: Body) -> None:
    tools = [{"name": "knowledge_search", "enabled": False}]
    assert create(identity, body, tools=tools).status == "active"


@pytest.mark.parametrize(
    ("fields", "check"),
    [
        ({"memory": {"scope": "user"}}, "memory.scope"),
        ({"memory": {"scope": "group"}}, "memory.scope"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_runs_cannot_use_yet_is_stored_with_a_note(
    identity: Identity, body: Body, fields: Body, check: str
) -> None:
    assistant = create(identity, body, **fields)
    assert assistant.status == "active"
    (note,) = [found for found in assistant.validation["checks"] if found["message"]]
    assert (note["name"], note["ok"]) == (check, True)
    assert "not supported by this server yet" in note["message"]


@pytest.mark.parametrize("block", [{"interrupt_on": {"calculator": True}}, {"output_schema": {"type": "object"}}])
def test_a_type_that_does_not_do_it_has_a_note(identity: Identity, body: Body, block: Body) -> None:
    assistant = create(identity, body, type="DocumentAssistant", **block)
    notes = {found["name"]: found["message"] for found in assistant.validation["checks"]}
    assert "with the type DocumentAssistant is not supported by this server yet" in notes[next(iter(block))]


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"interrupt_on": {"calculator": False}},
        {"interrupt_on": {"calculator": True}},
        {"output_schema": {"type": "object"}},
    ],
)
def test_what_runs_can_use_has_no_note(identity: Identity, body: Body, block: Body) -> None:
    assistant = create(identity, body, **block)
    assert not [found for found in assistant.validation["checks"] if found["message"]]


def test_nothing_is_stored_of_a_wrong_body(identity: Identity, body: Body) -> None:
    with pytest.raises(Invalid):
        create(identity, body, surprise=1)
    assert not Assistant.objects.exists()


def test_a_name_is_taken_once_in_a_workspace(identity: Identity, stranger: Identity, body: Body) -> None:
    create(identity, body)
    with pytest.raises(AlreadyExists, match="helper"):
        create(identity, body)
    create(stranger, body)
    assert Assistant.objects.count() == AssistantVersion.objects.count() == 2


def test_a_change_makes_a_new_version_and_leaves_the_old_one(identity: Identity, body: Body) -> None:
    assistant = create(identity, body, system_prompt="first")
    before = config(identity, assistant, 1)
    changed = services.update_assistant(identity, assistant.id, {"llm": {"temperature": 0.5}, "change_note": "warmer"})
    assert changed.version == 2
    assert config(identity, assistant, 1) == before
    assert config(identity, assistant, 2) == {**before, "llm": {**before["llm"], "temperature": 0.5}}
    assert version_document(queries.version(identity, assistant.id, 2))["change_note"] == "warmer"


def test_a_change_of_name_description_or_metadata_is_a_version_too(identity: Identity, body: Body) -> None:
    assistant = create(identity, body)
    patch(identity, assistant, name="renamed")
    patch(identity, assistant, description="new")
    changed = patch(identity, assistant, metadata={"team": "x"})
    assert (changed.version, changed.name, changed.description) == (4, "renamed", "new")
    assert config(identity, assistant, 1)["name"] == "helper"


def test_no_change_makes_no_version(identity: Identity, body: Body) -> None:
    assistant = create(identity, body, metadata={"a": 1})
    again = patch(identity, assistant, name="helper", max_steps=None, metadata={"gone": None})
    assert (again.version, again.updated_at) == (1, assistant.updated_at)
    assert patch(identity, assistant, metadata={"a": True}).version == 2


REPEATED = ("max_concurrent_runs", "requests_per_minute", "runs_per_day", "tokens_per_day", "labels", "metadata")


def test_the_row_follows_the_current_version(identity: Identity, body: Body) -> None:
    limits = {"rate_limit": {"requests_per_minute": 3}, "quota": {"runs_per_day": 4, "tokens_per_day": 5}}
    assistant = create(
        identity, body, max_concurrent_runs=2, **limits, resources={"labels": ["gpu"]}, metadata={"team": "x"}
    )
    assert Assistant.objects.values_list(*REPEATED).get() == (2, 3, 4, 5, ["gpu"], {"team": "x"})
    cleared = dict.fromkeys(["max_concurrent_runs", "rate_limit", "quota", "resources"])
    patch(identity, assistant, **cleared, metadata={"team": None})
    assert Assistant.objects.values_list(*REPEATED).get() == (None, None, None, None, [], {})


def test_an_active_assistant_stays_runnable(identity: Identity, body: Body) -> None:
    assistant = create(identity, body)
    with pytest.raises(Invalid) as caught:
        patch(identity, assistant, tools=[{"name": "no_such_tool"}])
    assert [error.loc for error in caught.value.errors] == [("tools", 0, "name")]
    assert Assistant.objects.get().version == 1


def test_a_created_assistant_may_be_changed_step_by_step(identity: Identity, body: Body) -> None:
    assistant = create(identity, body, tools=[{"name": "no_such_tool"}])
    changed = patch(identity, assistant, tools=[])
    assert (changed.version, changed.status, changed.validation["status"]) == (2, "created", "passed")


@pytest.mark.parametrize("if_match", ['"1"', 'W/"1"', "*", '"7", "1"', None])
def test_an_expected_version_that_is_current_passes(identity: Identity, body: Body, if_match: str | None) -> None:
    assistant = create(identity, body)
    change = {"max_steps": 5, "expected_version": 1}
    assert services.update_assistant(identity, assistant.id, change, if_match).version == 2


@pytest.mark.parametrize(("expected", "if_match"), [(7, None), (None, '"7"'), (1, '"7"'), (7, '"1"')])
def test_another_version_than_expected_is_a_conflict(
    identity: Identity, body: Body, expected: int | None, if_match: str | None
) -> None:
    assistant = create(identity, body)
    change = {"max_steps": 5, "expected_version": expected}
    with pytest.raises(VersionConflict):
        services.update_assistant(identity, assistant.id, change, if_match)


@pytest.mark.django_db(transaction=True)
def test_parallel_changes_get_a_version_each(body: Body) -> None:
    workspace = Workspace.objects.create(name="Ours", slug="ours")
    identity = Identity(workspace.id, frozenset({"*"}), "key:tests")
    assistant = create(identity, body)

    def change(value: int) -> int:
        try:
            return patch(identity, assistant, metadata={f"key{value}": value}).version
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        numbers = list(pool.map(change, range(20)))
    assert sorted(numbers) == list(range(2, 22))
    assert len(config(identity, assistant, 21)["metadata"]) == 20


@pytest.mark.django_db(transaction=True)
def test_of_parallel_creations_one_gets_the_name(body: Body) -> None:
    workspace = Workspace.objects.create(name="Ours", slug="ours")
    identity = Identity(workspace.id, frozenset({"*"}), "key:tests")

    def attempt(_: int) -> bool:
        try:
            return create(identity, body) is not None
        except AlreadyExists:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


MOVES = {
    "activate": services.activate_assistant,
    "archive": services.archive_assistant,
    "restore": services.restore_assistant,
    "delete": services.delete_assistant,
}


@pytest.mark.parametrize(
    ("status", "move", "target"),
    [
        ("created", "activate", "active"),
        ("created", "archive", None),
        ("created", "restore", None),
        ("created", "delete", "archived"),
        ("active", "activate", None),
        ("active", "archive", "archived"),
        ("active", "restore", None),
        ("active", "delete", "archived"),
        ("archived", "activate", None),
        ("archived", "archive", None),
        ("archived", "restore", "active"),
        ("archived", "delete", "archived"),
    ],
)
def test_every_move_between_states(identity: Identity, body: Body, status: str, move: str, target: str | None) -> None:
    assistant = create(identity, body)
    Assistant.objects.update(status=status)
    if target is None:
        with pytest.raises(Conflict):
            MOVES[move](identity, assistant.id)
    else:
        assert MOVES[move](identity, assistant.id).status == target
    assert Assistant.objects.get().status == (target or status)


@pytest.mark.parametrize(("status", "move"), [("created", "activate"), ("archived", "restore")])
def test_failed_checks_keep_an_assistant_from_serving(identity: Identity, body: Body, status: str, move: str) -> None:
    assistant = create(identity, body, tools=[{"name": "no_such_tool"}])
    Assistant.objects.update(status=status, validation={"checks": []})
    with pytest.raises(Conflict) as caught:
        MOVES[move](identity, assistant.id)
    assert [error.loc for error in caught.value.errors] == [("tools", 0, "name")]
    assert Assistant.objects.get().status == status
    assert failed_checks(Assistant.objects.get()) == ["tools.no_such_tool"]


def test_an_archived_assistant_is_read_only(identity: Identity, body: Body) -> None:
    assistant = create(identity, body)
    services.archive_assistant(identity, assistant.id)
    with pytest.raises(Conflict, match="archived"):
        patch(identity, assistant, max_steps=5)


def test_a_strangers_assistant_is_not_found(identity: Identity, stranger: Identity, body: Body) -> None:
    assistant = create(identity, body)
    acts = [queries.assistant, queries.versions, *MOVES.values()]
    acts.append(lambda who, it: services.update_assistant(who, it, {"max_steps": 5}))
    for act in acts:
        with pytest.raises(NotFound):
            act(stranger, assistant.id)
        with pytest.raises(NotFound):
            act(identity, new_id())
    assert Assistant.objects.get().status == "active"


def test_text_comes_back_verbatim(identity: Identity, body: Body) -> None:
    odd = {"lc": 1, "type": "constructor", "id": ["x"], "text": "{{ 7*7 }} ${HOME} 😀 \\u0000", "n": 1e300}
    assistant = create(identity, body, metadata=odd, system_prompt="{user} %s")
    document = assistant_document(queries.assistant(identity, assistant.id))
    assert document["metadata"] == odd
    assert document["system_prompt"] == "{user} %s"
