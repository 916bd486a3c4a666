"""How tool calls are carried out: in time, once where it must be, and not at all where the result is known."""

import asyncio
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from runtime import tool_cache
from runtime.contract import Ask, BoundTool, Json, Message, Tool, ToolCall, ToolContext, ToolRecord
from runtime.errors import AgentError
from runtime.middleware.base import Turn
from runtime.once import LOST, UNKNOWN
from runtime.toolbox import Toolbox
from tests.runtime.driver import Conversation, Heard, a_turn, calls, script

DONE = {"text": "done"}


class Anything(BaseModel):
    of: Any = None


class Counter(Tool):
    """Counts its calls; `give` makes what they return, or raises."""

    name, description, Args, Parameters = "count", "Counts.", Anything, Anything

    def __init__(self, give: Any = lambda args, context: "counted", **traits: Any):
        self.calls = 0
        self._give = give
        for name, value in traits.items():
            setattr(self, name, value)

    async def acall(self, args: Any, context: ToolContext) -> Json:
        self.calls += 1
        given = self._give(args, context)
        return await given if asyncio.iscoroutine(given) else given


def a_call(number: int = 1, of: Any = None) -> ToolCall:
    return ToolCall(f"c{number}", "count", {"of": of})


async def carry_out(tool: Tool, *wanted: ToolCall, turn: Turn | None = None, **bound: Any) -> list[ToolRecord]:
    toolbox = Toolbox({tool.name: BoundTool(tool, **bound)})
    found = await toolbox.carry_out(wanted or [a_call()], turn or a_turn())
    assert all(isinstance(record, ToolRecord) for record in found)
    return found  # type: ignore[return-value]


# -- time --------------------------------------------------------------------------------------------------------------


async def forever(args: Any, context: ToolContext) -> None:
    if args.of is None:
        await asyncio.sleep(60)


async def test_a_call_that_takes_too_long_is_an_observation_and_the_others_go_on() -> None:
    slow, quick = await carry_out(Counter(forever, timeout_s=0.05), a_call(1), a_call(2, "quick"))
    assert (slow.status, slow.error) == ("error", "The tool took longer than 0.05 s.")
    assert quick.status == "ok"


async def test_the_model_is_told_and_answers() -> None:
    talk = script(calls(("count", {})), {"text": "It hangs."}, tools=(Counter(forever, timeout_s=0.01),))
    assert await talk.say("Count.") == "It hangs."
    assert talk.state.messages[-2].text == "The tool took longer than 0.01 s."
    assert [record.status for record in talk.io.results] == ["error"]


@pytest.mark.parametrize("own", [None, 0.0001, 60])
async def test_the_assistants_own_time_counts_before_the_tools(own: float | None) -> None:
    [record] = await carry_out(Counter(forever, timeout_s=own), timeout_s=0.02)
    assert record.error == "The tool took longer than 0.02 s."


async def test_a_thread_is_not_waited_for() -> None:
    released = threading.Event()

    class Blocking(Tool):
        name, description, timeout_s = "count", "Blocks.", 0.02

        def call(self, args: Any, context: ToolContext) -> Json:
            return released.wait(60)

    [record] = await carry_out(Blocking(), ToolCall("c1", "count", {}))
    released.set()
    assert record.error == "The tool took longer than 0.02 s."


async def test_a_tools_own_timeout_is_its_own_error() -> None:
    def fail(args: Any, context: ToolContext) -> None:
        raise TimeoutError("The line was busy.")

    assert (await carry_out(Counter(fail, timeout_s=60)))[0].error == "The line was busy."


# -- once --------------------------------------------------------------------------------------------------------------


def once(give: Any = lambda args, context: "counted") -> tuple[Counter, Conversation]:
    tool = Counter(give, once=True)
    return tool, script(calls(("count", {"of": 1})), calls(("count", {"of": 1})), DONE, tools=(tool,))


async def to_the_calls(talk: Conversation) -> None:
    """The model has asked for the call, which is not carried out yet."""
    talk.state.messages.append(Message(talk.io.new_id(), "user", "Count."))
    await talk.step()


async def carried_out(talk: Conversation) -> ToolRecord:
    """The step, whose result is not stored: as if the process died before it was."""
    [record] = (await talk.agent.step(talk.state, talk.io)).tool_calls
    return record


async def test_a_result_that_was_kept_is_used_when_the_step_is_carried_out_again() -> None:
    tool, talk = once(lambda args, context: {"n": 1})
    await to_the_calls(talk)
    first, second = await carried_out(talk), await carried_out(talk)
    assert tool.calls == 1
    assert first.result == second.result == {"n": 1}


async def test_a_call_that_was_begun_and_never_ended_is_not_made_again() -> None:
    async def die(args: Any, context: ToolContext) -> None:
        raise asyncio.CancelledError

    tool, talk = once(die)
    await to_the_calls(talk)
    with pytest.raises(asyncio.CancelledError):
        await carried_out(talk)
    record = await carried_out(talk)
    assert (tool.calls, record.status, record.error) == (1, "error", UNKNOWN)


