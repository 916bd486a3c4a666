"""What an agent asks has one of the forms, or is its fault."""

from typing import Any

import pytest

from runtime.errors import AgentError
from runtime.interrupts import sound_interrupt

CALL = {"tool_call_id": "c1", "tool_name": "pay", "arguments": {}}
CHOICE: dict[str, Any] = {
    "type": "ask_user_question",
    "question": "Which?",
    "response_type": "single_select",
    "options": [{"value": "a", "label": "A"}],
}


def test_an_approval_names_what_may_be_decided() -> None:
    asked = sound_interrupt({"type": "approval", "action_requests": [CALL]})
    assert asked == {
        "type": "approval",
        "action_requests": [{**CALL, "display_text": ""}],
        "review_configs": {"pay": {"allowed_decisions": ["approve", "edit", "reject"], "args_schema": None}},
        "hitl_tool_call_ids": ["c1"],
    }


def test_a_question_has_all_its_fields() -> None:
    assert sound_interrupt(CHOICE) == {
        **CHOICE,
        "allow_other": False,
        "allow_cancel": True,
        "context": None,
        "tool_call_id": None,
    }


def test_text_that_cannot_be_stored_is_cleaned() -> None:
    assert sound_interrupt({"type": "custom", "value": ["a\x00b"]}) == {"type": "custom", "value": ["a�b"]}


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"type": "shrug"},
        {"type": "custom"},
        {"type": "custom", "value": 1, "more": 2},
        {"type": "custom", "value": object()},
        {"type": "custom", "value": 2**70},
        {"type": "approval", "action_requests": []},
        {"type": "approval", "action_requests": [CALL, CALL]},
        {**CHOICE, "options": []},
        {**CHOICE, "response_type": "freeform"},
        {**CHOICE, "options": CHOICE["options"] * 2},
        {"type": "multiple", "interrupts": [CHOICE]},
        {"type": "multiple", "interrupts": [{**CHOICE, "tool_call_id": "q"}] * 2},
    ],
)
def test_what_has_no_form_is_the_agents_fault(asked: dict[str, Any]) -> None:
    with pytest.raises(AgentError) as fault:
        sound_interrupt(asked)
    assert fault.value.code == "agent_error"
