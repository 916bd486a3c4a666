"""`RemoteGraph`: a graph that is hosted here, used as one of one's own."""

from typing import Any, TypedDict
from uuid import uuid4

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command
from langgraph_sdk import get_client

from tests.runs.conftest import make_assistant
from tests.servers import Server

HI: Any = {"messages": [{"role": "user", "content": "hi"}]}


def remote(server: Server, assistant: str) -> RemoteGraph:
    return RemoteGraph(assistant, client=get_client(url=f"{server.url}/langgraph", api_key=server.key))


async def new_thread(server: Server) -> Any:
    async with get_client(url=f"{server.url}/langgraph", api_key=server.key) as client:
        return {"configurable": {"thread_id": (await client.threads.create())["thread_id"]}}


@pytest.fixture(params=["echo", "native"])
def assistant(request: pytest.FixtureRequest, server: Server) -> str:
    return "echo" if request.param == "echo" else make_assistant(server)


async def test_it_is_called(server: Server, assistant: str) -> None:
    values: Any = await remote(server, assistant).ainvoke(HI)
    assert [message["type"] for message in values["messages"]] == ["human", "ai"]


async def test_it_is_streamed(server: Server, assistant: str) -> None:
    chunks = [chunk async for chunk in remote(server, assistant).astream(HI, stream_mode=["values", "updates"])]
    assert {chunk.event for chunk in chunks} == {"values", "updates"}
    last = [chunk.data for chunk in chunks if chunk.event == "values"][-1]
    assert last["messages"][0]["content"] == "hi"


async def test_its_state_is_read_and_changed(server: Server, assistant: str) -> None:
    graph, config = remote(server, assistant), await new_thread(server)
    await graph.ainvoke(HI, config)
    state = await graph.aget_state(config)
    assert (len(state.values["messages"]), list(state.next)) == (2, [])
    node = "answer" if assistant == "echo" else "model"
    changed = await graph.aupdate_state(config, {"messages": [{"type": "ai", "content": "by hand"}]}, as_node=node)
    assert changed["configurable"]["checkpoint_id"]
    assert (await graph.aget_state(config)).values["messages"][-1]["content"] == "by hand"
    assert len([state async for state in graph.aget_state_history(config)]) > 2


async def test_it_asks_and_goes_on(server: Server) -> None:
    graph, config = remote(server, "interrupt"), await new_thread(server)
    asked = [chunk async for chunk in graph.astream({"question": "Really?"}, config, stream_mode="updates")]
    assert asked[-1]["__interrupt__"][0]["value"] == {"question": "Really?"}
    assert await graph.ainvoke(Command(resume="yes"), config) == {"question": "decided: yes", "decision": "yes"}


async def test_it_is_a_node_of_a_graph_elsewhere(server: Server, assistant: str) -> None:
    class Conversation(TypedDict):
        messages: list[Any]

    graph = StateGraph(Conversation).add_node("there", remote(server, assistant))
    local = graph.add_edge(START, "there").add_edge("there", END).compile()
    values = await local.ainvoke(HI, {"tags": [str(uuid4())]})
    assert values["messages"][0]["content"] == "hi"


async def test_what_it_asks_is_asked_by_the_graph_elsewhere(server: Server) -> None:
    class Question(TypedDict):
        question: str

    graph = StateGraph(Question).add_node("there", remote(server, "interrupt"))
    local = graph.add_edge(START, "there").add_edge("there", END).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": str(uuid4())}}
    values = await local.ainvoke({"question": "Really?"}, config)
    assert values["__interrupt__"][0].value == {"question": "Really?"}


async def test_what_it_raises_is_told(server: Server) -> None:
    with pytest.raises(Exception, match="boom at 2"):
        await remote(server, "steps").ainvoke({"fail_at": 2})
