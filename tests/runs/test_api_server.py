"""What a run leaves behind on a running server, read over HTTP and held against its description."""

from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from runs.serializers import (
    CheckpointDetailDocument,
    EventDocument,
    RunDocument,
    RunSummaryDocument,
    SessionStateDocument,
)
from sessions.serializers import CheckpointDocument, MessageDocument, SessionDocument
from tests.runs.conftest import scripted
from tests.servers import Server

pytestmark = pytest.mark.servers

TURNS = [
    {
        "text": "Let me see.",
        "tool_calls": [
            {"name": "calculator", "args": {"expression": "6*7"}},
            {"name": "current_time", "args": {}},
        ],
    },
    {"text": "42."},
]


def _json(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def _fits(model: type[BaseModel], document: dict[str, Any]) -> None:
    assert list(document) == list(model.model_fields)
    model.model_validate(document)


@pytest.fixture(scope="module")
def session(server: Server) -> str:
    """A session after one run with two tools."""
    session = scripted(server, TURNS, tools=[{"name": "calculator"}, {"name": "current_time"}])
    run = _json(server.client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": "6*7?"}}))
    assert (run["status"], run["output"]["text"]) == ("success", "42.")
    return session


def test_every_document_is_as_described(server: Server, session: str) -> None:
    (summary,) = _json(server.client.get(f"/sessions/{session}/runs"))["items"]
    _fits(RunSummaryDocument, summary)
    _fits(RunDocument, _json(server.client.get(f"/runs/{summary['id']}")))
    _fits(SessionDocument, _json(server.client.get(f"/sessions/{session}")))
    _fits(SessionStateDocument, _json(server.client.get(f"/sessions/{session}/state")))
    for path, model in (("messages", MessageDocument), ("checkpoints", CheckpointDocument)):
        for item in _json(server.client.get(f"/sessions/{session}/{path}"))["items"]:
            _fits(model, item)
    for event in _json(server.client.get(f"/runs/{summary['id']}/events"))["items"]:
        _fits(EventDocument, event)


def test_all_that_a_run_left_names_it(server: Server, session: str) -> None:
    (run,) = _json(server.client.get(f"/sessions/{session}/runs"))["items"]
    messages = _json(server.client.get(f"/sessions/{session}/messages"))["items"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "assistant"]
    checkpoints = _json(server.client.get(f"/sessions/{session}/checkpoints"))["items"]
    events = _json(server.client.get(f"/runs/{run['id']}/events?limit=100"))["items"]
    assert {item["run_id"] for item in [*messages, *checkpoints, *events]} == {run["id"]}
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["event"], events[-1]["event"]) == ("metadata", "end")


def test_each_checkpoint_holds_the_conversation_until_then(server: Server, session: str) -> None:
    checkpoints = _json(server.client.get(f"/sessions/{session}/checkpoints"))["items"]
    assert [checkpoint["source"] for checkpoint in checkpoints][-1] == "input"
    assert len(checkpoints) >= 3
    for checkpoint in checkpoints:
        detail = _json(server.client.get(f"/sessions/{session}/checkpoints/{checkpoint['id']}"))
        _fits(CheckpointDetailDocument, detail)
        assert [message["seq"] for message in detail["state"]["messages"]] == list(
            range(1, checkpoint["message_count"] + 1)
        )
    state = _json(server.client.get(f"/sessions/{session}/state"))
    assert state["checkpoint_id"] == checkpoints[0]["id"]


def test_cancelling_with_wait_stops_a_run_at_work(server: Server) -> None:
    session = scripted(server, [{"text": "a long long story", "delay_ms": 2_000}])
    run = server.client.post(f"/sessions/{session}/runs", json={"input": {"message": "Tell"}}).json()
    with server.client.stream("GET", f"/runs/{run['id']}/stream") as stream:
        for line in stream.iter_lines():
            if line == "event: token":
                break
    answer = server.client.post(f"/runs/{run['id']}/cancel", json={"wait": True}, timeout=30)
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    listed = _json(server.client.get("/runs", params={"status": "running,pending", "session_id": session}))
    assert listed["items"] == []
