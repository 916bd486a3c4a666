"""Resuming over HTTP: which answer fits which question."""

from typing import Any

import pytest
from pytest_django.fixtures import DjangoCaptureOnCommitCallbacks

from core.ids import new_id
from core.redis import client, key
from runs.live import STREAM
from runs.models import Run, RunPayload
from tests.api import Api, assert_refused

CUSTOM = {"type": "custom", "value": {"why": "because"}}
APPROVAL: dict[str, Any] = {
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
# What is said of arguments where the tool's schema is known.
TYPED = {
    **APPROVAL,
    "review_configs": {
        **APPROVAL["review_configs"],
        "pay": {
            "allowed_decisions": ["approve", "edit", "reject"],
            "args_schema": {
                "type": "object",
                "properties": {
                    "amount": {"type": "number", "minimum": 1},
                    "to": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["amount"],
                "additionalProperties": False,
            },
        },
    },
}
# This server does not evaluate such a schema.
UNREAD = {
    **APPROVAL,
    "review_configs": {
        **APPROVAL["review_configs"],
        "pay": {"allowed_decisions": ["edit"], "args_schema": {"patternProperties": {"(a+)+$": {"type": "number"}}}},
    },
}
ONLY_REJECT = {
    **APPROVAL,
    "action_requests": APPROVAL["action_requests"][:1],
    "review_configs": {"pay": {"allowed_decisions": ["reject"], "args_schema": None}},
    "hitl_tool_call_ids": ["c1"],
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
ONE_OR_OTHER = {**QUESTION, "allow_other": True}
SEVERAL = {**QUESTION, "response_type": "multi_select"}
FREE = {**QUESTION, "response_type": "freeform", "options": [], "tool_call_id": "q3"}
SUBAGENT = {"type": "subagent", "run_id": "0", "interrupt": APPROVAL, "tool_call_id": "s1"}
MULTIPLE = {"type": "multiple", "interrupts": [QUESTION, MANY, SUBAGENT]}

# What hosted graphs ask in LangChain's forms: its middleware's, and the one of Agent Inbox.
GRAPH = {
    "type": "custom",
    "value": {
        "interrupts": [
            {
                "id": "0" * 32,
                "value": {
                    "action_requests": [{"name": "pay", "args": {"amount": 5}}, {"name": "send", "arguments": {}}],
                    "review_configs": [
                        {"action_name": "pay", "allowed_decisions": ["edit", "reject"]},
                        {"action_name": "send", "allowed_decisions": ["approve", "edit"]},
                    ],
                },
            }
        ],
        "next": ["model"],
    },
}
PLEASE = {"action_request": {"action": "pay", "args": {}}, "config": {"allow_ignore": True}}
INBOX = {"type": "custom", "value": {"interrupts": [{"id": "1" * 32, "value": [PLEASE]}], "next": ["ask"]}}

APPROVED = [{"type": "approve", "tool_call_id": "c1"}, {"type": "approve", "tool_call_id": "c2"}]
APPROVE = {"type": "approve"}
CHOSEN_A = {"type": "answer", "selected": ["a"], "other_text": None}


def interrupted(api: Api, interrupt: dict[str, Any]) -> str:
    run = api.run()
    Run.objects.filter(id=run).update(status="interrupted", interrupt=interrupt, ready=False)
    return run


FITTING: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (CUSTOM, {"value": None}, {"value": None}),
    (GRAPH, {"value": "as it is"}, {"value": "as it is"}),
    (
        GRAPH,
        {"decisions": [{"type": "reject", "message": "No."}, {"type": "edit", "arguments": {"to": "Bob"}}]},
        {
            "value": {
                "decisions": [
                    {"type": "reject", "message": "No."},
                    {"type": "edit", "edited_action": {"name": "send", "arguments": {"to": "Bob"}}},
                ]
            },
            "decisions": [
                {"type": "reject", "message": "No.", "tool_call_id": "0.0.0"},
                {"type": "edit", "arguments": {"to": "Bob"}, "tool_call_id": "0.0.1"},
            ],
        },
    ),
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
    (
        APPROVAL,
        {"decisions": [{"type": "reject"}, APPROVE]},
        {"decisions": [{"type": "reject", "tool_call_id": "c1"}, APPROVED[1]]},
    ),
    (
        APPROVAL,
        {"decisions": [{"type": "reject", "message": "Too much."}, APPROVE]},
        {"decisions": [{"type": "reject", "message": "Too much.", "tool_call_id": "c1"}, APPROVED[1]]},
    ),
    (
        ONLY_REJECT,
        {"decisions": [{"type": "reject", "tool_call_id": "c1"}]},
        {"decisions": [{"type": "reject", "tool_call_id": "c1"}]},
    ),
    (TYPED, {"decisions": [APPROVE, APPROVE]}, {"decisions": APPROVED}),
    (
        TYPED,
        {"decisions": [{"type": "edit", "arguments": {"amount": 1.5, "to": ["a"]}}, APPROVE]},
        {
            "decisions": [
                {"type": "edit", "arguments": {"amount": 1.5, "to": ["a"]}, "tool_call_id": "c1"},
                APPROVED[1],
            ]
        },
    ),
    (
        UNREAD,
        {"decisions": [{"type": "edit", "arguments": {"aa": "b"}}, APPROVE]},
        {"decisions": [{"type": "edit", "arguments": {"aa": "b"}, "tool_call_id": "c1"}, APPROVED[1]]},
    ),
    (SUBAGENT, {"decisions": APPROVED}, {"decisions": APPROVED}),
    (QUESTION, {"type": "answer", "selected": ["a"]}, CHOSEN_A),
    (QUESTION, {"type": "answer", "selected": ["b"], "other_text": None}, {**CHOSEN_A, "selected": ["b"]}),
    (ONE_OR_OTHER, {"type": "answer", "selected": ["a"]}, CHOSEN_A),
    (ONE_OR_OTHER, {"type": "answer", "other_text": "c"}, {"type": "answer", "selected": [], "other_text": "c"}),
    (ONE_OR_OTHER, {"type": "answer", "selected": ["a"], "other_text": "c"}, {**CHOSEN_A, "other_text": "c"}),
    (SEVERAL, {"type": "answer", "selected": ["a"]}, CHOSEN_A),
    (SEVERAL, {"type": "answer", "selected": ["a", "b"]}, {**CHOSEN_A, "selected": ["a", "b"]}),
    (MANY, {"type": "answer", "other_text": "c"}, {"type": "answer", "selected": [], "other_text": "c"}),
    (MANY, {"type": "cancel"}, {"type": "cancel"}),
    ({**FREE, "allow_cancel": True}, {"type": "cancel"}, {"type": "cancel"}),
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
    (CUSTOM, {"decisions": [APPROVE]}, ("value",)),
    (GRAPH, {"decisions": [APPROVE]}, ("decisions",)),
    (GRAPH, {"decisions": [APPROVE, APPROVE]}, ("decisions", 0, "type")),
    (INBOX, {"decisions": [{"type": "reject", "message": "Why not."}]}, ("decisions", 0, "message")),
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
    (APPROVAL, {"decisions": [{**APPROVED[0], "tool_call_id": "c9"}, APPROVED[1]]}, ("decisions",)),
    (APPROVAL, {"decisions": {"c1": "approve"}}, ("decisions",)),
    (APPROVAL, {"decisions": [None, APPROVE]}, ("decisions", 0)),
    (APPROVAL, {"decisions": [{"type": "edit", "arguments": [1]}, APPROVE]}, ("decisions", 0, "arguments")),
    (APPROVAL, {"decisions": [{"type": "edit", "arguments": {}, "message": "x"}, APPROVE]}, ("decisions", 0)),
    (APPROVAL, {"decisions": [{"type": "approve", "message": "x"}, APPROVE]}, ("decisions", 0)),
    (APPROVAL, {"decisions": [{"type": "reject", "message": ""}, APPROVE]}, ("decisions", 0, "message")),
    (APPROVAL, {"decisions": [{"type": "reject", "arguments": {}}, APPROVE]}, ("decisions", 0)),
    (APPROVAL, {"decisions": [APPROVE, {"type": "edit", "arguments": {}}]}, ("decisions", 1, "type")),
    (APPROVAL, {"type": "answer", "selected": ["a"]}, ("decisions",)),
    (ONLY_REJECT, {"decisions": [APPROVE]}, ("decisions", 0, "type")),
    (TYPED, {"decisions": [{"type": "edit", "arguments": {}}, APPROVE]}, ("decisions", 0, "arguments")),
    (
        TYPED,
        {"decisions": [{"type": "edit", "arguments": {"amount": "1"}}, APPROVE]},
        ("decisions", 0, "arguments", "amount"),
    ),
    (
        TYPED,
        {"decisions": [{"type": "edit", "arguments": {"amount": 0}}, APPROVE]},
        ("decisions", 0, "arguments", "amount"),
    ),
    (
        TYPED,
        {"decisions": [{"type": "edit", "arguments": {"amount": 1, "to": ["a", 2]}}, APPROVE]},
        ("decisions", 0, "arguments", "to", 1),
    ),
    (
        TYPED,
        {"decisions": [{"type": "edit", "arguments": {"amount": 1, "tip": 1}}, APPROVE]},
        ("decisions", 0, "arguments"),
    ),
    # Two decisions, the other way round: the place is in what was sent.
    (
        TYPED,
        {"decisions": [APPROVED[1], {"type": "edit", "arguments": {"amount": 0}, "tool_call_id": "c1"}]},
        ("decisions", 1, "arguments", "amount"),
    ),
    (
        {**SUBAGENT, "interrupt": TYPED},
        {"decisions": [{"type": "edit", "arguments": {"amount": 0}}, APPROVE]},
        ("decisions", 0, "arguments", "amount"),
    ),
    (QUESTION, {"type": "answer"}, ("selected",)),
    (QUESTION, {"type": "answer", "selected": "a"}, ("selected",)),
    (QUESTION, {"type": "answer", "selected": [1]}, ("selected", 0)),
    (QUESTION, {"type": "answer", "selected": ["A"]}, ("selected", 0)),
    (QUESTION, {"type": "answer", "other_text": "c"}, ("other_text",)),
    (QUESTION, {"type": "no"}, ("type",)),
    (QUESTION, {"value": "a"}, ("type",)),
    (QUESTION, {"responses": [{"tool_call_id": "q1", **CHOSEN_A}]}, ("type",)),
    (ONE_OR_OTHER, {"type": "answer", "selected": ["a", "b"]}, ("selected",)),
    (ONE_OR_OTHER, {"type": "answer", "other_text": " "}, ("selected",)),
    (SEVERAL, {"type": "answer", "selected": []}, ("selected",)),
    (SEVERAL, {"type": "answer", "selected": ["a", "c"]}, ("selected", 1)),
    (SEVERAL, {"type": "answer", "selected": ["a"], "other_text": "c"}, ("other_text",)),
    (MANY, {"type": "answer", "selected": ["a"], "other_text": ""}, ("other_text",)),
    (FREE, {"type": "answer"}, ("other_text",)),
    (FREE, {"type": "cancel"}, ("type",)),
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
    (CUSTOM, {"value": 1, "checkpoint_id": "x"}, ("checkpoint_id",)),
    (MULTIPLE, {"responses": [{"tool_call_id": "q1", "checkpoint_id": None}]}, ("responses", 0, "checkpoint_id")),
]


@pytest.mark.parametrize(("interrupt", "body", "loc"), WRONG)
def test_any_other_answer_changes_nothing(
    api: Api, interrupt: dict[str, Any], body: Any, loc: tuple[str | int, ...]
) -> None:
    run = interrupted(api, interrupt)
    assert_refused(api.post(f"/runs/{run}/resume", body), 422, "invalid", *loc)
    row = Run.objects.get(id=run)
    assert (row.status, row.interrupt, row.last_seq, row.events.count()) == ("interrupted", interrupt, 0, 0)


def test_each_of_several_bad_decisions_is_told(api: Api) -> None:
    interrupt = {**TYPED, "review_configs": {**TYPED["review_configs"], "send": TYPED["review_configs"]["pay"]}}
    run = interrupted(api, interrupt)
    edit = {"type": "edit", "arguments": {"amount": 0}}
    answer = api.post(f"/runs/{run}/resume", {"decisions": [edit, edit]})
    places = [error["loc"] for error in answer.json()["errors"]]
    assert places == [["decisions", 0, "arguments", "amount"], ["decisions", 1, "arguments", "amount"]]


def test_an_answer_to_what_was_asked_at_another_checkpoint_is_refused(api: Api) -> None:
    run, here, elsewhere = interrupted(api, CUSTOM), new_id(), new_id()
    Run.objects.filter(id=run).update(checkpoint_id=here)
    body = {"value": 1, "checkpoint_id": str(elsewhere)}
    assert_refused(api.post(f"/runs/{run}/resume", body), 409, "not_interrupted")
    assert api.get(f"/runs/{run}").json()["status"] == "interrupted"
    assert api.post(f"/runs/{run}/resume", {**body, "checkpoint_id": str(here)}).status_code == 202


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
