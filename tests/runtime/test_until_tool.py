"""The middleware `until_tool`: a run that ends by the call of a tool."""

from typing import Any

import pytest

from runtime.contract import Ask, ChildResult, ChildRun, Delegate, Json, Tool, ToolContext
from runtime.errors import OutputInvalid, ToolNotCalled
from runtime.middleware.subagents import subagent_config
from runtime.middleware.until_tool import UntilTool, UntilToolSettings
from tests.runtime.driver import Conversation, calls, react, script
from tests.runtime.test_react import Adder


class Submit(Tool):
    """Ends the work."""

    name, description = "submit", "Submits."

    async def acall(self, args: Any, context: ToolContext) -> Json:
        return {"submitted": True}


class Report(Tool):
    """Ends the work with a text."""

    name, description = "report", "Reports."

    async def acall(self, args: Any, context: ToolContext) -> Json:
        return "All is well."


class Stubborn(Tool):
    """Refuses at first."""

    name, description = "stubborn", "Submits, at the second call."
    called = 0

    async def acall(self, args: Any, context: ToolContext) -> Json:
        self.called += 1
        if self.called == 1:
            raise ValueError("not yet")
        return "now"


class Inquire(Tool):
    """Asks a person."""

    name, description = "inquire", "Asks."

    async def acall(self, args: Any, context: ToolContext) -> Json:
        return Ask({"type": "custom", "value": "Well?"}) if context.answer is None else "asked"


SUBMITTING = {"name": "until_tool", "settings": {"tools": ["submit"], "max_reminders": 1}}


def until(*turns: dict[str, Any], tools: tuple[Tool, ...], **settings: Any) -> Conversation:
    settings = {"tools": ["submit", "report", "stubborn"], **settings}
    return script(*turns, tools=tools, middleware=[{"name": "until_tool", "settings": settings}])


async def test_the_tools_result_is_the_output() -> None:
    chat = until(calls(("add", {"a": 1, "b": 2})), calls(("submit", {})), tools=(Submit(), Adder()))
    await chat.say("go")
    assert chat.kinds == ["model", "tools", "model", "tools"]
    assert chat.steps[-1].structured == {"submitted": True}
    assert chat.state.messages[-1].role == "tool"


async def test_a_text_is_what_the_assistant_says_last() -> None:
    chat = until(calls(("report", {})), tools=(Report(),))
    assert await chat.say("go") == "All is well."
    assert (chat.state.messages[-1].role, chat.steps[-1].structured) == ("assistant", "All is well.")


async def test_a_call_that_fails_does_not_end_it() -> None:
    chat = until(calls(("stubborn", {})), tools=(Stubborn(),))
    assert await chat.say("go") == "now"
    assert chat.kinds == ["model", "tools"] * 2


async def test_a_model_that_ends_without_it_is_an_error_that_counts_its_call() -> None:
    chat = until({"text": "I am done."}, tools=(Submit(),))
    with pytest.raises(ToolNotCalled) as raised:
        await chat.say("go")
    assert (raised.value.code, raised.value.retryable) == ("until_tool_not_called", False)
    assert raised.value.message == "The model ended without a call of `submit` or `report` or `stubborn`."
    assert raised.value.record is not None
    assert raised.value.record.usage.output_tokens == 3


async def test_a_reminded_model_calls_it() -> None:
    chat = until({"text": "Done?"}, calls(("submit", {})), tools=(Submit(),), max_reminders=1)
    await chat.say("go")
    assert [message.role for message in chat.state.messages] == ["user", "assistant", "user", "assistant", "tool"]
    assert chat.state.messages[2].metadata == {"until_tool": "until_tool", "asked_again": True}


async def test_after_the_reminders_it_is_an_error() -> None:
    chat = until({"text": "Done."}, tools=(Submit(),), max_reminders=2)
    with pytest.raises(ToolNotCalled):
        await chat.say("go")
    assert len(chat.steps) == 2


async def test_the_model_is_told_of_it() -> None:
    chat = react({"provider": "fake", "model": "prompt"}, Submit(), middleware=[SUBMITTING], system_prompt="Be exact.")
    await chat.step()
    assert chat.state.messages[0].text.startswith("Be exact.\n\nYou are done only when you have called `submit`")


async def test_the_calls_beside_it_are_answered_first() -> None:
    chat = until(calls(("submit", {}), ("inquire", {})), tools=(Submit(), Inquire()))
    step = await chat.until_it_waits("go")
    assert not step.done
    step = await chat.answer({"value": "yes"})
    assert (step.done, step.structured) == (True, {"submitted": True})
    assert chat.state.values == {}


async def test_the_result_of_another_run_is_the_output() -> None:
    class Hand(Tool):
        name, description = "submit", "Has it done."

        async def acall(self, args: Any, context: ToolContext) -> Json:
            return Delegate(ChildRun("go"))

    chat = until(calls(("submit", {})), tools=(Hand(),))
    await chat.until_it_waits("go")
    chat.state.children = {"call_0_0": ChildResult("r", "success", {"text": "done it", "structured": None}, None)}
    step = await chat.step()
    assert (step.done, step.structured) == (True, "done it")


async def test_a_result_that_does_not_fit_the_schema_is_refused() -> None:
    chat = until(calls(("submit", {})), tools=(Submit(),))
    chat.agent.spec.config["output_schema"] = {"type": "array"}
    with pytest.raises(OutputInvalid):
        await chat.say("go")


def test_a_tool_that_the_assistant_does_not_have_is_a_misfit() -> None:
    tools = [{"name": "calculator", "enabled": True}, {"name": "current_time", "enabled": False}]
    config = {"type": "ReactAgent", "tools": tools, "middleware": [{"name": "todo_list", "settings": {}}]}
    settings = UntilToolSettings(tools=["calculator", "current_time", "write_todos"])
    assert list(UntilTool.unfit(settings, config)) == [(("tools", 1), "The assistant has no tool 'current_time'.")]
    assert list(UntilTool.unfit(settings, {**config, "mcp_servers": [{"name": "elsewhere"}]})) == []


def test_a_sub_agent_ends_with_an_answer_as_ever() -> None:
    middleware = [{"name": "subagents"}, SUBMITTING, {"name": "limits", "settings": {"max_tokens": 5}}]
    config = subagent_config({"llm": {}, "tools": [], "middleware": middleware}, "general-purpose")
    assert [entry["name"] for entry in config["middleware"]] == ["limits"]
