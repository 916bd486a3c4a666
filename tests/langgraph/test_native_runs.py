"""Runs of native assistants by LangGraph's protocol: the same requests and answers as for a graph."""

import asyncio
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError

from runs.models import Run
from tests.api import Api
from tests.langgraph.workers import Worker
from tests.runs.worker import in_thread

HI = {"messages": [{"type": "human", "content": "hi"}]}


@pytest.fixture
async def native(tenant: Api) -> str:
    return str(await in_thread(tenant.assistant))


async def test_it_says_what_a_person_says_and_gives_the_conversation(
    client: LangGraphClient, thread: str, native: str, worker: Worker
) -> None:
    waits = asyncio.create_task(client.runs.wait(thread, native, input=HI))
    held = await worker.claims()
    assert held.claimed["input"] == {"messages": [{"role": "user", "content": "hi"}]}
    await worker.ends(held, says="Hello.")
    values: Any = await waits
    assert [(message["type"], message["content"]) for message in values["messages"]] == [
        ("human", "hi"),
        ("ai", "Hello."),
    ]
    (run,) = await client.runs.list(thread)
    assert (run["metadata"]["graph_id"], run["assistant_id"]) == ("ReactAgent", native)


async def test_it_is_streamed_as_a_graph_is(client: LangGraphClient, thread: str, native: str, worker: Worker) -> None:
    async def read() -> list[Any]:
        return [part async for part in client.runs.stream(thread, native, input=HI, stream_mode=["values"])]

    reads = asyncio.create_task(read())
    await worker.ends(says="Hello.")
    parts = await reads
    assert [part.event for part in parts][:2] == ["metadata", "values"]
    assert parts[-1].data["messages"][-1]["content"] == "Hello."


async def test_an_approval_is_given_as_langchain_has_it(
    client: LangGraphClient, thread: str, native: str, worker: Worker
) -> None:
    waits = asyncio.create_task(client.runs.wait(thread, native, input=HI))
    await worker.approval()
    asked: Any = await waits
    (interrupt,) = asked["__interrupt__"]
    assert interrupt["value"]["action_requests"][0]["name"] == "delete_file"
    (before,) = await client.runs.list(thread)
    decision = {"type": "edit", "edited_action": {"name": "delete_file", "args": {"path": "b"}}}
    waits = asyncio.create_task(client.runs.wait(thread, native, command={"resume": {"decisions": [decision]}}))
    held = await worker.claims()
    assert held.claimed["resume"] == {
        "decisions": [{"type": "edit", "arguments": {"path": "b"}, "tool_call_id": "call_delete_file"}]
    }
    await worker.ends(held, says="Done.")
    values: Any = await waits
    assert values["messages"][-1]["content"] == "Done."
    # It is the same run that went on.
    assert [run["run_id"] for run in await client.runs.list(thread)] == [before["run_id"]]


async def test_an_answer_by_the_interrupts_id(
    client: LangGraphClient, thread: str, native: str, worker: Worker
) -> None:
    waits = asyncio.create_task(client.runs.wait(thread, native, input=HI))
    await worker.approval()
    asked: Any = await waits
    answer = {asked["__interrupt__"][0]["id"]: {"decisions": [{"type": "approve"}]}}
    run = await client.runs.create(thread, native, command={"resume": answer})
    assert run["status"] == "pending"


async def test_a_new_message_leaves_what_was_asked_behind(
    client: LangGraphClient, thread: str, native: str, worker: Worker
) -> None:
    first = await client.runs.create(thread, native, input=HI)
    await worker.approval()
    await client.runs.create(thread, native, input=HI)
    assert (await client.runs.get(thread, first["run_id"]))["status"] == "success"
    held = await worker.claims()
    assert held.claimed["input"]["messages"][0]["content"] == "hi"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"interrupt_before": ["model"]}, "interrupt_before"),
        ({"context": {"a": 1}}, "context"),
        ({"config": {"configurable": {"a": 1}}}, "config.configurable"),
        ({"config": {"recursion_limit": 1}}, "config.recursion_limit"),
        ({"stream_mode": "events"}, "stream_mode"),
        ({"command": {"goto": "model"}}, "command.goto"),
        ({"input": None}, "input"),
        ({"input": {"messages": [{"type": "ai", "content": "hi"}]}}, "input.messages.0"),
        ({"input": {"messages": "hi", "files": {}}}, "input.files"),
    ],
)
async def test_what_it_would_not_carry_out_is_refused(
    http: httpx.AsyncClient, thread: str, native: str, body: dict[str, Any], place: str
) -> None:
    answer = await http.post(f"/threads/{thread}/runs", json={"assistant_id": native, "input": HI, **body})
    assert (answer.status_code, answer.json()["detail"].partition(":")[0]) == (422, place), answer.text


async def test_what_says_nothing_is_taken(client: LangGraphClient, thread: str, native: str) -> None:
    config: Any = {"tags": ["a"], "recursion_limit": 10_007, "metadata": {"b": 1}}
    run = await client.runs.create(thread, native, input="hi", config=config, interrupt_before=[], context={})
    shown = run["kwargs"]["config"]
    assert (shown["tags"], shown["recursion_limit"], shown["metadata"]["b"]) == (["a"], 10_007, 1)


async def test_nothing_to_resume(client: LangGraphClient, thread: str, native: str) -> None:
    with pytest.raises(ConflictError, match="There is nothing to resume"):
        await client.runs.create(thread, native, command={"resume": 1})


async def test_a_native_run_is_seen_here_too(client: LangGraphClient, tenant: Api) -> None:
    def begin() -> tuple[str, str]:
        session = tenant.session()
        return session, tenant.run(session)

    session, run = await in_thread(begin)
    found = await client.runs.get(session, run)
    assert (found["run_id"], found["status"], found["kwargs"]["input"]) == (run, "pending", {"message": "Hello"})
    await client.runs.cancel(session, run)
    assert await in_thread(lambda: Run.objects.get(id=run).status) == "cancelled"
