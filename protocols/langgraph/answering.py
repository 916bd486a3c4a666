"""`command.resume` for native assistants: the run that asks goes on itself, with the answer in its own form."""

from collections.abc import Mapping
from typing import Any

from core.errors import Invalid
from core.validation import validate
from protocols.langgraph.interrupts import interrupts_of
from runs.bodies import ResumeRun

_PLACE = ("command", "resume")


def native_answer(asking: Mapping[str, Any], resume: Any) -> ResumeRun:
    """The answer to what the run `asking` (a row of `runs`) asks, as `runs.resuming` takes it.

    `resume` is the native document; to an approval also what LangChain's human-in-the-loop middleware takes,
    `{"decisions": [{"type": "approve" | "edit" | "reject" | "respond", ...}]}`; to an agent's own question any value.
    It may be given by the interrupt's id. Raises Invalid.
    """
    interrupt = asking["interrupt"]
    (asked,) = interrupts_of(asking["id"], interrupt, asking["checkpoint_id"])
    if isinstance(resume, dict) and set(resume) == {asked["id"]}:
        resume = resume[asked["id"]]
    if interrupt["type"] == "custom":
        return ResumeRun(value=resume)
    if not isinstance(resume, dict):
        raise Invalid.at(*_PLACE, message=f"An answer to a question of the type {interrupt['type']!r} is an object.")
    if isinstance(decisions := resume.get("decisions"), list):
        resume = {**resume, "decisions": [_decision(decision) for decision in decisions]}
    return validate(ResumeRun, resume)


def _decision(given: Any) -> Any:
    edited = given.get("edited_action") if isinstance(given, dict) else None
    if not isinstance(edited, dict):
        return given
    rest = {name: value for name, value in given.items() if name != "edited_action"}
    return {**rest, "arguments": edited.get("args", {})}
