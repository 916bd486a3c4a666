"""LangChain's agents, hosted: tools, people who decide about them, agents below agents."""

from typing import Any

import pytest

from core.errors import Invalid
from runs.lifecycle import Status
from tests.graphs.hosting import Host, questions, values
from tests.runs.worker import one

HUMAN = {"type": "human", "content": "How is the weather?"}


async def test_an_agent_asks_before_it_calls_a_tool(host: Host) -> None:
    asked = await host.run("careful", {"messages": [HUMAN]})
    ((action,),) = [question["action_requests"] for question in questions(asked)]
    assert (asked.status, action["name"], action["args"]) == (Status.INTERRUPTED, "weather", {"city": "Berlin"})
    ended = await host.run("careful", command={"resume": {"decisions": [{"type": "approve"}]}})
    said = values(ended)["messages"]
    assert [message["type"] for message in said] == ["human", "ai", "tool", "ai"]
    assert said[2]["content"] == "It is sunny in Berlin."


async def test_a_tool_that_was_refused_is_not_called(host: Host) -> None:
    await host.run("careful", {"messages": [HUMAN]})
    ended = await host.answer({"decisions": [{"type": "reject", "message": "not now"}]})
    assert values(ended)["messages"][2]["status"] == "error"
    assert "not now" in (await host.messages())[2][1]


@pytest.mark.parametrize(
    ("decision", "result"),
    [
        ({"type": "approve"}, "It is sunny in Berlin."),
        ({"type": "edit", "arguments": {"city": "Rome"}}, "It is sunny in Rome."),
        ({"type": "reject", "message": "not now"}, "not now"),
        ({"type": "respond", "message": "It rains."}, "It rains."),
    ],
    ids=lambda case: case["type"] if isinstance(case, dict) else "",
)
async def test_what_is_decided_natively_is_what_the_middleware_takes(
    host: Host, decision: dict[str, Any], result: str
) -> None:
    await host.run("careful", {"messages": [HUMAN]})
    ended = await host.resume(decisions=[decision])
    assert result in values(ended)["messages"][2]["content"]


async def test_calls_that_are_asked_about_one_by_one_are_decided_together(host: Host) -> None:
    await host.run("one_by_one", {"messages": [HUMAN]})
    edited = {"type": "edit", "arguments": {"city": "Oslo"}}
    with pytest.raises(Invalid) as refused:
        # The tool's own schema, which the graph would have refused it by.
        await host.resume(decisions=[{"type": "edit", "arguments": {"city": 5}}, {"type": "approve"}])
    assert [error.loc for error in refused.value.errors] == [("decisions", 0, "arguments", "city")]
    ended = await host.resume(decisions=[edited, {"type": "reject", "message": "not there"}])
    first, second = (message["content"] for message in values(ended)["messages"] if message["type"] == "tool")
    assert "It is sunny in Oslo." in first
    assert "not there" in second


@pytest.mark.parametrize(
    ("decision", "answer"),
    [
        ({"type": "approve"}, {"type": "accept", "args": None}),
        (
            {"type": "edit", "arguments": {"to": "Bob"}},
            {"type": "edit", "args": {"action": "Send a mail", "args": {"to": "Bob"}}},
        ),
        ({"type": "respond", "message": "Shorter."}, {"type": "response", "args": "Shorter."}),
        ({"type": "reject"}, {"type": "ignore", "args": None}),
    ],
    ids=lambda case: case["type"] if isinstance(case, dict) else "",
)
async def test_a_graph_that_speaks_agent_inboxs_form_gets_it_back(
    host: Host, decision: dict[str, Any], answer: dict[str, Any]
) -> None:
    await host.run("inbox", {})
    assert values(await host.resume(decisions=[decision]))["answers"] == [answer]


async def test_an_agent_has_another_help_it(host: Host) -> None:
    ended = await host.run("deep", {"messages": [HUMAN]}, stream_mode=["values", "messages"], stream_subgraphs=True)
    assert values(ended)["messages"][-1]["content"] == "I am told: helped"
    assert [role for role, _ in await host.messages()] == ["user", "assistant", "tool", "assistant"]
    assert any(part["ns"] for part in await host.told("graph"))


async def test_the_tokens_of_all_models_count(host: Host) -> None:
    await host.run("deep", {"messages": [HUMAN]})
    sql = "SELECT input_tokens, output_tokens FROM runs WHERE id = %(id)s"
    assert await one(sql, id=host.stage.run_id) == {"input_tokens": 30, "output_tokens": 15}
