"""Versions that never change: compared, rolled back to, tagged; and who did what."""

from typing import Any

import pytest
from django.db import Error, connection, transaction

from assistants.diff import changes
from assistants.models import Assistant, AssistantVersion
from tests.api import Api, assert_refused


@pytest.fixture
def assistant(api: Api) -> str:
    """An assistant at version 2; its path."""
    path = f"/assistants/{api.assistant(name='helper', system_prompt='first')}"
    assert api.patch(path, {"system_prompt": "second", "llm": {"temperature": 0.5}}).json()["version"] == 2
    return path


def put(api: Api, path: str) -> Any:
    return api.client.put(path)


# -- immutable -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE assistant_versions SET config = '{}'",
        "UPDATE assistant_versions SET number = number + 10",
        "UPDATE assistant_versions SET change_note = 'x' WHERE number = 1",
        "DELETE FROM assistant_versions WHERE number = 1; SET CONSTRAINTS ALL IMMEDIATE",
    ],
)
def test_the_database_refuses_to_change_a_version(assistant: str, statement: str) -> None:
    before = list(AssistantVersion.objects.values())
    with pytest.raises(Error, match="is immutable"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert list(AssistantVersion.objects.values()) == before


def test_versions_go_with_their_assistant(assistant: str) -> None:
    Assistant.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert not AssistantVersion.objects.exists()


# -- compared ------------------------------------------------------------------------------------------------------


def change(path: str, op: str, old: Any, new: Any) -> dict[str, Any]:
    return {"path": path, "op": op, "from": old, "to": new}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [change("a", "replace", 1, True)]),
        ({"a": None}, {"a": {"b": 1}}, [change("a", "replace", None, {"b": 1})]),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": 3, "d": 2}}}, [change("a.b.c", "replace", 1, 3)]),
        ({"a": {"x": 1}}, {"a": {"y": 1}}, [change("a.x", "remove", 1, None), change("a.y", "add", None, 1)]),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, [change("a", "replace", [1, 2], [1, 2, 3])]),
        ({"m": {"a.b": 1}}, {"m": {"a.b": 2}}, [change('m["a.b"]', "replace", 1, 2)]),
    ],
)
def test_a_difference_is_found_where_it_is(old: Any, new: Any, found: list[Any]) -> None:
    assert changes(old, new) == found


def test_two_versions_are_compared_in_any_order(api: Api, assistant: str) -> None:
    there = api.get(f"{assistant}/versions/diff", **{"from": 1, "to": 2}).json()
    assert (there["from"], there["to"]) == (1, 2)
    assert there["changes"] == [
        change("llm.temperature", "replace", None, 0.5),
        change("system_prompt", "replace", "first", "second"),
    ]
    assert there["from_config"] == api.get(f"{assistant}/versions/1").json()["config"]
    back = api.get(f"{assistant}/versions/diff", **{"from": 2, "to": 1}).json()
    assert back["changes"][0] == change("llm.temperature", "replace", 0.5, None)
    assert (back["from_config"], back["to_config"]) == (there["to_config"], there["from_config"])
    assert api.get(f"{assistant}/versions/diff", **{"from": 2, "to": 2}).json()["changes"] == []


@pytest.mark.parametrize(
    ("query", "names"),
    [("", ["from", "to"]), ("from=1", ["to"]), ("from=0&to=x", ["from", "to"]), ("from=1&to=2&by=3", ["by"])],
)
def test_a_comparison_wants_two_versions(api: Api, assistant: str, query: str, names: list[str]) -> None:
    answer = api.get(f"{assistant}/versions/diff?{query}")
    assert [error["loc"] for error in answer.json()["errors"]] == [["query", name] for name in names]
    assert answer.status_code == 422


def test_an_unknown_version_cannot_be_compared(api: Api, assistant: str) -> None:
    assert_refused(api.get(f"{assistant}/versions/diff?from=1&to=3"), 404, "not_found")


# -- rolled back to ------------------------------------------------------------------------------------------------


def test_a_rollback_copies_forward(api: Api, assistant: str) -> None:
    answer = api.post(f"{assistant}/versions/1/rollback")
    assert (answer.status_code, answer.json()["version"], answer.json()["system_prompt"]) == (201, 3, "first")
    versions = api.items(f"{assistant}/versions")
    assert [version["version"] for version in versions] == [3, 2, 1]
    assert versions[0]["config"] == versions[2]["config"]
    assert (versions[0]["source_version"], versions[0]["change_note"]) == (1, "Rolled back to version 1.")


def test_a_rollback_takes_a_note_and_an_expected_version(api: Api, assistant: str) -> None:
    stale = api.post(f"{assistant}/versions/1/rollback", {"expected_version": 1})
    assert_refused(stale, 409, "version_conflict")
    api.post(f"{assistant}/versions/1/rollback", {"expected_version": 2, "change_note": "It was better."})
    assert api.get(f"{assistant}/versions/3").json()["change_note"] == "It was better."


