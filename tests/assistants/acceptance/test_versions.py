"""Every change is a new version that never changes; sessions keep theirs, and any of them can be had back."""

from typing import Any

import httpx
import psycopg
import pytest

from tests.assistants.acceptance.calls import PROMPT, Caller, Document, at_once, path_of, refused, unique
from tests.servers import Server, wait_for

pytestmark = pytest.mark.servers


@pytest.fixture
def assistant(caller: Caller) -> Document:
    """An assistant at version 2, whose system prompt was "one" and is "two"."""
    made = caller.create(system_prompt="one")
    changed: Document = caller.patch(path_of(made), {"system_prompt": "two"})
    assert changed["version"] == 2
    return changed


def numbers(caller: Caller, assistant: Document) -> list[int]:
    return [version["version"] for version in caller.items(f"{path_of(assistant)}/versions", limit=100)]


# -- every change makes one (B17, B45) -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"name": "renamed"},
        {"description": "new"},
        {"metadata": {"team": "x"}},
        {"llm": {"model": "echo"}},
        {"system_prompt": "new"},
        {"tools": [{"name": "calculator"}]},
        {"memory": {"settings": {"max_memories": 5}}},
        {"max_steps": 7},
        {"retry_policy": {"max_attempts": 1}},
        {"resources": {"labels": ["gpu"]}},
    ],
)
def test_any_change_makes_a_version(caller: Caller, change: Document) -> None:
    if "name" in change:
        change = {"name": unique("renamed")}
    made = caller.create()
    changed = caller.patch(path_of(made), change)
    assert changed["version"] == 2
    assert changed["updated_at"] > made["updated_at"]
    first, second = (caller.get(f"{path_of(made)}/versions/{number}") for number in (1, 2))
    assert first["created_at"] < second["created_at"]
    assert first["config"] == {key: made[key] for key in first["config"]}
    assert second["config"] == {key: changed[key] for key in second["config"]}


@pytest.mark.parametrize(
    "body", [{}, {"system_prompt": "same"}, {"llm": {}}, {"change_note": "nothing"}, {"tools": []}]
)
def test_a_change_of_nothing_makes_none(caller: Caller, body: Document) -> None:
    made = caller.create(system_prompt="same")
    assert caller.patch(path_of(made), body) == made
    assert numbers(caller, made) == [1]


def test_a_version_tells_who_made_it_when_and_why(caller: Caller) -> None:
    made = caller.create(change_note="the beginning")
    caller.patch(path_of(made), {"max_steps": 3, "change_note": "fewer steps"})
    second, first = caller.items(f"{path_of(made)}/versions")
    keys = {"version", "config", "created_at", "created_by", "change_note", "source_version", "tags"}
    assert first.keys() == second.keys() == keys
    assert (first["change_note"], second["change_note"]) == ("the beginning", "fewer steps")
    assert first["created_by"] == second["created_by"] == "key:bootstrap"
    assert "change_note" not in second["config"]


def test_versions_are_listed_from_the_latest_in_pages(caller: Caller) -> None:
    made = caller.create()
    for steps in range(2, 13):
        caller.patch(path_of(made), {"max_steps": steps})
    page = caller.get(f"{path_of(made)}/versions", limit=10)
    assert [version["version"] for version in page["items"]] == list(range(12, 2, -1))
    assert (page["total"], page["limit"]) == (12, 10)
    rest = caller.items(f"{path_of(made)}/versions", limit=10, cursor=page["next_cursor"])
    assert [version["version"] for version in rest] == [2, 1]
    assert [version["config"]["max_steps"] for version in rest] == [2, 50]


# -- that nothing alters (B17) -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST"])
def test_a_version_has_no_call_that_changes_it(caller: Caller, assistant: Document, method: str) -> None:
    path = f"{path_of(assistant)}/versions/1"
    refused(caller.client.request(method, path, json={"config": {}}), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE assistant_versions SET config = '{}' WHERE assistant_id = %s RETURNING number",
        "UPDATE assistant_versions SET number = number + 1 WHERE assistant_id = %s RETURNING number",
        "UPDATE assistant_versions SET created_by = 'me' WHERE assistant_id = %s AND number = 1 RETURNING number",
        "DELETE FROM assistant_versions WHERE assistant_id = %s AND number = 1 RETURNING number",
    ],
)
def test_the_database_itself_refuses_to_alter_a_version(
    server: Server, caller: Caller, assistant: Document, statement: str
) -> None:
    before = caller.get(f"{path_of(assistant)}/versions")
    with pytest.raises(psycopg.Error, match="immutable"):
        server.sql(statement, assistant["id"])
    assert caller.get(f"{path_of(assistant)}/versions") == before


