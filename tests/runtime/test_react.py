import asyncio
import contextvars
from typing import Any

import pytest
from pydantic import BaseModel

from runtime.contract import Message, Tool, ToolCall, ToolContext
from runtime.errors import MaxStepsExceeded, ModelRateLimited, ModelUnavailable, MustWait
from tests.runtime.driver import calls, echo, script

WHO = contextvars.ContextVar("WHO", default="nobody")


class Adder(Tool):
    name = "add"
    description = "Adds."

    class Args(BaseModel):
        a: int
        b: int

    async def acall(self, args: Args, context: ToolContext) -> int:
        return args.a + args.b


class Failing(Tool):
    name = "fail"
    description = "Fails."

    async def acall(self, args: Any, context: ToolContext) -> None:
        raise RuntimeError("the disk is full")


class Blocking(Tool):
    name = "who"
    description = "Blocks, and tells who asked."

    def call(self, args: Any, context: ToolContext) -> dict[str, str]:
        return {"who": WHO.get(), "call": context.call_id}


class Waiting(Tool):
    """Ends only when as many calls of it as `crowd` have begun."""

    name = "wait"
    description = "Waits for company."

    def __init__(self, crowd: int):
        self.barrier = asyncio.Barrier(crowd)

    async def acall(self, args: Any, context: ToolContext) -> str:
        await self.barrier.wait()
        return context.call_id


async def test_echo_ends_after_one_model_call() -> None:
    chat = echo()
    assert await chat.say("hello big world") == "hello big world"
    assert chat.kinds == ["model"]
    assert chat.io.tokens == [("text", "hello "), ("text", "big "), ("text", "world")]


async def test_two_tools_then_an_answer() -> None:
    turns = (calls(("add", {"a": 1, "b": 2})), calls(("add", {"a": 3, "b": 4})), {"text": "done"})
    chat = script(*turns, tools=(Adder(),))
    assert await chat.say("go") == "done"
    assert chat.kinds == ["model", "tools", "model", "tools", "model"]
    assert [record.result for record in chat.io.results] == [3, 7]
    assert [step.next for step in chat.steps] == [("tools",), ("model",), ("tools",), ("model",), ()]


async def test_calls_of_one_answer_run_at_once_and_are_answered_in_order() -> None:
    chat = script(calls(*[("wait", {})] * 3), {"text": "done"}, tools=(Waiting(3),))
    await asyncio.wait_for(chat.say("go"), 5)
    results = [message.tool_call_id for message in chat.state.messages if message.role == "tool"]
    assert results == ["call_0_0", "call_0_1", "call_0_2"]


async def test_only_the_missing_calls_are_carried_out() -> None:
    chat = script({"text": "done"}, tools=(Adder(),))
    wanted = [ToolCall("one", "add", {"a": 1, "b": 1}), ToolCall("two", "add", {"a": 2, "b": 2})]
    chat.state.messages += [
        Message("1", "user", "go"),
        Message("2", "assistant", "", tool_calls=wanted),
        Message("3", "tool", "2", tool_call_id="one", name="add"),
    ]
    step = await chat.step()
    assert [record.call.id for record in step.tool_calls] == ["two"]


async def test_a_failing_tool_is_an_observation() -> None:
    chat = script(calls(("fail", {})), {"text": "never mind"}, tools=(Failing(),))
    assert await chat.say("go") == "never mind"
    assert (chat.io.results[0].status, chat.io.results[0].error) == ("error", "the disk is full")
    assert chat.state.messages[2].text == "the disk is full"


async def test_a_tool_outside_the_list_is_not_carried_out() -> None:
    chat = script(calls(("add", {"a": 1, "b": 2})), {"text": "ok"})
    await chat.say("go")
    assert chat.io.results[0].error == "Tool 'add' is not available."


async def test_invalid_arguments_are_an_observation() -> None:
    chat = script(calls(("add", {"a": "many"})), {"text": "ok"}, tools=(Adder(),))
    await chat.say("go")
    assert chat.io.results[0].status == "error"
    assert "a: Input should be a valid integer" in str(chat.io.results[0].error)
    assert "b: Field required" in str(chat.io.results[0].error)


