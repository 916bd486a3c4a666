"""Webhooks of runs that LangGraph's clients start: one POST at each end, in LangGraph's words."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from langgraph_sdk.client import LangGraphClient

from core.db import pool
from core.ids import new_id
from runtime.configuration import configure, current
from tests.api import Api
from tests.langgraph.workers import Worker
from tests.runs.worker import in_thread
from webhooks.bodies_of_events import body_of
from webhooks.dispatch.claim import claim
from webhooks.dispatch.prepare import Request, prepare
from webhooks.langgraph import deployments_headers

HOOK = "https://example.com/hook?token=x"
HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


async def told(url: str = HOOK) -> list[dict[str, Any]]:
    """The bodies that are on their way to this address, the oldest first."""
    async with pool().connection() as conn:
        found = await conn.execute(
            """
            SELECT e.kind, e.data, e.workspace_id, e.created_at FROM webhook_deliveries d
            JOIN webhook_events e ON e.id = d.event_id WHERE d.url = %s ORDER BY e.id
            """,
            [url],
        )
        rows = await found.fetchall()
    return [orjson.loads(body_of(row["kind"], row["data"], row["workspace_id"], row["created_at"])) for row in rows]


async def start(client: LangGraphClient, thread: str, assistant: str = "steps", **asked: Any) -> Any:
    return await client.runs.create(thread, assistant, webhook=HOOK, **{"input": {"n": 1}, **asked})


async def test_a_run_that_succeeded(client: LangGraphClient, thread: str, worker: Worker) -> None:
    run = await start(client, thread, metadata={"a": 1}, config={"tags": ["t"]})
    await worker.ends(values={"count": 5})
    (body,) = await told()
    assert set(body) == {*run, "run_started_at", "run_ended_at", "webhook_sent_at", "values"}
    assert (body["run_id"], body["thread_id"], body["status"]) == (run["run_id"], thread, "success")
    assert (body["values"], body["metadata"]["a"], body["assistant_id"]) == ({"count": 5}, 1, run["assistant_id"])
    assert (body["kwargs"]["input"], body["kwargs"]["config"]["tags"]) == ({"n": 1}, ["t"])
    assert body["run_started_at"] < body["run_ended_at"] < body["webhook_sent_at"]


async def test_a_run_that_failed(client: LangGraphClient, thread: str, worker: Worker) -> None:
    await start(client, thread)
    await worker.fails("ValueError", "boom at 2")
    (body,) = await told()
    assert (body["status"], body["error"]) == ("error", {"error": "ValueError", "message": "boom at 2"})


async def test_a_run_that_was_cancelled(client: LangGraphClient, thread: str) -> None:
    run = await start(client, thread)
    await client.runs.cancel(thread, run["run_id"])
    (body,) = await told()
    assert (body["status"], body["error"]["error"]) == ("interrupted", "UserInterrupt")


async def test_a_run_that_asks_has_succeeded_and_is_told_of_once(
    client: LangGraphClient, thread: str, worker: Worker
) -> None:
    first = await start(client, thread)
    await worker.asks({"id": "i1", "value": "sure?", "task_id": "t", "ns": ""}, values={"count": 1})
    (body,) = await told()
    assert (body["run_id"], body["status"], body["values"]) == (first["run_id"], "success", {"count": 1})
    second = await start(client, thread, input=None, command={"resume": "yes"})
    assert len(await told()) == 1
    await worker.ends(values={"count": 2})
    assert [body["run_id"] for body in await told()] == [first["run_id"], second["run_id"]]


async def test_a_native_assistants_run_has_messages_as_values(
    client: LangGraphClient, thread: str, worker: Worker, native: str
) -> None:
    await start(client, thread, native, input=HI)
    await worker.ends(says="Hello yourself")
    (body,) = await told()
    assert [message["content"] for message in body["values"]["messages"]] == ["hi", "Hello yourself"]


@pytest.fixture
def native(tenant: Api) -> str:
    return tenant.assistant()


async def test_the_workspaces_own_webhooks_are_told_as_ever(
    client: LangGraphClient, thread: str, worker: Worker, tenant: Api
) -> None:
    ours = "https://example.com/ours"
    made = await in_thread(tenant.post, "/webhooks", {"name": "ops", "url": ours, "events": ["run.succeeded"]})
    assert made.status_code == 201
    run = await start(client, thread)
    await worker.ends(values={"count": 5})
    (native_body,), (body,) = await told(ours), await told()
    assert (native_body["type"], native_body["data"]["id"]) == ("run.succeeded", run["run_id"])
    assert body["run_id"] == run["run_id"]


async def test_values_that_are_too_large_are_left_out(client: LangGraphClient, thread: str, worker: Worker) -> None:
    await start(client, thread)
    await worker.ends(values={"text": "x" * 300_000})
    (body,) = await told()
    assert (body["status"], body["values"]) == ("success", None)


# -- headers -----------------------------------------------------------------------------------------------------------


def with_headers(headers: Any) -> None:
    configure(replace(current(), langgraph=replace(current().langgraph, webhooks={"headers": headers})))


def test_headers_hold_variables_of_their_own_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LG_WEBHOOK_TOKEN", "s3cret")
    with_headers({"X-Token": "Bearer ${{ env.LG_WEBHOOK_TOKEN }}", "X-Plain": "a", "X-Unset": "${{env.LG_WEBHOOK_NO}}"})
    assert deployments_headers() == {"X-Token": "Bearer s3cret", "X-Plain": "a", "X-Unset": ""}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Key": "${{ env.SECRET_KEY }}"},
        {"X-Key": "${{ secrets.LG_WEBHOOK_X }}"},
        {"X-Key": 5},
        {"X Key": "a"},
        {"X-Key": "a\r\nb"},
        ["X-Key"],
    ],
)
def test_headers_that_cannot_be_sent(headers: Any) -> None:
    with_headers(headers)
    with pytest.raises(ValueError, match=r"webhooks\.headers"):
        deployments_headers()


async def test_they_are_sent_with_it_and_not_logged(
    client: LangGraphClient, thread: str, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LG_WEBHOOK_TOKEN", "very-s3cret-token")
    with_headers({"X-Token": "${{ env.LG_WEBHOOK_TOKEN }}"})
    await start(client, thread)
    await worker.ends(values={})
    request = await next_request()
    assert request.headers["x-token"] == "very-s3cret-token"
    assert orjson.loads(request.body)["status"] == "success"
    assert "very-s3cret-token" not in str(request.shown)


async def next_request() -> Request:
    async with pool().connection() as conn:
        (delivery,) = await claim(conn, UUID(int=new_id().int), 1, share=1, lease_s=5)
    return await prepare(delivery, datetime.now(UTC)).arun()