def test_a_version_reads_the_same_byte_for_byte_whatever_happens(caller: Caller, assistant: Document) -> None:
    path = path_of(assistant)

    def first() -> bytes:
        return caller.client.get(f"{path}/versions/1").content

    before = first()
    session = caller.open(assistant, version=1)
    caller.run(session)
    caller.patch(path, {"llm": {"temperature": 1}, "metadata": {"a": {"b": 1}}, "tools": [{"name": "calculator"}]})
    caller.put(f"{path}/versions/1/tags/stable")
    caller.delete(f"{path}/versions/1/tags/stable")
    caller.post(f"{path}/versions/1/rollback")
    for move in ("archive", "restore"):
        caller.post(f"{path}/{move}")
    caller.client.patch(f"{path}/versions/1", json={"config": {}})
    caller.client.delete(f"{path}/versions/1")
    caller.run(session)
    caller.delete(path)
    assert first() == before


# -- sessions and their versions (B18, B19, B20) -------------------------------------------------------------------


def test_a_session_goes_on_with_its_version_and_a_new_one_gets_the_latest(caller: Caller) -> None:
    made = caller.create(system_prompt="one")
    old = caller.open(made)
    assert caller.answer(old) == "one"
    caller.patch(path_of(made), {"system_prompt": "two"})
    assert caller.answer(old) == "one"
    assert caller.answer(caller.open(made)) == "two"
    assert caller.get(f"/sessions/{old}")["assistant_version"] == 1


def test_a_run_in_flight_is_not_disturbed_by_a_change(caller: Caller) -> None:
    prompt = " ".join(["one"] * 20)
    made = caller.create(llm={**PROMPT, "settings": {"delay_ms": 25}}, system_prompt=prompt)
    run = caller.start(caller.open(made))
    wait_for(lambda: caller.get(f"/runs/{run}")["status"] != "pending")
    caller.patch(path_of(made), {"system_prompt": "two", "llm": {"settings": {"delay_ms": 0}}})
    ended = caller.ended(run)
    assert (ended["output"]["text"], ended["assistant_version"]) == (prompt, 1)


def test_a_session_may_be_pinned_to_an_older_version(caller: Caller, assistant: Document) -> None:
    caller.patch(path_of(assistant), {"system_prompt": "three"})
    pinned = caller.open(assistant, version=1)
    assert caller.answer(pinned) == "one"
    caller.patch(path_of(assistant), {"system_prompt": "four"})
    assert caller.answer(pinned) == "one"


def test_a_session_may_be_pinned_anew(caller: Caller, assistant: Document) -> None:
    session = caller.open(assistant)
    moved = caller.patch(f"/sessions/{session}", {"assistant_version": 1})
    assert moved["assistant_version"] == 1
    assert caller.answer(session) == "one"
    caller.put(f"{path_of(assistant)}/versions/2/tags/stable")
    assert caller.patch(f"/sessions/{session}", {"tag": "stable"})["assistant_version"] == 2
    assert caller.answer(session) == "two"


def test_a_run_without_a_session_may_name_a_version(caller: Caller, assistant: Document) -> None:
    body = {"assistant_id": assistant["id"], "input": {"message": "go"}}
    caller.put(f"{path_of(assistant)}/versions/1/tags/stable")
    said = [caller.post("/runs/wait", {**body, **choice}) for choice in ({}, {"version": 1}, {"tag": "stable"})]
    assert [run["output"]["text"] for run in said] == ["two", "one", "one"]


