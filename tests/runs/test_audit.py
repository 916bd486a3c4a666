"""The audit trail of runs and sessions: who stopped what, and who decided what, but nothing of what was said."""

from typing import Any

import pytest

from accounts.models import AuditEntry
from runs import bulk
from runs.models import Run
from tests.api import Api
from tests.runs.test_api_resume import APPROVAL, CUSTOM, GRAPH, MULTIPLE, QUESTION, SUBAGENT, interrupted


def told(api: Api) -> list[tuple[str, str, str, dict[str, Any]]]:
    """The trail, the oldest first; not that of the assistants."""
    entries = AuditEntry.objects.exclude(subject_type="assistant").order_by("id")
    assert all(entry.workspace_id == api.workspace.id and entry.actor.startswith("key:") for entry in entries)
    return [(entry.action, entry.subject_type, str(entry.subject_id), entry.details) for entry in entries]


def test_a_closed_session_once(api: Api) -> None:
    session = api.session()
    api.run(session)
    api.post(f"/sessions/{session}/close")
    api.delete(f"/sessions/{session}")
    assert told(api) == [("closed", "session", session, {"runs": 1})]


def test_a_cancelled_run(api: Api) -> None:
    run = api.run()
    api.post(f"/runs/{run}/cancel", {"action": "rollback"})
    api.post(f"/runs/{run}/cancel")
    assert told(api) == [("cancelled", "run", run, {"status": "pending", "rollback": True})]


ANSWERS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (CUSTOM, {"value": {"card": "4111"}}, {"answer": "custom"}),
    (
        GRAPH,
        {"decisions": [{"type": "reject", "message": "4111"}, {"type": "approve"}]},
        {"decisions": [{"type": "reject", "tool": "pay"}, {"type": "approve", "tool": "send"}], "count": 2},
    ),
    (QUESTION, {"type": "answer", "selected": ["a"]}, {"answer": "answer"}),
    (
        APPROVAL,
        {"decisions": [{"type": "edit", "arguments": {"card": "4111"}}, {"type": "respond", "message": "4111"}]},
        {"decisions": [{"type": "edit", "tool": "pay"}, {"type": "respond", "tool": "send"}], "count": 2},
    ),
    (
        SUBAGENT,
        {"decisions": [{"type": "approve"}, {"type": "approve"}]},
        {"decisions": [{"type": "approve", "tool": "pay"}, {"type": "approve", "tool": "send"}], "count": 2},
    ),
    (
        {**MULTIPLE, "interrupts": MULTIPLE["interrupts"][:2]},
        {
            "responses": [
                {"tool_call_id": "q2", "type": "cancel"},
                {"tool_call_id": "q1", "type": "answer", "selected": ["a"]},
            ]
        },
        {"responses": [{"answer": "answer"}, {"answer": "cancel"}], "count": 2},
    ),
]


@pytest.mark.parametrize(("asked", "answer", "kept"), ANSWERS, ids=[asked["type"] for asked, _, _ in ANSWERS])
def test_who_decided_and_of_what_kind_it_was(
    api: Api, asked: dict[str, Any], answer: dict[str, Any], kept: dict[str, Any]
) -> None:
    run = interrupted(api, asked)
    assert api.post(f"/runs/{run}/resume", answer).status_code == 202
    assert told(api) == [("resumed", "run", run, kept)]
    assert api.post(f"/runs/{run}/resume", answer).status_code == 409
    assert len(told(api)) == 1


def test_many_by_their_status_are_one_entry_however_many_transactions(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    for _ in range(5):
        api.run()
    Run.objects.filter(id=api.run()).update(status="interrupted", ready=False)
    api.post("/runs/cancel", {"status": "all"})
    workspace = str(api.workspace.id)
    assert told(api) == [("cancelled_runs", "workspace", workspace, {"count": 6, "by": "all"})]
    api.post("/runs/cancel", {"status": "all"})
    assert len(told(api)) == 1


def test_many_by_their_ids_are_one_entry(api: Api) -> None:
    runs = [api.run() for _ in range(3)]
    api.post("/runs/cancel", {"ids": runs})
    kept = {"count": 3, "by": "ids", "ids": runs}
    assert told(api) == [("cancelled_runs", "workspace", str(api.workspace.id), kept)]
