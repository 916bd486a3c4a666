"""The middleware of a ReactAgent: the order of its hooks, and what each of them may do."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from runtime import middleware
from runtime.contract import (
    Ask,
    ChildResult,
    ChildRun,
    Delegate,
    Json,
    Message,
    Tool,
    ToolCall,
    ToolContext,
    ToolRecord,
)
from runtime.errors import AgentError, MessageRejected, ModelError
from runtime.middleware import register_middleware
from runtime.middleware.base import Middleware, Proceed, ToolOutcome, Turn
from runtime.values import Values
from tests.runtime.driver import Conversation, calls, echo, script

heard: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "_registered", {})
    heard.clear()


def registered(cls: type[Middleware]) -> type[Middleware]:
    return register_middleware(cls)


class Count(Tool):
    """Counts its calls in the session's values."""

    name, description = "count", "Counts."

    async def acall(self, args: Any, context: ToolContext) -> Json:
        context.values["count"] = context.values.get("count", 0) + 1
        return context.values["count"]


class Probe(Middleware):
    """Tells which of its hooks are called, and in which order."""

    name = "probe"

    def prompt(self, turn: Turn) -> str:
        heard.append(f"{self.id} prompt")
        return f"I am {self.id}."

    async def before_model(self, turn: Turn) -> None:
        heard.append(f"{self.id} before_model")

    async def after_model(self, turn: Turn, answer: Message) -> None:
        heard.append(f"{self.id} after_model")

    async def before_tools(self, turn: Turn, calls: Sequence[ToolCall]) -> dict[str, Json] | None:
        heard.append(f"{self.id} before_tools")
        return None

    async def wrap_tool(self, call: ToolCall, context: ToolContext, proceed: Proceed) -> ToolOutcome:
        heard.append(f"{self.id} >")
        outcome = await proceed(call)
        heard.append(f"{self.id} <")
        return outcome

    async def after_tools(self, turn: Turn, records: Sequence[ToolRecord]) -> None:
        heard.append(f"{self.id} after_tools")

    def handle_resume(self, turn: Turn) -> None:
        heard.append(f"{self.id} resume")


PROBES = [{"name": "probe", "id": "one"}, {"name": "probe", "id": "two"}]


async def test_hooks_are_called_in_the_order_of_the_list_and_approval_comes_last() -> None:
    registered(Probe)
    talk = script(
        calls(("count", {})), {"text": "Done."}, tools=(Count(),), middleware=PROBES, interrupt_on={"count": True}
    )
    await talk.until_it_waits("go")
    assert heard[:6] == [
        f"{who} {hook}" for hook in ("before_model", "prompt", "after_model") for who in ("one", "two")
    ]
    assert heard[6:] == ["one before_tools", "two before_tools"]
    heard.clear()
    await talk.answer({"decisions": [{"type": "approve", "tool_call_id": "call_0_0"}]})
    assert heard == [
        *("one resume", "two resume", "one before_tools", "two before_tools"),
        *("one >", "two >", "two <", "one <", "one after_tools", "two after_tools"),
    ]


async def test_what_it_adds_to_the_prompt_is_seen_by_the_model() -> None:
    registered(Probe)
    talk = Conversation(echo(middleware=PROBES, system_prompt="Be kind.").agent)
    talk.agent.spec.config["llm"]["model"] = "prompt"
    assert await talk.say("who?") == "Be kind.\n\nI am one.\n\nI am two."


async def test_its_tools_are_offered_and_share_the_session_values() -> None:
    class Counting(Middleware):
        name = "counting"

        def tools(self) -> Sequence[Tool]:
            return [Count()]

    registered(Counting)
    talk = script(calls(("count", {}), ("count", {})), {"text": "Done."}, middleware=[{"name": "counting"}])
    await talk.say("go")
    assert [record.result for record in talk.io.results] == [1, 2]
    assert talk.state.values == {"count": 2}


async def test_it_may_finish_the_run_with_a_result() -> None:
    class Enough(Middleware):
        name = "enough"

        async def after_tools(self, turn: Turn, records: Sequence[ToolRecord]) -> None:
            turn.finish(structured=records[0].result, text="That is it.")

    registered(Enough)
    talk = script(calls(("count", {})), tools=(Count(),), middleware=[{"name": "enough"}])
    assert await talk.say("go") == "That is it."
    assert talk.steps[-1].structured == 1


async def test_it_may_have_the_model_asked_again() -> None:
    class Nagging(Middleware):
        name = "nagging"

        async def after_model(self, turn: Turn, answer: Message) -> None:
            if answer.text == "No.":
                turn.go_on(Message(turn.io.new_id(), "user", "Please."))

    registered(Nagging)
    talk = script({"text": "No."}, {"text": "Yes."}, middleware=[{"name": "nagging"}])
    assert await talk.say("go") == "Yes."
    assert [message.text for message in talk.state.messages] == ["go", "No.", "Please.", "Yes."]
    assert [message.metadata for message in talk.state.messages if message.text == "Please."] == [{"asked_again": True}]


