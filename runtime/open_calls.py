"""The tool calls of an answer that have no result yet, and what answers them: a person, or another run."""

from collections.abc import Mapping
from typing import Any

from runtime.contract import ChildResult, Json, Message, State, ToolCall, ToolRecord
from runtime.middleware.base import Turn

# The session's value that names the calls whose questions are put to a person, in their order.
ASKED = "asked"


def open_calls(state: State) -> tuple[Message | None, list[ToolCall]]:
    """This run's last answer, and those of its tool calls that have no result yet."""
    answered = set()
    for message in reversed(state.messages[state.run_start :]):
        if message.role != "tool":
            break
        answered.add(message.tool_call_id)
    else:
        return None, []
    return message, [call for call in message.tool_calls if call.id not in answered]


def question_of(asks: Mapping[str, dict[str, Json]], turn: Turn) -> dict[str, Any] | None:
    """One interrupt for all that is asked; notes in the values whose answer it will be.

    Several questions are put at once; what only its tool understands (`custom`) is put alone, one after the other.
    """
    if not asks:
        return None
    questions = {call: asked for call, asked in asks.items() if asked.get("type") == "ask_user_question"}
    if len(questions) < 2:
        call, asked = next(iter(questions.items() or asks.items()))
        turn.values[ASKED] = [call]
        return {**asked, "tool_call_id": call} if questions else asked
    turn.values[ASKED] = list(questions)
    return {"type": "multiple", "interrupts": [{**asked, "tool_call_id": call} for call, asked in questions.items()]}


def answers_in(turn: Turn) -> dict[str, Json]:
    """What was answered, by the call that asked; nothing, where tools have not asked or this is not the answer."""
    asked, resume = turn.values.get(ASKED), turn.state.resume
    if not asked or resume is None:
        return {}
    if len(asked) == 1:
        return {asked[0]: resume}
    return {response["tool_call_id"]: response for response in resume.get("responses") or ()}


def forget_asked(turn: Turn) -> None:
    """What was asked is answered by this step, or was left behind by a run that ended."""
    turn.values.pop(ASKED, None)


def child_record(call: ToolCall, child: ChildResult) -> ToolRecord:
    """The result of a call that another run carried out: what that run answered, or how it failed."""
    if child.status != "success":
        error = (child.error or {}).get("message") or f"The run ended {child.status}."
        return ToolRecord(call, "error", error=str(error))
    output = child.output or {}
    structured = output.get("structured")
    return ToolRecord(call, "ok", result=output.get("text", "") if structured is None else structured)