@pytest.mark.parametrize(
    ("choice", "loc"),
    [
        ({"version": 3}, ["version"]),
        ({"version": 0}, ["version"]),
        ({"version": "1"}, ["version"]),
        ({"tag": "stable"}, ["tag"]),
        ({"tag": "Not A Tag"}, ["tag"]),
        ({"version": 1, "tag": "stable"}, []),
    ],
)
def test_a_version_that_is_not_there_cannot_be_pinned(
    caller: Caller, assistant: Document, choice: Document, loc: list[str]
) -> None:
    refused(caller.client.post(assistant["endpoint"], json=choice), 422, "invalid", *loc)
    assert caller.items(assistant["endpoint"]) == []


# -- rolled back (B21) ---------------------------------------------------------------------------------------------


def test_a_rollback_is_a_new_version_equal_to_the_old(caller: Caller, assistant: Document) -> None:
    path = path_of(assistant)
    answer = caller.client.post(f"{path}/versions/1/rollback")
    assert (answer.status_code, answer.json()["version"]) == (201, 3)
    versions = caller.items(f"{path}/versions")
    assert [version["version"] for version in versions] == [3, 2, 1]
    assert versions[0]["config"] == versions[2]["config"] != versions[1]["config"]
    assert [version["source_version"] for version in versions] == [1, None, None]
    assert caller.answer(caller.open(assistant)) == "one"
    assert caller.get(path)["system_prompt"] == "one"


def test_a_rollback_brings_back_the_name_too(caller: Caller) -> None:
    made = caller.create()
    caller.patch(path_of(made), {"name": unique("renamed")})
    assert caller.post(f"{path_of(made)}/versions/1/rollback")["name"] == made["name"]


@pytest.mark.parametrize("number", ["3", "0", "-1", "99999999999", "one", "1.0", "01"])
def test_an_unknown_version_is_not_rolled_back_to(caller: Caller, assistant: Document, number: str) -> None:
    refused(caller.client.post(f"{path_of(assistant)}/versions/{number}/rollback"), 404, "not_found")
    assert numbers(caller, assistant) == [2, 1]


def test_an_archived_assistant_is_not_rolled_back(caller: Caller, assistant: Document) -> None:
    caller.delete(path_of(assistant))
    refused(caller.client.post(f"{path_of(assistant)}/versions/1/rollback"), 409, "conflict")
    assert numbers(caller, assistant) == [2, 1]


def test_a_rollback_may_be_guarded_as_a_change_is(caller: Caller, assistant: Document) -> None:
    path = f"{path_of(assistant)}/versions/1/rollback"
    refused(caller.client.post(path, headers={"If-Match": '"1"'}), 409, "version_conflict")
    assert caller.client.post(path, headers={"If-Match": '"2"'}).json()["version"] == 3


# -- compared (B22) ------------------------------------------------------------------------------------------------


def diff(caller: Caller, assistant: Document, old: Any, new: Any) -> httpx.Response:
    return caller.client.get(f"{path_of(assistant)}/versions/diff", params={"from": old, "to": new})


def test_a_difference_lists_exactly_what_changed_in_both_directions(caller: Caller) -> None:
    made = caller.create(llm={**PROMPT, "temperature": 0.1}, metadata={"gone": 1})
    tool = {"name": "calculator", "enabled": True, "parameters": {}}
    change = {"llm": {"temperature": 0.9}, "tools": [tool], "metadata": {"gone": None, "come": 2}}
    caller.patch(path_of(made), change)
    there = diff(caller, made, 1, 2).json()
    assert {change["path"]: (change["op"], change["from"], change["to"]) for change in there["changes"]} == {
        "llm.temperature": ("replace", 0.1, 0.9),
        "tools": ("replace", [], [tool]),
        "metadata.gone": ("remove", 1, None),
        "metadata.come": ("add", None, 2),
    }
    assert len(there["changes"]) == 4
    back = diff(caller, made, 2, 1).json()
    assert {change["path"]: (change["op"], change["from"], change["to"]) for change in back["changes"]} == {
        "llm.temperature": ("replace", 0.9, 0.1),
        "tools": ("replace", [tool], []),
        "metadata.gone": ("add", None, 1),
        "metadata.come": ("remove", 2, None),
    }
    assert (there["from"], there["to"], back["from"], back["to"]) == (1, 2, 2, 1)
    assert there["from_config"] == back["to_config"] == caller.get(f"{path_of(made)}/versions/1")["config"]
    assert there["to_config"] == back["from_config"] == caller.get(f"{path_of(made)}/versions/2")["config"]