async def test_an_error_is_what_came_of_it() -> None:
    def fail(args: Any, context: ToolContext) -> None:
        raise ValueError("No.")

    tool, talk = once(fail)
    await to_the_calls(talk)
    assert [(await carried_out(talk)).error for _ in range(2)] == ["No.", "No."]
    assert tool.calls == 1


async def test_a_result_that_cannot_be_kept_is_lost_and_the_call_not_made_again() -> None:
    class Small(Heard):
        async def keep(self, key: str, value: Any) -> None:
            if len(str(value)) > 200:
                raise AgentError("Too large.")
            await super().keep(key, value)

    tool, talk = once(lambda args, context: "x" * 300)
    talk.io = Small()
    await to_the_calls(talk)
    assert (await carried_out(talk)).result == "x" * 300
    assert (await carried_out(talk)).error == LOST
    assert tool.calls == 1


async def test_the_same_call_later_in_the_run_is_another_one() -> None:
    tool, talk = once()
    await talk.say("Twice, please.")
    assert tool.calls == 2


async def test_a_call_that_asked_is_made_again_with_its_answer() -> None:
    def ask(args: Any, context: ToolContext) -> Json:
        return context.answer or Ask({"type": "custom", "value": "Sure?"})

    tool, talk = once(ask)
    await to_the_calls(talk)
    assert (await talk.step()).interrupt is not None
    talk.state.resume = {"value": "yes"}
    assert (await carried_out(talk)).result == {"value": "yes"}
    assert (await carried_out(talk)).result == {"value": "yes"}
    assert tool.calls == 2


async def test_other_tools_keep_nothing() -> None:
    io = Heard()
    turn = a_turn()
    turn.io = io
    await carry_out(Counter(), turn=turn)
    assert io.results_kept == {}


# -- the cache ---------------------------------------------------------------------------------------------------------


def cached(give: Any = lambda args, context: {"of": args.of}) -> Counter:
    return Counter(give, cacheable=True)


async def test_a_second_call_with_the_same_arguments_is_not_carried_out() -> None:
    tool = cached()
    talk = script(
        calls(("count", {"of": {"a": 1, "b": 2}})), calls(("count", {"of": {"b": 2, "a": 1}})), DONE, tools=(tool,)
    )
    await talk.say("Twice, please.")
    first, second = talk.io.results
    assert (tool.calls, first.cached, second.cached) == (1, False, True)
    assert first.result == second.result == {"of": {"a": 1, "b": 2}}
    assert [record.document()["cached"] for step in talk.steps for record in step.tool_calls] == [False, True]


async def test_another_session_has_it_carried_out() -> None:
    tool = cached()
    for _ in range(2):
        await script(calls(("count", {})), DONE, tools=(tool,)).say("Count.")
    assert tool.calls == 2


async def test_of_two_at_once_one_is_carried_out() -> None:
    tool = cached(lambda args, context: asyncio.sleep(0, "slept"))
    records = await carry_out(tool, a_call(1), a_call(2), a_call(3, "other"))
    assert (tool.calls, [record.cached for record in records]) == (2, [False, True, False])


async def test_other_parameters_are_another_call() -> None:
    tool, turn = cached(), a_turn()
    for of in (1, 2, 1):
        await carry_out(tool, turn=turn, parameters={"of": of})
    assert tool.calls == 2


async def test_failures_are_not_remembered() -> None:
    def fail(args: Any, context: ToolContext) -> None:
        raise ValueError("Try again.")

    tool, turn = cached(fail), a_turn()
    for _ in range(2):
        await carry_out(tool, turn=turn)
    assert tool.calls == 2


async def test_nothing_is_a_result_too() -> None:
    tool, turn = cached(lambda args, context: None), a_turn()
    for _ in range(2):
        await carry_out(tool, turn=turn)
    assert tool.calls == 1


async def test_what_is_large_is_not_remembered() -> None:
    tool, turn = cached(lambda args, context: "x" * tool_cache.MAX_BYTES), a_turn()
    for _ in range(2):
        await carry_out(tool, turn=turn)
    assert (tool.calls, turn.values.changes) == (2, {})


async def test_the_oldest_goes_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_cache, "MAX_RESULTS", 2)
    tool, turn = cached(), a_turn()
    for of in (1, 2, 3, 2, 3):
        await carry_out(tool, a_call(of=of), turn=turn)
    assert tool.calls == 3
    await carry_out(tool, a_call(of=1), turn=turn)
    assert tool.calls == 4
    assert len(turn.values) == 3


async def test_tools_that_say_nothing_are_always_carried_out() -> None:
    tool, turn = Counter(), a_turn()
    for _ in range(2):
        await carry_out(tool, turn=turn)
    assert (tool.calls, turn.values.changes) == (2, {})