async def test_one_that_finishes_after_the_model_leaves_no_call_without_a_result() -> None:
    class Impatient(Middleware):
        name = "impatient"

        async def after_model(self, turn: Turn, answer: Message) -> None:
            turn.finish(text="Enough.")

    registered(Impatient)
    talk = script(calls(("count", {})), tools=(Count(),), middleware=[{"name": "impatient"}])
    assert await talk.say("go") == "Enough."
    assert [(message.role, message.tool_call_id) for message in talk.state.messages[1:]] == [
        *(("assistant", None), ("tool", "call_0_0"), ("assistant", None))
    ]


class Companion(Middleware):
    """Does something beside the model's answer that ends after it, or never."""

    name = "companion"

    async def before_model(self, turn: Turn) -> None:
        turn.beside(self.work(turn, "forever" in turn.messages[-1].text))
        await asyncio.sleep(0)  # it has begun when the model is asked

    async def work(self, turn: Turn, forever: bool) -> None:
        try:
            await asyncio.sleep(60 if forever else 0.05)
            turn.values["companion"] = "done"
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise


async def test_what_is_done_beside_the_answer_is_waited_for() -> None:
    registered(Companion)
    talk = echo(middleware=[{"name": "companion"}])
    await talk.say("a moment")
    assert talk.state.values == {"companion": "done"}


async def test_where_there_is_no_answer_it_is_cancelled() -> None:
    registered(Companion)
    talk = echo(middleware=[{"name": "companion"}])
    talk.io.refusals["echo"] = ModelError("Down.")
    with pytest.raises(ModelError):
        await talk.say("forever")
    await asyncio.sleep(0)
    assert heard == ["cancelled"]


async def test_what_it_raises_around_a_call_is_that_call_s_error() -> None:
    class Strict(Middleware):
        name = "strict"

        async def wrap_tool(self, call: ToolCall, context: ToolContext, proceed: Proceed) -> ToolOutcome:
            raise ValueError("Not today.")

    registered(Strict)
    talk = script(
        calls(("count", {}), ("count", {})), {"text": "Done."}, tools=(Count(),), middleware=[{"name": "strict"}]
    )
    await talk.say("go")
    assert [record.error for record in talk.io.results] == ["Not today."] * 2


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"name": "nobody"}, "There is no middleware 'nobody'"),
        ({"name": "set", "settings": {"size": "big"}}, "size"),
        ({"name": "set", "settings": {"colour": "red"}}, "colour"),
    ],
)
async def test_one_that_is_not_there_or_does_not_fit_ends_the_run(entry: dict[str, Any], told: str) -> None:
    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
        size: int = 1

    registered(type("Set", (Middleware,), {"name": "set", "Settings": Settings}))
    with pytest.raises(AgentError, match=told):
        await echo(middleware=[entry]).say("hello")


async def test_two_tools_of_one_name_are_an_error() -> None:
    registered(type("Counting", (Middleware,), {"name": "counting", "tools": lambda self: [Count()]}))
    with pytest.raises(AgentError, match="second tool 'count'"):
        await echo(Count(), middleware=[{"name": "counting"}]).say("hello")


class UserContext(Middleware):
    name = "user_context"

    def prompt(self, turn: Turn) -> str:
        return f"I am {self.id}. The user is {turn.values.get(self.id, 'unknown')}."

    def handle_message(self, message: Json, values: Values) -> None:
        values[self.id] = message


async def test_a_message_reaches_the_one_it_is_sent_to_and_is_in_the_next_prompt() -> None:
    registered(UserContext)
    talk = echo(middleware=[{"name": "user_context"}, {"name": "user_context", "id": "other"}])
    talk.agent.spec.config["llm"]["model"] = "prompt"
    values = Values(talk.state.values)
    talk.agent.notify("other", "Ann", values)
    talk.state.values = dict(values)
    assert await talk.say("who?") == "I am user_context. The user is unknown.\n\nI am other. The user is Ann."


def test_a_message_to_one_that_is_not_there_is_refused() -> None:
    with pytest.raises(LookupError, match="only none"):
        echo().agent.notify("user_context", "Ann", Values({}))


class Mention(Middleware):
    """Has the model see what a mention stands for."""

    name = "mention"

    def incoming(self, message: Message) -> Message:
        if "@nobody" in message.text:
            raise ValueError("There is no @nobody.")
        seen = message.text_for_model.replace("@ann", "Ann, who leads the team")
        return replace(message, metadata={**message.metadata, "for_model": seen})


async def test_the_model_may_see_another_text_than_what_was_said() -> None:
    registered(Mention)
    talk = echo(middleware=[{"name": "mention"}])
    said = talk.agent.incoming(Message("m", "user", "Who is @ann?"))
    assert said.content == "Who is @ann?"
    talk.state.messages = [said]
    await talk.step()
    assert talk.state.messages[-1].text == "Who is Ann, who leads the team?"


