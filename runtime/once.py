"""Calls that are never begun twice (`Tool.once`), although the step that they are in may be carried out again.

That a call begins is stored before it begins (`StepIO.keep`), and its result as soon as it has ended. Where the step is
carried out again the result is given; where there is none, nobody knows how far the call came, and the model is told.
"""

from collections.abc import Awaitable, Callable

from runtime.contract import Ask, Delegate, Json, State, ToolCall, ToolContext, ToolRecord
from runtime.errors import AgentError
from runtime.middleware.base import ToolOutcome
from runtime.tool_cache import digest

_BEGUN = {"status": "begun"}
UNKNOWN = "This call was begun before and is not made again; whether it has done what it does is not known."
LOST = "This call was made before and is not made again; its result was too large to be kept."


async def once(call: ToolCall, context: ToolContext, carry_out: Callable[[], Awaitable[ToolOutcome]]) -> ToolOutcome:
    """What comes of the call, or what came of it when its step was carried out before."""
    key = _key(call, context.state)
    before = (await context.io.kept()).get(key)
    if before is not None:
        return _as_before(call, before)
    await context.io.keep(key, _BEGUN)
    outcome = await carry_out()
    if isinstance(outcome, Ask | Delegate):
        # It waits, and is made again with what it waits for.
        await context.io.keep(key, None)
    else:
        await _keep(outcome, key, context)
    return outcome


async def _keep(record: ToolRecord, key: str, context: ToolContext) -> None:
    try:
        await context.io.keep(key, {"status": record.status, "result": record.result, "error": record.error})
    except AgentError:
        await context.io.keep(key, {"status": "error", "result": None, "error": LOST})


def _as_before(call: ToolCall, kept: Json) -> ToolRecord:
    if kept == _BEGUN:
        return ToolRecord(call, "error", error=UNKNOWN)
    return ToolRecord(call, kept["status"], result=kept["result"], error=kept["error"])


def _key(call: ToolCall, state: State) -> str:
    """The call by its place in the run and what it asks for.

    Not by its id: some providers begin to count anew with each answer, and where a run is stored at its end only, a
    crash has its model asked again, whose calls have other ids then.
    """
    own = state.messages[state.run_start :]
    place = next((n for n in range(len(own) - 1, -1, -1) if own[n].role == "assistant"), 0)
    nth = next((n for n, each in enumerate(own[place].tool_calls) if each.id == call.id), 0) if own else 0
    return f"once:{place}:{nth}:{digest(call.name, call.args)}"
