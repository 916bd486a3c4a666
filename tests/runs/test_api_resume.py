"""Resuming over HTTP: which answer fits which question."""

from typing import Any

import pytest
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

from core.redis import client, key
from runs.live import STREAM
from runs.models import Run, RunPayload
from tests.api import Api, assert_refused

CUSTOM = {"type": "custom", "value": {"why": "because"}}
APPROVAL = {
    "type": "approval",
    "action_requests": [
        {"tool_call_id": "c1", "tool_name": "pay", "arguments": {"amount": 5}, "display_text": "Pay 5"},
        {"tool_call_id": "c2", "tool_name": "send", "arguments": {}, "display_text": "Send"},
    ],
    "review_configs": {
        "pay": {"allowed_decisions": ["approve", "edit", "reject"]},
        "send": {"allowed_decisions": ["approve", "respond"]},
    },
    "hitl_tool_call_ids": ["c1", "c2"],
}
QUESTION: dict[str, Any] = {
    "type": "ask_user_question",
    "question": "Which one?",
    "response_type": "single_select",
    "options": [{"value": "a", "label": "A"}, {"value": "b", "label": "B"}],
    "allow_other": False,
    "allow_cancel": False,
    "context": None,
    "tool_call_id": "q1",
}
MANY = {**QUESTION, "response_type": "multi_select", "allow_other": True, "allow_cancel": True, "tool_call_id": "q2"}
FREE = {**QUESTION, "response_type": "freeform", "options": [], "tool_call_id": "q3"}
SUBAGENT = {"type": "subagent", "run_id": "0", "interrupt": APPROVAL, "tool_call_id": "s1"}
MULTIPLE = {"type": "multiple", "interrupts": [QUESTION, MANY, SUBAGENT]}

APPROVED = [{"type": "approve", "tool_call_id": "c1"}, {"type": "approve", "tool_call_id": "c2"}]
CHOSEN_A = {"type": "answer", "selected": ["a"], "other_text": None}


def interrupted(api: Api, interrupt: dict[str, Any]) -> str:
    run = api.run()
    Run.objects.filter(id=run).update(status="interrupted", interrupt=interrupt, ready=False)
    return run


FITTING: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (CUSTOM, {"value": None}, {"value": None}),
    (APPROVAL, {"decisions": [{"type": "approve"}, {"type": "approve"}]}, {"decisions": APPROVED}),
    (APPROVAL, {"decisions": APPROVED[::-1]}, {"decisions": APPROVED}),
    (
        APPROVAL,
        {"decisions": [{"type": "edit", "arguments": {"amount": None}}, {"type": "respond", "message": "Sent."}]},
        {
            "decisions": [
                {"type": "edit", "arguments": {"amount": None}, "tool_call_id": "c1"},
                {"type": "respond", "message": "Sent.", "tool_call_id": "c2"},
            ]
        },
    ),
    (SUBAGENT, {"decisions": APPROVED}, {"decisions": APPROVED}),
    (QUESTION, {"type": "answer", "selected": ["a"]}, CHOSEN_A),
    (MANY, {"type": "cancel"}, {"type": "cancel"}),
    (
        MANY,
        {"type": "answer", "selected": ["b", "a"], "other_text": "and c"},
        {"type": "answer", "selected": ["b", "a"], "other_text": "and c"},
    ),
    (
        FREE,
        {"type": "answer", "other_text": "Well."},
        {"type": "answer", "selected": [], "other_text": "Well."},
    ),
    (
        MULTIPLE,
        {
            "responses": [
                {"tool_call_id": "s1", "decisions": APPROVED},
                {"tool_call_id": "q2", "type": "cancel"},
                {"tool_call_id": "q1", "type": "answer", "selected": ["a"]},
            ]
        },
        {
            "responses": [
                {**CHOSEN_A, "tool_call_id": "q1"},
                {"type": "cancel", "tool_call_id": "q2"},
                {"decisions": APPROVED, "tool_call_id": "s1"},
            ]
        },
    ),
]


@pytest.mark.parametrize(("interrupt", "body", "given"), FITTING)
def test_an_answer_to_what_was_asked_is_for_the_agent(
    api: Api, interrupt: dict[str, Any], body: dict[str, Any], given: dict[str, Any]
) -> None:
    run = interrupted(api, interrupt)
    answer = api.post(f"/runs/{run}/resume", body)
    assert (answer.status_code, answer.json()["id"], answer.json()["status"]) == (202, run, "pending")
    assert answer.json()["interrupt"] is None
    assert RunPayload.objects.get(run_id=run).resume == given


