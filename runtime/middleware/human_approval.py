"""Tool calls that a person decides about (`interrupt_on`)."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from runtime.approval import InterruptOn, approval_of, decided, decisions_in
from runtime.contract import Json, ToolCall, ToolContext, ToolRecord
from runtime.middleware.base import Middleware, Proceed, ToolOutcome, Turn
from runtime.values import Values

# Decisions about calls that are still open: another call of the turn asks something, or is another run's.
DECIDED = "human_approval"


class HumanApprovalSettings(BaseModel):
    """`interrupt_on`: by tool, whether a person decides about its calls, or what may be decided."""

    model_config = ConfigDict(extra="forbid")

    interrupt_on: InterruptOn = Field(default_factory=dict)


class HumanApproval(Middleware):
    """Asks a person before any call of the turn is carried out, and does with each call what was decided."""

    name = "human_approval"
    Settings = HumanApprovalSettings

    async def before_tools(self, turn: Turn, calls: Sequence[ToolCall]) -> dict[str, Json] | None:
        known = _decisions(turn.state.resume, turn.values)
        interrupt_on = self.settings.interrupt_on
        asked = [call for call in calls if interrupt_on.get(call.name) and call.id not in known]
        return approval_of(asked, interrupt_on, turn.tools) if asked else None

    async def wrap_tool(self, call: ToolCall, context: ToolContext, proceed: Proceed) -> ToolOutcome:
        decision = _decisions(context.state.resume, context.values).get(call.id)
        wanted = decided(call, decision)
        outcome = await proceed(wanted) if isinstance(wanted, ToolCall) else wanted
        if decision is not None and isinstance(outcome, ToolRecord):
            outcome.decision = decision["type"]
        return outcome

    async def after_tools(self, turn: Turn, records: Sequence[ToolRecord]) -> None:
        known = _decisions(turn.state.resume, turn.values)
        waiting = {call.id: known[call.id] for call in turn.open_calls if call.id in known}
        if waiting:
            turn.values[DECIDED] = waiting
        else:
            turn.values.pop(DECIDED, None)


def _decisions(resume: Json, values: Values) -> dict[str, dict[str, Any]]:
    return {**values.get(DECIDED, {}), **decisions_in(resume)}
