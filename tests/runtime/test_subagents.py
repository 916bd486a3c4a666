"""The middleware `subagents`: what the model may hand over, to whom, and what a sub-agent is."""

from typing import Any

import pytest
from pydantic import ValidationError

from runtime.contract import ChildResult, ChildRun, ToolRecord
from runtime.middleware.subagents import SubagentsSettings, subagent_config
from tests.runtime.driver import Conversation, calls, script

OTHER = "01a1fe83-8944-707f-8624-86ded8aade7d"
WRITER = {"name": "writer", "description": "Writes.", "system_prompt": "Write."}


def config(*subagents: dict[str, Any], **settings: Any) -> list[dict[str, Any]]:
    return [{"name": "subagents", "settings": {"subagents": list(subagents), **settings}}]


def task(to: str, instructions: str = "Go.") -> tuple[str, dict[str, Any]]:
    return "task", {"subagent_type": to, "instructions": instructions}


def supervisor(*wanted: tuple[str, dict[str, Any]], subagents: list[dict[str, Any]] | None = None) -> Conversation:
    middleware = config(WRITER) if subagents is None else subagents
    return script(calls(*wanted), {"text": "Done."}, middleware=middleware)


def failed(talk: Conversation) -> list[str | None]:
    return [record.error for record in talk.io.results if record.status == "error"]


async def test_tasks_are_handed_over_side_by_side() -> None:
    talk = supervisor(task("writer", "Tea."), task("general-purpose", "Coffee."))
    children = (await talk.until_it_waits("Go.")).children
    assert list(children.values()) == [
        ChildRun({"message": "Tea."}, "writer", title="writer: Tea."),
        ChildRun({"message": "Coffee."}, "general-purpose", title="general-purpose: Coffee."),
    ]


async def test_the_answer_of_a_sub_agent_is_the_calls_result() -> None:
    talk = supervisor(task("writer"), task("writer"), task("writer"))
    first, second, third = (await talk.until_it_waits("Go.")).children
    talk.state.children = {
        first: ChildResult("1", "success", output={"text": "Tea.", "structured": None}),
        second: ChildResult("2", "success", output={"text": "", "structured": {"tea": True}}),
        third: ChildResult("3", "error", error={"message": "It broke."}),
    }
    step = await talk.step()
    assert [message.content for message in step.messages] == ["Tea.", '{"tea": true}', "It broke."]
    assert [record.status for record in step.tool_calls] == ["ok", "ok", "error"]
    assert (await talk.step()).done


async def test_another_assistant_may_be_a_sub_agent() -> None:
    helper = {"name": "helper", "description": "Helps.", "assistant_id": OTHER, "tag": "stable"}
    talk = supervisor(task("helper"), subagents=config(helper))
    (child,) = (await talk.until_it_waits("Go.")).children.values()
    assert (child.assistant_id, child.version, child.tag, child.subagent) == (OTHER, None, "stable", "helper")


async def test_an_unknown_sub_agent_is_told_which_there_are() -> None:
    talk = supervisor(task("painter"))
    assert await talk.say("Go.") == "Done."
    assert failed(talk) == ["There is no sub-agent 'painter'; there are: writer, general-purpose."]


async def test_without_general_purpose_there_is_none() -> None:
    talk = supervisor(task("general-purpose"), subagents=config(WRITER, general_purpose=False))
    await talk.say("Go.")
    assert failed(talk) == ["There is no sub-agent 'general-purpose'; there are: writer."]


async def test_the_model_may_ask_how_a_task_is_written() -> None:
    asked = [("get_task_instructions", {"subagent_type": name}) for name in ("writer", "general-purpose")]
    talk = supervisor(*asked, subagents=config({**WRITER, "instructions": "Name the reader."}))
    await talk.say("Go.")
    told: list[ToolRecord] = talk.io.results
    assert [record.result for record in told] == [
        "Name the reader.",
        "Nothing in particular: say all that it needs to know.",
    ]


async def test_where_nothing_is_said_about_tasks_there_is_no_tool_for_it() -> None:
    talk = supervisor(("get_task_instructions", {"subagent_type": "writer"}))
    await talk.say("Go.")
    assert failed(talk) == ["Tool 'get_task_instructions' is not available."]


def test_the_model_is_told_who_there_is() -> None:
    talk = supervisor(subagents=config(WRITER, task_description="Delegate."))
    (schema,) = talk.agent.toolbox.schemas  # type: ignore[attr-defined]
    lines = schema["function"]["description"].split("\n")
    assert lines[:3] == ["Delegate.", "Sub-agents:", "- writer: Writes."]
    assert lines[3].startswith("- general-purpose: ")


# -- what a sub-agent is -----------------------------------------------------------------------------------------------

PARENT = {
    "type": "ReactAgent",
    "llm": {"provider": "fake", "model": "echo"},
    "system_prompt": "Supervise.",
    "tools": [{"name": name, "enabled": True, "parameters": {}} for name in ("calculator", "current_time")],
    "interrupt_on": {"calculator": True},
    "max_steps": 50,
    "input_schema": {"type": "object"},
    "output_schema": {"type": "object"},
}


def derived(name: str = "writer", **subagent: Any) -> dict[str, Any]:
    middleware = [
        {"name": "todo_list", "settings": {}},
        {"name": "conversation_title", "settings": {}},
        {"name": "until_tool", "settings": {"tools": ["calculator"]}},
        *config({**WRITER, **subagent}),
    ]
    return subagent_config({**PARENT, "middleware": middleware}, name)


def test_the_general_purpose_one_is_the_assistant_without_sub_agents() -> None:
    plain = {**PARENT, "middleware": [{"name": "todo_list", "settings": {}}]}
    assert derived("general-purpose") == {**plain, "input_schema": None, "output_schema": None}


def test_what_an_inline_one_leaves_out_is_its_assistants() -> None:
    expected = {**derived("general-purpose"), "system_prompt": "Write."}
    assert derived() == expected


def test_what_an_inline_one_has_of_its_own() -> None:
    own = derived(
        llm={"provider": "fake", "model": "prompt"},
        tools=["current_time"],
        middleware=[{"name": "files"}],
        interrupt_on={},
        max_steps=3,
    )
    assert (own["llm"]["model"], own["interrupt_on"], own["max_steps"]) == ("prompt", {}, 3)
    assert [use["name"] for use in own["tools"]] == ["current_time"]
    assert own["middleware"] == [{"name": "files", "id": None, "settings": {}}]


def test_an_unknown_one_is_none() -> None:
    with pytest.raises(LookupError):
        derived("painter")


@pytest.mark.parametrize(
    "subagent",
    [
        {"name": "writer", "description": "Writes."},
        {**WRITER, "assistant_id": OTHER},
        {**WRITER, "version": 3},
        {**WRITER, "middleware": [{"name": "subagents"}]},
        {**WRITER, "name": "general-purpose"},
        {"name": "helper", "description": "Helps.", "assistant_id": OTHER, "version": 1, "tag": "stable"},
        {**WRITER, "surprise": 1},
    ],
    ids=["neither", "both", "version of nobody", "nested", "taken", "version and tag", "unknown"],
)
def test_what_is_no_sub_agent_is_refused(subagent: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SubagentsSettings.model_validate({"subagents": [subagent]})


def test_names_are_told_apart() -> None:
    with pytest.raises(ValidationError, match="a name of its own"):
        SubagentsSettings.model_validate({"subagents": [WRITER, WRITER]})