async def test_blocking_tools_run_in_a_thread_with_the_context() -> None:
    WHO.set("alice")
    chat = script(calls(("who", {})), {"text": "ok"}, tools=(Blocking(),))
    await chat.say("go")
    assert chat.io.results[0].result == {"who": "alice", "call": "call_0_0"}
    assert chat.state.messages[2].content == '{"who": "alice", "call": "call_0_0"}'


async def test_the_run_ends_at_max_steps() -> None:
    chat = script(calls(("add", {"a": 1, "b": 2})), tools=(Adder(),), max_steps=3)
    with pytest.raises(MaxStepsExceeded):
        await chat.say("go")
    assert chat.kinds.count("model") == 3


async def test_cancelling_passes_through_a_tool_and_a_model() -> None:
    for chat in (script(calls(("wait", {})), tools=(Waiting(2),)), script({"text": "x", "delay_ms": 60_000})):
        task = asyncio.create_task(chat.say("go"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_system_prompt_comes_first_on_every_call() -> None:
    chat = echo(system_prompt="Be brief, be kind.")
    await chat.say("hi")
    await chat.say("hi")
    assert [step.model.usage.input_tokens for step in chat.steps if step.model] == [5, 7]


async def test_without_memory_the_model_sees_only_this_run() -> None:
    chat = echo(memory={"scope": "none"})
    await chat.say("one two")
    await chat.say("three")
    assert [step.model.usage.input_tokens for step in chat.steps if step.model] == [2, 1]


async def test_a_script_goes_on_in_the_next_run_and_its_last_turn_repeats() -> None:
    chat = script({"text": "first"}, {"text": "second"})
    assert [await chat.say("go") for _ in range(3)] == ["first", "second", "second"]


async def test_a_scripts_error_is_classified_as_a_providers() -> None:
    chat = script({"error": {"status": 429, "retry_after": 2}})
    with pytest.raises(ModelRateLimited) as raised:
        await chat.say("go")
    assert raised.value.retry_after_s == 2
    assert raised.value.retryable


async def test_a_scripts_usage_is_told() -> None:
    chat = script({"text": "a b", "usage": {"input_tokens": 100, "output_tokens": 20}})
    await chat.say("go")
    record = chat.steps[0].model
    assert record is not None
    assert (record.usage.input_tokens, record.usage.output_tokens) == (100, 20)


async def test_a_fallback_answers_in_place_of_a_model_that_fails() -> None:
    chat = script({"error": {"status": 401}})
    chat.agent.spec.config["llm"]["fallbacks"] = [{"provider": "fake", "model": "echo"}]
    assert await chat.say("hello") == "hello"
    assert chat.steps[0].model is not None
    assert chat.steps[0].model.model == "echo"


async def test_a_fallback_answers_in_place_of_a_model_that_is_left_alone() -> None:
    chat = script({"text": "never heard"})
    chat.agent.spec.config["llm"]["fallbacks"] = [{"provider": "fake", "model": "echo"}]
    chat.io.refusals["script"] = ModelUnavailable("It keeps failing.")
    assert await chat.say("hello") == "hello"


async def test_what_must_wait_waits_though_there_is_a_fallback() -> None:
    chat = script({"text": "never heard"})
    chat.agent.spec.config["llm"]["fallbacks"] = [{"provider": "fake", "model": "echo"}]
    chat.io.refusals["script"] = MustWait("It takes no more calls.", retry_after_s=5)
    with pytest.raises(MustWait):
        await chat.say("hello")


async def test_a_call_tells_what_it_used() -> None:
    chat = script({"text": "a b", "usage": {"input_tokens": 100, "output_tokens": 20}})
    await chat.say("go")
    assert [(usage.input_tokens, usage.output_tokens) for usage in chat.io.used] == [(100, 20)]


async def test_of_failures_the_retryable_one_is_reported() -> None:
    chat = script({"error": {"status": 401}})
    turns = [{"error": {"status": 429}}]
    fallback = {"provider": "fake", "model": "script", "settings": {"turns": turns}}
    chat.agent.spec.config["llm"]["fallbacks"] = [fallback]
    with pytest.raises(ModelRateLimited):
        await chat.say("hello")


async def test_a_tools_text_is_cleaned() -> None:
    chat = script(calls(("fail", {})), {"text": "ok\x00"}, tools=(Failing(),))
    assert await chat.say("go") == "ok\ufffd"
