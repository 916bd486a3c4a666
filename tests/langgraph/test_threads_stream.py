"""`client.threads.stream(...)` of the official Python SDK, against a server: by server-sent events and by websocket."""

import asyncio
from typing import Any

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.runs.worker import until
from tests.servers import Server

pytestmark = pytest.mark.servers

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
LAST = "light breeze."


@pytest.fixture
async def client(server: Server) -> LangGraphClient:
    return get_client(url=f"{server.url}/langgraph", api_key=server.key)


@pytest.fixture(params=["sse", "websocket"])
def how(request: pytest.FixtureRequest, server: Server) -> dict[str, Any]:
    """A websocket gets the headers that are named here, and no others."""
    return {"transport": request.param, "headers": {"x-api-key": server.key}}


async def _all(heard: Any) -> list[Any]:
    async with asyncio.timeout(30):
        return [item async for item in heard]


async def test_messages_tools_and_the_output(client: LangGraphClient, how: Any) -> None:
    async with client.threads.stream(assistant_id="react", **how) as thread:
        await thread.run.start(input=HELLO)
        messages, calls = await asyncio.gather(_all(thread.messages), _all(thread.tool_calls))
        assert [message.node for message in messages] == ["agent", "agent"]
        assert (await messages[-1].text).endswith(LAST)
        assert [(call.name, call.input) for call in calls] == [("weather", {"city": "Berlin"})]
        assert (await calls[0].output)["content"] == "It is sunny in Berlin."
        assert (await thread.output)["messages"][-1]["content"].endswith(LAST)


async def test_what_a_graph_asks_is_answered(client: LangGraphClient, how: Any) -> None:
    async with client.threads.stream(assistant_id="interrupt", **how) as thread:
        await thread.run.start(input={"question": "q"})
        await _all(thread.values)
        assert [asked["value"] for asked in thread.interrupts] == [{"question": "q"}]
        await thread.run.respond("yes")
        assert (await thread.output)["decision"] == "yes"


async def test_subgraphs_are_found(client: LangGraphClient, how: Any) -> None:
    async with client.threads.stream(assistant_id="nested", **how) as thread:
        await thread.run.start(input={"text": "a"})
        assert [graph.graph_name for graph in await _all(thread.subgraphs)] == ["child"]
        assert await thread.output == {"text": "A!"}


async def test_a_failure_is_raised(client: LangGraphClient, how: Any) -> None:
    async with client.threads.stream(assistant_id="steps", **how) as thread:
        await thread.run.start(input={"fail_at": 2})
        with pytest.raises(RuntimeError, match="boom at 2"):
            await thread.output


async def test_who_comes_later_finds_what_is_asked(client: LangGraphClient, how: Any) -> None:
    async with client.threads.stream(assistant_id="interrupt", **how) as thread:
        await thread.run.start(input={"question": "later"})
        await _all(thread.values)
        thread_id = thread.thread_id
    async with client.threads.stream(thread_id, assistant_id="interrupt", **how) as thread:

        async def asked() -> list[Any]:
            return [interrupt["value"] for interrupt in thread.interrupts]

        await until(asked, [{"question": "later"}])