WRONG: list[tuple[dict[str, Any], Any, tuple[str | int, ...]]] = [
    (CUSTOM, {}, ()),
    (CUSTOM, None, ()),
    (CUSTOM, [], ()),
    (CUSTOM, {"value": 1, "type": "cancel"}, ()),
    (CUSTOM, {"value": 1, "extra": 1}, ("extra",)),
    (CUSTOM, {"type": "cancel"}, ("value",)),
    (APPROVAL, {"value": 1}, ("decisions",)),
    (APPROVAL, {"decisions": []}, ("decisions",)),
    (APPROVAL, {"decisions": [{"type": "approve"}]}, ("decisions",)),
    (APPROVAL, {"decisions": [{"type": "approve"}] * 3}, ("decisions",)),
    (APPROVAL, {"decisions": [{"type": "nod"}, {"type": "approve"}]}, ("decisions", 0, "type")),
    (APPROVAL, {"decisions": [{}, {"type": "approve"}]}, ("decisions", 0, "type")),
    (APPROVAL, {"decisions": [{"type": "approve"}, {"type": "reject"}]}, ("decisions", 1, "type")),
    (APPROVAL, {"decisions": [{"type": "respond", "message": "x"}, {"type": "approve"}]}, ("decisions", 0, "type")),
    (APPROVAL, {"decisions": [{"type": "edit"}, {"type": "approve"}]}, ("decisions", 0)),
    (APPROVAL, {"decisions": [{"type": "approve", "arguments": {}}, {"type": "approve"}]}, ("decisions", 0)),
    (APPROVAL, {"decisions": [{"type": "approve"}, {"type": "respond"}]}, ("decisions", 1)),
    (APPROVAL, {"decisions": [APPROVED[0], {"type": "approve"}]}, ("decisions",)),
    (APPROVAL, {"decisions": [APPROVED[0], APPROVED[0]]}, ("decisions",)),
    (QUESTION, {"type": "answer"}, ("selected",)),
    (QUESTION, {"type": "answer", "selected": ["a", "b"]}, ("selected",)),
    (QUESTION, {"type": "answer", "selected": ["c"]}, ("selected", 0)),
    (QUESTION, {"type": "answer", "selected": ["a"], "other_text": "x"}, ("other_text",)),
    (QUESTION, {"type": "cancel"}, ("type",)),
    (MANY, {"type": "cancel", "selected": ["a"]}, ()),
    (MANY, {"type": "answer", "selected": ["a", "a"]}, ("selected", 1)),
    (MANY, {"decisions": APPROVED}, ("type",)),
    (FREE, {"type": "answer", "other_text": "  "}, ("other_text",)),
    (FREE, {"type": "answer", "selected": ["a"]}, ("selected", 0)),
    (MULTIPLE, {"type": "cancel"}, ("responses",)),
    (MULTIPLE, {"responses": [{"tool_call_id": "q1", **CHOSEN_A}]}, ("responses",)),
    (
        MULTIPLE,
        {
            "responses": [
                {"tool_call_id": "q1", **CHOSEN_A},
                {"tool_call_id": "q2", "type": "answer", "selected": ["z"]},
                {"tool_call_id": "s1", "decisions": APPROVED},
            ]
        },
        ("responses", 1, "selected", 0),
    ),
]


@pytest.mark.parametrize(("interrupt", "body", "loc"), WRONG)
def test_any_other_answer_changes_nothing(
    api: Api, interrupt: dict[str, Any], body: Any, loc: tuple[str | int, ...]
) -> None:
    run = interrupted(api, interrupt)
    assert_refused(api.post(f"/runs/{run}/resume", body), 422, "invalid", *loc)
    shown = api.get(f"/runs/{run}").json()
    assert (shown["status"], shown["interrupt"]) == ("interrupted", interrupt)
    assert api.items(f"/runs/{run}/events") == []


def test_a_second_resume_is_refused(api: Api) -> None:
    run = interrupted(api, CUSTOM)
    assert api.post(f"/runs/{run}/resume", {"value": 1}).status_code == 202
    assert_refused(api.post(f"/runs/{run}/resume", {"value": 2}), 409, "not_interrupted")
    assert RunPayload.objects.get(run_id=run).resume == {"value": 1}


def test_a_run_that_has_ended_is_not_interrupted(api: Api) -> None:
    run = api.run()
    api.post(f"/runs/{run}/cancel")
    assert_refused(api.post(f"/runs/{run}/resume", {"value": 1}), 409, "not_interrupted")


def test_a_resume_needs_the_scope_to_write_runs(api: Api) -> None:
    run = interrupted(api, CUSTOM)
    reader = Api(api.workspace, scopes=("runs:read",))
    assert_refused(reader.post(f"/runs/{run}/resume", {"value": 1}), 403, "forbidden")


def test_a_resume_takes_no_idempotency_key(api: Api) -> None:
    run = interrupted(api, CUSTOM)
    answer = api.client.post(f"/runs/{run}/resume", {"value": 1}, format="json", headers={"idempotency-key": "k"})
    assert_refused(answer, 400, "bad_request")
    assert api.get(f"/runs/{run}").json()["status"] == "interrupted"


def test_interrupted_runs_are_listed_by_their_status(api: Api) -> None:
    run = interrupted(api, CUSTOM)
    api.run()
    assert [row["id"] for row in api.items("/runs", status="interrupted")] == [run]
    api.post(f"/runs/{run}/resume", {"value": 1})
    assert api.items("/runs", status="interrupted") == []


def test_followers_are_told_of_a_resume_after_the_commit(
    api: Api, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    run = interrupted(api, CUSTOM)
    before = client().xlen(key(STREAM))
    with django_capture_on_commit_callbacks() as callbacks:
        api.post(f"/runs/{run}/resume", {"value": 1})
    assert client().xlen(key(STREAM)) == before
    for callback in callbacks:
        callback()
    _, told = client().xrevrange(key(STREAM), count=1)[0]
    assert told[b"r"].decode() == run