def test_a_rollback_that_cannot_be_is_refused(api: Api, assistant: str) -> None:
    assert_refused(api.post(f"{assistant}/versions/3/rollback"), 404, "not_found")
    assert_refused(api.post(f"{assistant}/versions/1/rollback", {"surprise": 1}), 422, "invalid", "surprise")
    api.post(f"{assistant}/archive")
    assert_refused(api.post(f"{assistant}/versions/1/rollback"), 409, "conflict")
    assert api.get(assistant).json()["version"] == 2


def test_an_old_name_that_is_taken_by_now_is_a_conflict(api: Api, assistant: str) -> None:
    api.patch(assistant, {"name": "renamed"})
    api.assistant(name="helper")
    assert_refused(api.post(f"{assistant}/versions/1/rollback"), 409, "already_exists")


def test_an_active_assistant_is_not_rolled_back_to_what_cannot_run(api: Api) -> None:
    broken = {"name": "b", "llm": {"provider": "fake", "model": "echo"}, "tools": [{"name": "gone"}]}
    path = f"/assistants/{api.post('/assistants', broken).json()['id']}"
    api.patch(path, {"tools": []})
    # While it does not serve, it may be rolled back to anything.
    assert api.post(f"{path}/versions/1/rollback").json()["validation"]["status"] == "failed"
    api.post(f"{path}/versions/2/rollback")
    api.post(f"{path}/activate")
    answer = api.post(f"{path}/versions/1/rollback")
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (409, ["tools", 0, "name"])


# -- tagged --------------------------------------------------------------------------------------------------------


def test_a_tag_moves_and_sessions_by_tag_follow(api: Api, assistant: str) -> None:
    assert put(api, f"{assistant}/versions/1/tags/stable").json()["tags"] == ["stable"]
    older = api.post(f"{assistant}/sessions", {"tag": "stable"}).json()
    assert put(api, f"{assistant}/versions/2/tags/stable").json()["tags"] == ["stable"]
    assert put(api, f"{assistant}/versions/2/tags/v2-beta").json()["tags"] == ["stable", "v2-beta"]
    assert api.get(assistant).json()["tags"] == {"stable": 2, "v2-beta": 2}
    assert api.get(f"{assistant}/versions/1").json()["tags"] == []
    newer = api.post(f"{assistant}/sessions", {"tag": "stable"}).json()
    assert (older["assistant_version"], newer["assistant_version"]) == (1, 2)
    assert api.get(f"/sessions/{older['id']}").json()["assistant_version"] == 1


def test_a_tag_is_taken_off(api: Api, assistant: str) -> None:
    put(api, f"{assistant}/versions/1/tags/stable")
    assert_refused(api.delete(f"{assistant}/versions/2/tags/stable"), 404, "not_found")
    assert api.delete(f"{assistant}/versions/1/tags/stable").status_code == 204
    assert_refused(api.delete(f"{assistant}/versions/1/tags/stable"), 404, "not_found")
    assert_refused(api.post(f"{assistant}/sessions", {"tag": "stable"}), 422, "invalid", "tag")


@pytest.mark.parametrize("tag", ["Stable", "-x", "a" * 65, "a b", "é", "%20"])
def test_a_tag_has_a_form(api: Api, assistant: str, tag: str) -> None:
    assert_refused(put(api, f"{assistant}/versions/1/tags/{tag}"), 422, "invalid", "tag")


def test_a_tag_that_cannot_be_put_is_refused(api: Api, assistant: str) -> None:
    assert_refused(put(api, f"{assistant}/versions/3/tags/stable"), 404, "not_found")
    api.post(f"{assistant}/archive")
    assert_refused(put(api, f"{assistant}/versions/1/tags/stable"), 409, "conflict")


# -- who did what --------------------------------------------------------------------------------------------------


def test_the_audit_trail_tells_every_act(api: Api, assistant: str) -> None:
    put(api, f"{assistant}/versions/1/tags/stable")
    put(api, f"{assistant}/versions/1/tags/stable")
    put(api, f"{assistant}/versions/2/tags/stable")
    api.delete(f"{assistant}/versions/2/tags/stable")
    api.patch(assistant, {"max_steps": None})
    api.post(f"{assistant}/versions/1/rollback")
    for move in ("archive", "restore", "activate"):
        api.post(f"{assistant}/{move}")
    entries = api.items(f"{assistant}/audit", ordering="created_at")
    assert [(entry["action"], entry["details"]) for entry in entries] == [
        ("created", {"version": 1, "name": "helper"}),
        ("updated", {"version": 2, "changed": ["llm.temperature", "system_prompt"], "changes": 2}),
        ("tagged", {"tag": "stable", "version": 1, "moved_from": None}),
        ("tagged", {"tag": "stable", "version": 2, "moved_from": 1}),
        ("untagged", {"tag": "stable", "version": 2}),
        ("rolled_back", {"version": 3, "source_version": 1}),
        ("archived", {"version": 3}),
        ("restored", {"version": 3}),
    ]
    told = {"id", "action", "actor", "actor_id", "subject_type", "subject_id", "details", "created_at"}
    assert entries[1].keys() == told
    assert entries[1]["actor"].startswith("key:")
    assert [entry["action"] for entry in api.items(f"{assistant}/audit", limit=1)] == ["restored"]
    assert len(api.items(f"{assistant}/audit", action="tagged")) == 2
