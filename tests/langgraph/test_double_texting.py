"""A new run where the thread has one: the four strategies."""

import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError

from runs.forgetting import forget
from tests.langgraph.workers import Worker
from tests.runs.worker import in_thread


async def test_a_busy_thread_refuses_who_would_not_wait(client: LangGraphClient, thread: str) -> None:
    await client.runs.create(thread, "steps")
    said = "Thread is already running a task. Wait for it to finish or choose a different multitask strategy."
    for refused in (client.runs.create, client.runs.wait):
        with pytest.raises(Exception, match=said) as told:
            await refused(thread, "steps", multitask_strategy="reject")
        assert "409" in str(told.value) or isinstance(told.value, ConflictError) or "409" in repr(told.value)
    with pytest.raises(ConflictError, match=said):
        async for _ in client.runs.stream(thread, "steps", multitask_strategy="reject"):
            pass


async def test_runs_take_turns(client: LangGraphClient, thread: str, worker: Worker) -> None:
    runs = [await client.runs.create(thread, "steps") for _ in range(2)]
    held = await worker.claims()
    assert str(held.claimed["id"]) == runs[0]["run_id"]
    await worker.ends(held, values={})
    assert str((await worker.claims()).claimed["id"]) == runs[1]["run_id"]
    assert [run["status"] for run in await client.runs.list(thread)] == ["running", "success"]


async def test_an_interrupted_run_keeps_what_it_did(client: LangGraphClient, thread: str) -> None:
    first = await client.runs.create(thread, "steps")
    await client.runs.create(thread, "steps", multitask_strategy="interrupt")
    assert (await client.runs.get(thread, first["run_id"]))["status"] == "interrupted"


async def test_a_run_that_is_rolled_back_is_gone_at_once(client: LangGraphClient, thread: str) -> None:
    first = await client.runs.create(thread, "steps")
    second = await client.runs.create(thread, "steps", multitask_strategy="rollback")
    with pytest.raises(NotFoundError):
        await client.runs.get(thread, first["run_id"])
    gone = {"__error__": {"error": "HTTPException", "message": "404: Run not found"}}
    assert await client.runs.join(thread, first["run_id"]) == gone
    streamed = [part async for part in client.runs.join_stream(thread, first["run_id"])]
    assert [(part.event, part.data) for part in streamed] == [("error", gone["__error__"])]
    assert [run["run_id"] for run in await client.runs.list(thread)] == [second["run_id"]]
    assert await in_thread(lambda: forget(readable_s=0)) == 1


async def test_a_run_that_asks_hinders_nobody(client: LangGraphClient, thread: str, worker: Worker) -> None:
    first = await client.runs.create(thread, "interrupt")
    await worker.asks({"id": "a", "value": "?", "task_id": "t"}, values={})
    await client.runs.create(thread, "interrupt", multitask_strategy="reject", command={"resume": 1})
    assert (await client.runs.get(thread, first["run_id"]))["status"] == "success"


async def test_a_run_may_begin_later(client: LangGraphClient, thread: str, worker: Worker) -> None:
    run = await client.runs.create(thread, "steps", after_seconds=60)
    assert run["status"] == "pending"
    assert await worker.hand.claim_all() == []
