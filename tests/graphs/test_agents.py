"""LangChain's agents, hosted: tools, people who decide about them, agents below agents."""

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


async def test_an_agent_has_another_help_it(host: Host) -> None:
    ended = await host.run("deep", {"messages": [HUMAN]}, stream_mode=["values", "messages"], stream_subgraphs=True)
    assert values(ended)["messages"][-1]["content"] == "I am told: helped"
    assert [role for role, _ in await host.messages()] == ["user", "assistant", "tool", "assistant"]
    assert any(part["ns"] for part in await host.told("graph"))


async def test_the_tokens_of_all_models_count(host: Host) -> None:
    await host.run("deep", {"messages": [HUMAN]})
    sql = "SELECT input_tokens, output_tokens FROM runs WHERE id = %(id)s"
    assert await one(sql, id=host.stage.run_id) == {"input_tokens": 30, "output_tokens": 15}