def test_a_version_does_not_differ_from_itself(caller: Caller, assistant: Document) -> None:
    assert diff(caller, assistant, 1, 1).json()["changes"] == []


def test_an_unknown_version_is_not_compared(caller: Caller, assistant: Document) -> None:
    refused(diff(caller, assistant, 1, 3), 404, "not_found")
    refused(diff(caller, assistant, 3, 1), 404, "not_found")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "from"),
        ("from=1", "to"),
        ("to=1", "from"),
        ("from=1&to=", "to"),
        ("from=0&to=1", "from"),
        ("from=-1&to=1", "from"),
        ("from=1&to=99999999999", "to"),
        ("from=1&to=two", "to"),
        ("from=1&to=2&to=1", "to"),
        ("from=1&to=2&by=key", "by"),
    ],
)
def test_a_comparison_names_what_is_wrong_with_its_query(
    caller: Caller, assistant: Document, query: str, name: str
) -> None:
    answer = caller.client.get(f"{path_of(assistant)}/versions/diff?{query}")
    refused(answer, 422, "invalid", "query", name)


# -- tagged (B23) --------------------------------------------------------------------------------------------------


def test_a_tag_moves_and_sessions_opened_by_it_follow(caller: Caller, assistant: Document) -> None:
    path = path_of(assistant)
    assert caller.put(f"{path}/versions/1/tags/stable")["tags"] == ["stable"]
    older = caller.open(assistant, tag="stable")
    assert caller.put(f"{path}/versions/2/tags/stable")["tags"] == ["stable"]
    newer = caller.open(assistant, tag="stable")
    assert (caller.answer(older), caller.answer(newer)) == ("one", "two")
    assert [version["tags"] for version in caller.items(f"{path}/versions")] == [["stable"], []]
    assert caller.get(path)["tags"] == {"stable": 2}


def test_a_version_may_carry_several_tags(caller: Caller, assistant: Document) -> None:
    for tag in ("stable", "canary", "v2-beta", "0", "a.b_c-d", "x" * 64):
        caller.put(f"{path_of(assistant)}/versions/1/tags/{tag}")
    tags = ["0", "a.b_c-d", "canary", "stable", "v2-beta", "x" * 64]
    assert caller.get(f"{path_of(assistant)}/versions/1")["tags"] == tags
    assert caller.get(path_of(assistant))["tags"] == dict.fromkeys(tags, 1)


def test_a_tag_is_taken_off_once(caller: Caller, assistant: Document) -> None:
    path = f"{path_of(assistant)}/versions/1/tags/stable"
    caller.put(path)
    answer = caller.client.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    refused(caller.client.delete(path), 404, "not_found")
    refused(caller.client.post(assistant["endpoint"], json={"tag": "stable"}), 422, "invalid", "tag")


@pytest.mark.parametrize("tag", ["Stable", "-x", ".x", "a" * 65, "a b", "é", "%20", "%0A", "stable%0A", "%F0%9F%A4%96"])
def test_a_tag_of_another_form_is_refused(caller: Caller, assistant: Document, tag: str) -> None:
    answer = caller.client.put(f"{path_of(assistant)}/versions/1/tags/{tag}")
    refused(answer, 422, "invalid", "tag")
    assert caller.get(path_of(assistant))["tags"] == {}


def test_an_unknown_version_is_not_tagged(caller: Caller, assistant: Document) -> None:
    for number in ("3", "0", "-1", "99999999999"):
        refused(caller.client.put(f"{path_of(assistant)}/versions/{number}/tags/stable"), 404, "not_found")


def test_of_many_that_move_a_tag_at_once_one_is_the_last(caller: Caller, assistant: Document) -> None:
    path = path_of(assistant)
    answers = at_once(10, lambda n: caller.client.put(f"{path}/versions/{n % 2 + 1}/tags/stable"))
    assert [answer.status_code for answer in answers] == [200] * 10
    at = caller.get(path)["tags"]["stable"]
    tagged = [version["version"] for version in caller.items(f"{path}/versions") if version["tags"] == ["stable"]]
    assert tagged == [at]
