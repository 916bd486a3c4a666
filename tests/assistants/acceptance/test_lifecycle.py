"""Created, active, archived, gone; what is allowed in each, who did it, and how the runs went."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.assistants.acceptance.calls import ECHO, Caller, Document, checks_of, path_of, refused, script
from tests.servers import wait_for

pytestmark = pytest.mark.servers
BROKEN: Document = {"tools": [{"name": "teleport"}]}


def _archived(caller: Caller) -> Document:
    archived: Document = caller.delete(path_of(caller.create()))
    return archived


STATES: dict[str, Callable[[Caller], Document]] = {
    "created": lambda caller: caller.create(status="created"),
    "active": lambda caller: caller.create(),
    "archived": _archived,
}


# -- the moves (B24) -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "move", "leads_to"),
    [
        ("created", "activate", "active"),
        ("created", "archive", None),
        ("created", "restore", None),
        ("active", "activate", None),
        ("active", "archive", "archived"),
        ("active", "restore", None),
        ("archived", "activate", None),
        ("archived", "archive", None),
        ("archived", "restore", "active"),
    ],
)
def test_every_move_and_every_one_that_is_none(caller: Caller, state: str, move: str, leads_to: str | None) -> None:
    made = STATES[state](caller)
    assert made["status"] == state
    answer = caller.client.post(f"{path_of(made)}/{move}")
    if leads_to is None:
        error = refused(answer, 409, "conflict")
        assert state in error["detail"]
        assert caller.get(path_of(made)) == made
    else:
        assert (answer.status_code, answer.json()["status"]) == (200, leads_to)
        assert caller.get(path_of(made)) == answer.json()
    assert caller.get(path_of(made))["version"] == 1


@pytest.mark.parametrize("state", STATES)
def test_delete_archives_from_any_state_and_again_without_effect(caller: Caller, state: str) -> None:
    made = STATES[state](caller)
    first = caller.delete(path_of(made))
    assert (first["status"], first["version"]) == ("archived", 1)
    assert caller.delete(path_of(made)) == caller.get(path_of(made)) == first


# -- created (B25) -------------------------------------------------------------------------------------------------


def test_a_created_assistant_serves_nobody(caller: Caller) -> None:
    made = caller.create(status="created")
    refused(caller.client.post(made["endpoint"]), 409, "assistant_not_active")
    body = {"assistant_id": made["id"], "input": {"message": "go"}}
    for route in ("/runs", "/runs/wait", "/runs/stream"):
        refused(caller.client.post(route, json=body), 409, "assistant_not_active")
    assert caller.items(made["endpoint"]) == []


def test_a_created_assistant_may_be_edited(caller: Caller) -> None:
    made = caller.create(status="created")
    changed = caller.patch(path_of(made), {"system_prompt": "better", **BROKEN})
    assert (changed["status"], changed["version"], changed["validation"]["status"]) == ("created", 2, "failed")


def test_checks_run_by_themselves_and_a_failed_one_keeps_it_from_serving(caller: Caller) -> None:
    made = caller.create(**BROKEN)
    assert (made["status"], made["validation"]["status"]) == ("created", "failed")
    assert made["validation"]["checked_at"] >= made["created_at"]
    assert not checks_of(made)["tools.teleport"]["ok"]
    assert checks_of(made)["llm"]["ok"]
    error = refused(caller.client.post(f"{path_of(made)}/activate"), 409, "conflict", "tools", 0, "name")
    assert "teleport" in error["detail"]
    refused(caller.client.post(made["endpoint"]), 409, "assistant_not_active")
    mended = caller.patch(path_of(made), {"tools": []})
    assert (mended["status"], mended["validation"]["status"]) == ("created", "passed")
    assert caller.post(f"{path_of(made)}/activate")["status"] == "active"
    assert caller.answer(caller.open(made)) == ""


# -- active (B26) --------------------------------------------------------------------------------------------------


def test_an_active_assistant_takes_sessions_and_changes(caller: Caller) -> None:
    made = caller.create(system_prompt="one")
    assert caller.answer(caller.open(made)) == "one"
    changed = caller.patch(path_of(made), {"system_prompt": "two"})
    assert (changed["status"], changed["version"]) == ("active", 2)


def test_an_active_assistant_is_not_changed_into_one_that_cannot_run(caller: Caller) -> None:
    made = caller.create()
    refused(caller.client.patch(path_of(made), json=BROKEN), 422, "invalid", "tools", 0, "name")
    assert caller.get(path_of(made)) == made


# -- archived (B27, B43) -------------------------------------------------------------------------------------------


def test_an_archived_assistant_serves_nobody_and_loses_nothing(caller: Caller) -> None:
    made = caller.create(llm=ECHO)
    path = path_of(made)
    session = caller.open(made)
    run = caller.run(session, "remember")
    before = caller.get(f"/sessions/{session}"), caller.get(f"/sessions/{session}/messages")
    archived = caller.delete(path)
    assert archived == {**made, "status": "archived", "updated_at": archived["updated_at"]}
    refused(caller.client.post(made["endpoint"]), 409, "assistant_not_active")
    body = {"input": {"message": "more"}}
    for route in ("runs", "runs/wait", "runs/stream"):
        refused(caller.client.post(f"/sessions/{session}/{route}", json=body), 409, "assistant_not_active")
    stateless = {**body, "assistant_id": made["id"]}
    refused(caller.client.post("/runs/wait", json=stateless), 409, "assistant_not_active")
    refused(caller.client.patch(path, json={"max_steps": 3}), 409, "conflict")
    refused(caller.client.post(f"{path}/versions/1/rollback"), 409, "conflict")
    refused(caller.client.put(f"{path}/versions/1/tags/stable"), 409, "conflict")
    assert (caller.get(f"/sessions/{session}"), caller.get(f"/sessions/{session}/messages")) == before
    assert caller.get(f"/runs/{run['id']}") == run
    assert caller.get(f"{path}/versions")["total"] == 1


def test_a_restored_assistant_works_as_before(caller: Caller) -> None:
    made = caller.create(llm=ECHO)
    path, session = path_of(made), caller.open(made)
    caller.answer(session, "first")
    caller.post(f"{path}/archive")
    assert caller.post(f"{path}/restore")["status"] == "active"
    assert caller.answer(session, "second") == "second"
    assert caller.answer(caller.open(made), "third") == "third"
    assert caller.patch(path, {"max_steps": 3})["version"] == 2
    assert caller.put(f"{path}/versions/1/tags/stable")["tags"] == ["stable"]


def test_an_archived_assistant_that_cannot_run_is_not_restored(caller: Caller) -> None:
    made = caller.create(**BROKEN)
    caller.delete(path_of(made))
    refused(caller.client.post(f"{path_of(made)}/restore"), 409, "conflict", "tools", 0, "name")
    assert caller.get(path_of(made))["status"] == "archived"


def test_what_was_waiting_when_it_was_archived_is_finished(caller: Caller) -> None:
    made = caller.create(llm=script({"text": "a b c d", "delay_ms": 100}))
    session = caller.open(made)
    runs = [caller.start(session) for _ in range(2)]
    caller.delete(path_of(made))
    assert [caller.ended(run)["status"] for run in runs] == ["success", "success"]


# -- gone (B44) ----------------------------------------------------------------------------------------------------


def test_a_permanent_delete_leaves_nothing(caller: Caller) -> None:
    made, neighbour = caller.create(llm=ECHO), caller.create(llm=ECHO)
    path, session, kept = path_of(made), caller.open(made), caller.open(neighbour)
    run, other = caller.run(session, "gone"), caller.run(kept, "kept")
    caller.put(f"{path}/versions/1/tags/stable")
    caller.patch(path, {"max_steps": 3})
    answer = caller.client.delete(path, params={"permanent": "true"})
    assert (answer.status_code, answer.content) == (204, b"")
    for gone in (
        path,
        f"{path}/versions",
        f"{path}/versions/1",
        f"{path}/sessions",
        f"{path}/audit",
        f"{path}/metrics",
        f"/sessions/{session}",
        f"/sessions/{session}/messages",
        f"/sessions/{session}/runs",
        f"/runs/{run['id']}",
        f"/runs/{run['id']}/events",
        f"/runs/{run['id']}/stream",
    ):
        refused(caller.client.get(gone), 404, "not_found")
    refused(caller.client.delete(path, params={"permanent": "true"}), 404, "not_found")
    refused(caller.client.delete(path), 404, "not_found")
    assert caller.get("/assistants", name=made["name"])["total"] == 0
    assert caller.get(f"/runs/{other['id']}") == other
    assert caller.create(name=made["name"])["version"] == 1


@pytest.mark.parametrize("state", STATES)
def test_an_assistant_of_any_state_may_be_deleted_for_good(caller: Caller, state: str) -> None:
    made = STATES[state](caller)
    assert caller.delete(path_of(made), permanent="true") is None
    refused(caller.client.get(path_of(made)), 404, "not_found")


def test_a_busy_assistant_is_not_deleted_for_good(caller: Caller) -> None:
    made = caller.create(llm=script({"text": "it takes forever", "delay_ms": 60_000}))
    session = caller.open(made)
    running, waiting = caller.start(session), caller.start(session)
    wait_for(lambda: caller.get(f"/runs/{running}")["status"] == "running")
    error = refused(caller.client.delete(path_of(made), params={"permanent": "true"}), 409, "conflict")
    assert "1 pending, 1 running" in error["detail"]
    assert caller.get(path_of(made)) == made
    for run in (waiting, running):
        caller.post(f"/runs/{run}/cancel")
    assert [caller.ended(run)["status"] for run in (running, waiting)] == ["cancelled", "cancelled"]
    assert caller.delete(path_of(made), permanent="true") is None


def test_permanent_false_archives(caller: Caller) -> None:
    made = caller.create()
    assert caller.delete(path_of(made), permanent="false")["status"] == "archived"


# -- who did what (B47) --------------------------------------------------------------------------------------------


def test_the_audit_trail_lists_every_act_in_order_with_its_actor(
    caller: Caller, another: Callable[..., Caller]
) -> None:
    editor = another(name="editor's key")
    made = caller.create(status="created", system_prompt="one")
    path = path_of(made)
    caller.post(f"{path}/activate")
    editor.patch(path, {"system_prompt": "two", "llm": {"temperature": 1}, "change_note": "tone"})
    editor.put(f"{path}/versions/1/tags/stable")
    caller.put(f"{path}/versions/2/tags/stable")
    caller.delete(f"{path}/versions/2/tags/stable")
    editor.post(f"{path}/versions/1/rollback")
    caller.post(f"{path}/archive")
    editor.post(f"{path}/restore")
    caller.delete(path)
    # What changes nothing, or is refused, is no act.
    caller.delete(path)
    caller.client.patch(path, json={"max_steps": 3})
    caller.get(path)
    entries = caller.items(f"{path}/audit")
    mine, theirs = "key:bootstrap", "key:editor's key"
    assert [(entry["action"], entry["actor"]) for entry in reversed(entries)] == [
        ("created", mine),
        ("activated", mine),
        ("updated", theirs),
        ("tagged", theirs),
        ("tagged", mine),
        ("untagged", mine),
        ("rolled_back", theirs),
        ("archived", mine),
        ("restored", theirs),
        ("archived", mine),
    ]
    times = [entry["created_at"] for entry in entries]
    assert times == sorted(times, reverse=True)
    assert entries[-3]["details"] == {"version": 2, "changed": ["llm.temperature", "system_prompt"], "changes": 2}
    versions = caller.items(f"{path}/versions")
    assert [version["created_by"] for version in versions] == [theirs, theirs, mine]


def test_the_audit_trail_comes_in_pages_and_by_action(caller: Caller) -> None:
    path = path_of(caller.create())
    for steps in range(1, 5):
        caller.patch(path, {"max_steps": steps})
    page = caller.get(f"{path}/audit", limit=3)
    assert (len(page["items"]), page["total"]) == (3, 5)
    rest = caller.items(f"{path}/audit", limit=3, cursor=page["next_cursor"])
    assert [entry["action"] for entry in rest] == ["updated", "created"]
    assert len(caller.items(f"{path}/audit", action="updated")) == 4
    refused(caller.client.get(f"{path}/audit?who=me"), 422, "invalid", "query", "who")


def test_the_audit_trail_cannot_be_written(caller: Caller) -> None:
    path = path_of(caller.create())
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        refused(caller.client.request(method, f"{path}/audit", json={}), 405, "method_not_allowed")


# -- how the runs went (B48) ---------------------------------------------------------------------------------------


def metrics(caller: Caller, assistant: Document, **query: Any) -> Document:
    document: Document = caller.get(f"{path_of(assistant)}/metrics", **query)
    return document


def test_metrics_count_runs_errors_time_and_tokens(caller: Caller) -> None:
    usage = {"input_tokens": 10, "output_tokens": 4}
    turns = [{"text": "fine", "usage": usage}, {"text": "fine", "usage": usage}, {"error": {"status": 400}}]
    made = caller.create(llm=script(*turns))
    fresh = metrics(caller, made)
    assert set(fresh["runs"].values()) == {0}
    assert fresh["latency_s"] == {"p50": None, "p95": None}
    session = caller.open(made)
    assert [caller.run(session)["status"] for _ in range(3)] == ["success", "success", "error"]
    found = metrics(caller, made)
    assert {status: runs for status, runs in found["runs"].items() if runs} == {"success": 2, "error": 1}
    assert 0 < found["latency_s"]["p50"] <= found["latency_s"]["p95"]
    assert found["tokens"] == {"input_tokens": 20, "output_tokens": 8, "total_tokens": 28}
    assert {"runs", "latency_s", "tokens", "cost"} <= found.keys()


def test_metrics_are_of_one_assistant_and_outlive_its_service(caller: Caller) -> None:
    made, neighbour = caller.create(llm=ECHO), caller.create(llm=ECHO)
    caller.run(caller.open(made))
    caller.delete(path_of(made))
    assert metrics(caller, made)["runs"]["success"] == 1
    assert metrics(caller, neighbour)["runs"]["success"] == 0


@pytest.mark.parametrize("window", ["0", "-1", "soon", "nan", "inf", "1e400", "99999999999999999999", ""])
def test_a_window_out_of_range_is_refused(caller: Caller, window: str) -> None:
    path = path_of(caller.create())
    refused(caller.client.get(f"{path}/metrics?window_s={window}"), 422, "invalid", "query", "window_s")
    refused(caller.client.get(f"/assistants/{uuid4()}/metrics"), 404, "not_found")
