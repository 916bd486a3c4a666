"""The seeds' quick start, by HTTP alone: an assistant, a session, a run, its result."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import httpx
import pytest

from tests.runs.conftest import make_assistant, scripted
from tests.servers import Server, wait_for
from tests.sse import assert_contiguous, events, text_of

pytestmark = pytest.mark.servers


def test_four_calls_give_an_answer(server: Server) -> None:
    made = server.client.post("/assistants", json={"name": "four", "llm": {"provider": "fake", "model": "echo"}})
    session = server.client.post(made.json()["endpoint"])
    accepted = server.client.post(f"/sessions/{session.json()['id']}/runs", json={"input": {"message": "hello there"}})
    assert (made.status_code, session.status_code, accepted.status_code) == (201, 201, 202)
    assert accepted.json()["status"] == "pending"
    assert accepted.headers["location"] == f"/runs/{accepted.json()['id']}"
    run = server.client.get(f"/runs/{accepted.json()['id']}/join").json()
    assert run["status"] == "success"
    assert run["output"]["text"] == "hello there"


def test_wait_answers_with_the_finished_run(server: Server, echo_session: str) -> None:
    answer = server.client.post(f"/sessions/{echo_session}/runs/wait", json={"input": {"message": "now"}})
    assert answer.status_code == 200
    run = answer.json()
    assert (run["status"], run["number"], run["attempt"]) == ("success", 1, 1)
    assert run["created_at"] <= run["claimed_at"] == run["started_at"] <= run["finished_at"]
    assert run["worker_id"]
    assert [step["kind"] for step in run["steps"]] == ["model"]
    assert run["usage"]["total_tokens"] > 0


def test_wait_in_the_body_does_the_same(server: Server, echo_session: str) -> None:
    body = {"input": {"message": "now"}, "wait": True}
    assert server.client.post(f"/sessions/{echo_session}/runs", json=body).json()["status"] == "success"


def test_a_stream_carries_tokens_and_ends(server: Server, echo_session: str) -> None:
    body = {"input": {"message": "one two three"}}
    with server.client.stream("POST", f"/sessions/{echo_session}/runs/stream", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        received = list(events(response))
    names = [event.event for event in received]
    assert names[0] == "metadata"
    assert names[-1] == "end"
    assert text_of(received) == "one two three" == received[-1].data["output"]["text"]
    assert_contiguous(received)


def test_a_finished_run_replays_and_ends(server: Server, echo_session: str) -> None:
    run = server.client.post(f"/sessions/{echo_session}/runs/wait", json={"input": {"message": "again"}}).json()
    with server.client.stream("GET", f"/runs/{run['id']}/stream") as response:
        first = list(events(response))
    with server.client.stream("GET", f"/runs/{run['id']}/stream", params={"after": first[2].id}) as response:
        rest = list(events(response))
    assert first[-1].event == "end"
    assert rest == first[3:]


def test_a_client_that_was_cut_misses_nothing(server: Server) -> None:
    text = " ".join(f"word{i}" for i in range(60))
    session = scripted(server, [{"text": text, "delay_ms": 15}])
    seen = []
    with server.client.stream(
        "POST", f"/sessions/{session}/runs/stream", json={"input": {"message": "go"}}
    ) as response:
        for event in events(response):
            seen.append(event)
            if len([e for e in seen if e.event == "token"]) == 10:
                break
    run_id = seen[0].data["run_id"]
    for cut in (20, 35, None):
        headers = {"Last-Event-ID": seen[-1].id}
        with server.client.stream("GET", f"/runs/{run_id}/stream", headers=headers) as response:
            for event in events(response):
                seen.append(event)
                if cut and len([e for e in seen if e.event == "token"]) >= cut:
                    break
    assert seen[-1].event == "end"
    assert_contiguous(seen)
    assert text_of(seen) == text


def test_a_latecomer_hears_the_step_in_flight_from_its_beginning(server: Server) -> None:
    text = " ".join(f"word{i}" for i in range(40))
    session = scripted(server, [{"text": text, "delay_ms": 25}])
    run = server.client.post(f"/sessions/{session}/runs", json={"input": {"message": "go"}}).json()
    wait_for(lambda: server.client.get(f"/runs/{run['id']}").json()["status"] == "running")
    with ThreadPoolExecutor(3) as pool:
        heard = list(pool.map(lambda _: _listen(server, run["id"]), range(3)))
    assert all(text_of(received) == text for received in heard)


def _listen(server: Server, run_id: str) -> list:  # type: ignore[type-arg]
    with httpx.stream(
        "GET", f"{server.url}/runs/{run_id}/stream", headers={"X-Api-Key": server.key}, timeout=30
    ) as response:
        received = list(events(response))
    assert_contiguous(received)
    return received


def test_two_tools_leave_steps_checkpoints_usage_and_a_contiguous_log(server: Server) -> None:
    turns = [
        {"text": "let me see", "tool_calls": [{"name": "calculator", "args": {"expression": "6 * 7"}}]},
        {"tool_calls": [{"name": "current_time", "args": {}}]},
        {"text": "done", "usage": {"input_tokens": 5, "output_tokens": 1}},
    ]
    session = scripted(server, turns, tools=[{"name": "calculator"}, {"name": "current_time"}])
    run = server.client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": "go"}}).json()
    assert run["status"] == "success"
    assert [step["kind"] for step in run["steps"]] == ["model", "tools", "model", "tools", "model"]
    assert run["steps"][1]["tool_calls"][0]["status"] == "ok"
    assert "42" in json.dumps(run["steps"][1]["tool_calls"][0]["result"])
    assert run["usage"]["output_tokens"] > 0
    checkpoints = server.client.get(f"/sessions/{session}/checkpoints").json()["items"]
    steps = [checkpoint["step"] for checkpoint in reversed(checkpoints)]
    assert len(steps) >= 3
    assert steps == list(range(1, len(steps) + 1))
    assert all(checkpoint["run_id"] == run["id"] for checkpoint in checkpoints)
    messages = server.client.get(f"/sessions/{session}/messages").json()["items"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert [message["seq"] for message in messages] == [1, 2, 3, 4, 5, 6]
    with server.client.stream("GET", f"/runs/{run['id']}/stream") as response:
        assert_contiguous(list(events(response)))


def test_the_second_run_sees_the_first(server: Server) -> None:
    assistant = make_assistant(server)
    session = server.client.post(f"/assistants/{assistant}/sessions").json()["id"]
    for text in ("first", "second"):
        server.client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": text}})
    messages = server.client.get(f"/sessions/{session}/messages").json()["items"]
    assert [message["content"] for message in messages] == ["first", "first", "second", "second"]


def test_runs_of_one_session_take_turns(server: Server) -> None:
    session = scripted(server, [{"text": "a b c", "delay_ms": 30}])
    ids = [
        server.client.post(f"/sessions/{session}/runs", json={"input": {"message": str(i)}}).json()["id"]
        for i in range(5)
    ]
    runs = [server.client.get(f"/runs/{run}/join").json() for run in ids]
    assert [run["number"] for run in runs] == [1, 2, 3, 4, 5]
    for before, after in pairwise(runs):
        assert before["finished_at"] <= after["started_at"]


def test_a_run_without_a_session_makes_one(server: Server) -> None:
    body = {"assistant_id": make_assistant(server), "input": {"message": "alone"}}
    run = server.client.post("/runs/wait", json=body).json()
    assert run["output"]["text"] == "alone"
    assert server.client.get(f"/sessions/{run['session_id']}").status_code == 200


def test_a_slow_run_outlives_its_waiting_client(server: Server) -> None:
    session = scripted(server, [{"text": "slow but sure", "delay_ms": 300}])
    body = {"input": {"message": "go"}}
    left = server.client.post(f"/sessions/{session}/runs/wait", params={"wait_s": 0.2}, json=body)
    assert left.status_code == 202
    joined = server.client.get(f"/runs/{left.json()['id']}/join")
    assert (joined.status_code, joined.json()["output"]["text"]) == (200, "slow but sure")
