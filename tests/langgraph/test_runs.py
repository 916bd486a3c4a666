"""Runs of threads: started, listed, read and deleted, as the official client has them."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError

from runs.models import Run, RunPayload
from sessions.models import Session
from tests.api import UNKNOWN, Api
from tests.langgraph.conftest import client_of
from tests.langgraph.workers import Worker
from tests.runs.worker import in_thread

HI = {"messages": [{"role": "user", "content": "hi"}]}


async def test_a_run_of_a_graph_is_one_of_ours_with_what_was_asked_for(client: LangGraphClient, thread: str) -> None:
    made: list[Any] = []
    run = await client.runs.create(
        thread,
        "echo",
        input=HI,
        metadata={"a": 1},
        config={"tags": ["t"], "recursion_limit": 7, "configurable": {"x": 1}},
        stream_mode=["values", "updates"],
        stream_subgraphs=True,
        interrupt_before=["answer"],
        multitask_strategy="interrupt",
        durability="exit",
        on_run_created=made.append,
    )
    assert (run["thread_id"], run["status"], run["multitask_strategy"]) == (thread, "pending", "interrupt")
    assert run["metadata"] == {
        "created_by": "system",
        "graph_id": "echo",
        "assistant_id": run["assistant_id"],
        "a": 1,
    }
    kwargs = run["kwargs"]
    assert kwargs["input"] == HI
    config = kwargs["config"]
    assert (config["tags"], config["recursion_limit"], config["configurable"]["x"]) == (["t"], 7, 1)
    # What the graph is told besides.
    assert config["configurable"]["thread_id"] == thread
    assert config["metadata"] == run["metadata"]
    assert (kwargs["context"], kwargs["stream_mode"], kwargs["subgraphs"]) == ({"x": 1}, ["values", "updates"], True)
    assert (kwargs["interrupt_before"], kwargs["durability"], kwargs["checkpoint_during"]) == (
        ["answer"],
        "exit",
        False,
    )
    assert made == [{"run_id": run["run_id"], "thread_id": thread}]
    assert await client.runs.get(thread, run["run_id"]) == run

    def look() -> None:
        row = Run.objects.get(id=run["run_id"])
        assert (row.durability, str(row.assistant_id)) == ("exit", run["assistant_id"])
        assert Session.objects.get(id=thread).metadata["graph_id"] == "echo"
        assert RunPayload.objects.get(run=row).kwargs["stream_mode"] == ["values", "updates"]

    await in_thread(look)


async def test_context_stands_for_configurable_and_both_are_too_many(
    client: LangGraphClient, http: httpx.AsyncClient, thread: str
) -> None:
    run = await client.runs.create(thread, "echo", input=HI, context={"a": 1})
    assert run["kwargs"]["config"]["configurable"]["a"] == 1
    assert run["kwargs"]["context"] == {"a": 1}
    both = {"assistant_id": "echo", "context": {"a": 1}, "config": {"configurable": {"a": 1}}}
    refused = await http.post(f"/threads/{thread}/runs", json=both)
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("Cannot specify both configurable and context.")


@pytest.mark.parametrize(
    ("given", "durability"),
    [({}, "async"), ({"checkpoint_during": False}, "exit"), ({"checkpoint_during": True}, "async")],
)
async def test_durability_is_async_unless_something_else_is_asked_for(
    http: httpx.AsyncClient, thread: str, given: dict[str, Any], durability: str
) -> None:
    answer = await http.post(f"/threads/{thread}/runs", json={"assistant_id": "echo", **given})
    assert answer.json()["kwargs"]["durability"] == durability


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"assistant_id": "nope"}, 422, "Invalid assistant: 'nope'. Must be either:"),
        ({"assistant_id": UNKNOWN}, 404, "Thread or assistant not found."),
        ({"assistant_id": "echo", "feedback_keys": ["a"]}, 422, "feedback_keys needs LangSmith"),
        ({"assistant_id": "echo", "langsmith_tracer": {"project_name": "x"}}, 422, "langsmith_tracer needs LangSmith"),
        ({"assistant_id": "echo", "strict_resume": True}, 422, "strict_resume is not there"),
        ({"assistant_id": "echo", "surprise": 1}, 422, "surprise: "),
        ({"assistant_id": "echo", "stream_mode": "loud"}, 422, "stream_mode"),
        ({"assistant_id": "echo", "on_completion": "delete"}, 422, "on_completion belongs to runs without a thread"),
        ({"assistant_id": "echo", "webhook": "/relative"}, 422, "webhook"),
        ({"assistant_id": "echo", "webhook": "http://127.0.0.1/"}, 422, "webhook"),
        ({}, 422, "assistant_id"),
        ([], 422, "The body must be a JSON object."),
        (None, 422, "Invalid JSON in request body"),
    ],
)
async def test_what_is_refused(http: httpx.AsyncClient, thread: str, body: Any, status: int, detail: str) -> None:
    headers = {"content-type": "application/json"}
    content = b"{" if body is None else httpx.Request("POST", "http://x", json=body).content
    answer = await http.post(f"/threads/{thread}/runs", content=content, headers=headers)
    assert (answer.status_code, detail in answer.json()["detail"]) == (status, True), answer.text


async def test_an_unknown_thread_is_made_where_that_is_asked_for(
    client: LangGraphClient, http: httpx.AsyncClient
) -> None:
    refused = await http.post(f"/threads/{UNKNOWN}/runs", json={"assistant_id": "echo"})
    assert (refused.status_code, refused.json()) == (404, {"detail": "Thread or assistant not found."})
    run = await client.runs.create(UNKNOWN, "echo", input=HI, if_not_exists="create", metadata={"of": "both"})
    assert run["thread_id"] == UNKNOWN
    assert await in_thread(lambda: Session.objects.get(id=UNKNOWN).metadata["of"]) == "both"


async def test_ids_that_are_none(http: httpx.AsyncClient, thread: str) -> None:
    for path, what in ((f"/threads/{thread}/runs/zz", "run"), ("/threads/zz/runs", "thread")):
        answer = await http.get(path)
        assert (answer.status_code, answer.json()["detail"]) == (422, f"Invalid {what} ID: must be a UUID")
    answer = await http.get(f"/threads/{thread}/runs/{UNKNOWN}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


async def test_lists_are_of_one_thread_the_newest_first(client: LangGraphClient, thread: str, worker: Worker) -> None:
    assert await client.runs.list(thread) == []
    runs = [await client.runs.create(thread, "echo", input=HI) for _ in range(3)]
    assert await client.runs.list(thread) == runs[::-1]
    assert await client.runs.list(thread, limit=1, offset=1) == [runs[1]]
    await worker.ends(values={})
    assert [run["run_id"] for run in await client.runs.list(thread, status="success")] == [runs[0]["run_id"]]
    assert len(await client.runs.list(thread, status="pending")) == 2
    fields = await client.runs.list(thread, limit=1, select=["run_id", "status"])
    assert fields == [{"run_id": runs[2]["run_id"], "status": "pending"}]
    with pytest.raises(NotFoundError):
        await client.runs.list(UNKNOWN)


async def test_a_list_takes_one_statement(client: LangGraphClient, thread: str) -> None:
    from core.db import pool

    for _ in range(3):
        await client.runs.create(thread, "echo", input=HI)
    before = pool().get_stats()["requests_num"]
    await client.runs.list(thread)
    assert pool().get_stats()["requests_num"] - before <= 2  # and who asks


async def test_a_select_as_the_javascript_sdk_sends_it(http: httpx.AsyncClient, thread: str) -> None:
    await http.post(f"/threads/{thread}/runs", json={"assistant_id": "echo"})
    answer = await http.get(f"/threads/{thread}/runs", params={"select": '["status"]'})
    assert answer.json() == [{"status": "pending"}]
    refused = await http.get(f"/threads/{thread}/runs", params={"select": "secrets"})
    assert refused.status_code == 422


async def test_a_strangers_thread_has_no_runs(client: LangGraphClient, thread: str, neighbour: Api) -> None:
    run = await client.runs.create(thread, "echo", input=HI)
    async with client_of(neighbour) as stranger:
        for asked in (
            stranger.runs.list(thread),
            stranger.runs.get(thread, run["run_id"]),
            stranger.runs.delete(thread, run["run_id"]),
            stranger.runs.cancel(thread, run["run_id"]),
            stranger.runs.create(thread, "echo"),
        ):
            with pytest.raises(NotFoundError):
                await asked


async def test_what_a_key_may_not(client: LangGraphClient, thread: str, tenant: Api) -> None:
    run = await client.runs.create(thread, "echo", input=HI)
    reader = await in_thread(lambda: Api(tenant.workspace, scopes=("runs:read",)))
    async with client_of(reader) as other:
        assert await other.runs.get(thread, run["run_id"]) == run
        answer = await other.http.client.post(f"/threads/{thread}/runs", json={"assistant_id": "echo"})
        assert answer.status_code == 403


async def test_a_run_that_failed_says_so(client: LangGraphClient, thread: str, worker: Worker) -> None:
    run = await client.runs.create(thread, "steps", input={"fail_at": 2})
    await worker.fails("ValueError", "boom at 2")
    found = await client.runs.get(thread, run["run_id"])
    assert (found["status"], found["updated_at"] > found["created_at"]) == ("error", True)


async def test_a_deleted_run_is_gone_and_the_next_one_begins(client: LangGraphClient, thread: str) -> None:
    first, second = [await client.runs.create(thread, "echo", input=HI) for _ in range(2)]
    await client.runs.delete(thread, first["run_id"])
    assert await client.runs.list(thread) == [second]
    with pytest.raises(NotFoundError):
        await client.runs.get(thread, first["run_id"])
    with pytest.raises(NotFoundError, match="Run not found"):
        await client.runs.delete(thread, first["run_id"])
    assert await in_thread(lambda: Session.objects.get(id=thread).head_run_id) == UUID(second["run_id"])


async def test_a_running_run_is_deleted_at_once_for_who_asks(
    client: LangGraphClient, thread: str, worker: Worker
) -> None:
    run = await client.runs.create(thread, "echo", input=HI)
    await worker.claims()
    await client.runs.delete(thread, run["run_id"])
    assert await client.runs.list(thread) == []
    assert await in_thread(lambda: Run.objects.get(id=run["run_id"]).cancel_requested_at is not None)
