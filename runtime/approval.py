"""Tool calls that a person decides about (`interrupt_on`): what is asked, and what a decision makes of a call."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from runtime.contract import BoundTool, Json, ToolCall, ToolRecord
from runtime.interrupts import USUAL_DECISIONS, Decision

_SHOWN = 300


class Review(BaseModel):
    """What may be decided about a tool's calls."""

    allowed_decisions: list[Decision]


InterruptOn = dict[str, bool | Review]


def approval_of(calls: Sequence[ToolCall], interrupt_on: InterruptOn, tools: Mapping[str, BoundTool]) -> dict[str, Any]:
    """The interrupt that asks about these calls, all of tools in `interrupt_on`."""
    return {
        "type": "approval",
        "action_requests": [
            {
                "tool_call_id": call.id,
                "tool_name": call.name,
                "arguments": call.args,
                "display_text": _display_text(call),
            }
            for call in calls
        ],
        "review_configs": {
            name: {"allowed_decisions": _allowed(interrupt_on[name]), "args_schema": _schema(tools.get(name))}
            for name in dict.fromkeys(call.name for call in calls)
        },
    }


def decisions_in(resume: Json) -> dict[str, dict[str, Any]]:
    """What was decided, by tool call; nothing, where the answer is to something else."""
    given = resume.get("decisions") or [] if isinstance(resume, dict) else []
    return {decision["tool_call_id"]: decision for decision in given}


def decided(call: ToolCall, decision: Mapping[str, Any] | None) -> ToolCall | ToolRecord:
    """The call that is carried out, or what came of one that is not. Without a decision: the call as it is."""
    if decision is None:
        return call
    match decision["type"]:
        case "edit":
            return ToolCall(call.id, call.name, decision["arguments"])
        case "reject":
            why = decision.get("message") or f"A person rejected the call of {call.name}."
            return ToolRecord(call, "rejected", error=why)
        case "respond":
            return ToolRecord(call, "ok", result=decision["message"])
    return call


def _allowed(review: bool | Review) -> list[Decision]:
    return list(USUAL_DECISIONS) if isinstance(review, bool) else review.allowed_decisions


def _schema(bound: BoundTool | None) -> dict[str, Any] | None:
    return bound.tool.Args.model_json_schema() if bound else None


def _display_text(call: ToolCall) -> str:
    text = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in call.args.items())
    return f"{call.name}({text if len(text) <= _SHOWN else text[:_SHOWN] + '...'})"