def test_a_message_may_be_refused() -> None:
    registered(Mention)
    with pytest.raises(MessageRejected, match="There is no @nobody"):
        echo(middleware=[{"name": "mention"}]).agent.incoming(Message("m", "user", "Who is @nobody?"))


def test_a_name_is_taken_once() -> None:
    registered(Probe)
    with pytest.raises(ValueError, match="probe"):
        registered(type("Other", (Middleware,), {"name": "probe"}))


# -- tools that ask, and tools that delegate ------------------------------------------------------------------------


class Colour(Tool):
    name, description = "colour", "Asks for a colour."

    async def acall(self, args: Any, context: ToolContext) -> Json:
        if context.answer is None:
            options = [{"value": "red", "label": "Red"}, {"value": "blue", "label": "Blue"}]
            return Ask(
                {
                    "type": "ask_user_question",
                    "question": "Which?",
                    "response_type": "single_select",
                    "options": options,
                }
            )
        return f"It is {context.answer['selected'][0]}."


class Elsewhere(Tool):
    name, description = "elsewhere", "Has another run do it."

    async def acall(self, args: Any, context: ToolContext) -> Json:
        return Delegate(ChildRun({"message": "Do it."}, subagent="helper"))


async def test_a_tool_asks_a_person_and_is_called_again_with_the_answer() -> None:
    talk = script(calls(("colour", {})), {"text": "Fine."}, tools=(Colour(),))
    step = await talk.until_it_waits("go")
    assert step.interrupt is not None
    assert step.interrupt["tool_call_id"] == "call_0_0"
    step = await talk.answer({"type": "answer", "selected": ["red"]})
    assert [record.result for record in step.tool_calls] == ["It is red."]
    assert "asked" not in talk.state.values


async def test_two_questions_are_put_at_once_and_the_other_calls_are_done() -> None:
    talk = script(calls(("colour", {}), ("count", {}), ("colour", {})), {"text": "Fine."}, tools=(Colour(), Count()))
    step = await talk.until_it_waits("go")
    assert step.interrupt is not None
    assert [asked["tool_call_id"] for asked in step.interrupt["interrupts"]] == ["call_0_0", "call_0_2"]
    responses = [
        {"tool_call_id": "call_0_2", "type": "answer", "selected": ["blue"]},
        {"tool_call_id": "call_0_0", "type": "answer", "selected": ["red"]},
    ]
    step = await talk.answer({"responses": responses})
    assert [record.result for record in step.tool_calls] == ["It is red.", "It is blue."]
    assert talk.state.values == {"count": 1}


async def test_a_call_that_was_approved_is_not_asked_about_again_while_another_one_asks() -> None:
    talk = script(
        calls(("elsewhere", {}), ("colour", {})),
        {"text": "Fine."},
        tools=(Colour(), Elsewhere()),
        interrupt_on={"elsewhere": True},
    )
    await talk.until_it_waits("go")
    asks = await talk.answer({"decisions": [{"type": "approve", "tool_call_id": "call_0_0"}]})
    assert asks.interrupt is not None
    assert asks.interrupt["type"] == "ask_user_question"
    goes = await talk.answer({"type": "answer", "selected": ["red"]})
    assert (list(goes.children), goes.interrupt) == (["call_0_0"], None)
    talk.state.children = {"call_0_0": ChildResult("run", "success", {"text": "Done there."})}
    ends = await talk.step()
    assert [record.result for record in ends.tool_calls] == ["Done there."]
    assert talk.state.values == {}


async def test_a_call_waits_for_another_run_while_the_others_are_stored() -> None:
    talk = script(calls(("elsewhere", {}), ("count", {})), {"text": "Fine."}, tools=(Elsewhere(), Count()))
    step = await talk.until_it_waits("go")
    assert step.children == {"call_0_0": ChildRun({"message": "Do it."}, subagent="helper")}
    assert [message.name for message in step.messages] == ["count"]
    talk.state.children = {"call_0_0": ChildResult("run", "error", error={"message": "It broke."})}
    step = await talk.step()
    assert [(record.status, record.error) for record in step.tool_calls] == [("error", "It broke.")]


async def test_of_very_many_calls_that_others_carry_out_some_wait_for_the_first_ones() -> None:
    talk = script(calls(*[("elsewhere", {})] * 40), {"text": "Fine."}, tools=(Elsewhere(),))
    first = await talk.until_it_waits("go")
    assert (len(first.children), first.tool_calls) == (32, [])
    talk.state.children = {call: ChildResult("run", "success", {"text": "Done."}) for call in first.children}
    second = await talk.step()
    assert (len(second.tool_calls), len(second.children)) == (32, 8)
    assert not first.children.keys() & second.children.keys()
