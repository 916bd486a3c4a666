"""What a run survives: a killed worker, an empty Redis, a leaving worker."""

import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from runs.notices import Notice, Process, channel
from tests.runs.conftest import scripted
from tests.servers import Server, wait_for
from tests.sse import Event, assert_contiguous, events, text_of
from tests.stubs.ledger import Ledger

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Server]:
    settings = {
        "AGENT_SERVER_WORKERS": "2",
        "AGENT_SERVER_AGENTS": "tests.stubs.agents",
        "BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": "1",
    }
    with tempfile.TemporaryDirectory(prefix="agent-server-") as folder, Server(Path(folder), **settings) as running:
        yield running


def _call(ledger: Ledger, name: str, sleep: float = 0) -> dict[str, object]:
    return {"tool_calls": [{"name": "http_request", "args": {"url": f"{ledger.url}/{name}?sleep={sleep}"}}]}


def _worker_pid(server: Server, run_id: str) -> int:
    """The process that holds the run."""
    worker = server.client.get(f"/runs/{run_id}").json()["worker_id"]
    rows = server.sql("SELECT pid FROM workers WHERE id = %s", worker)
    return int(rows[0][0])


def test_a_killed_worker_loses_no_run_and_repeats_no_finished_step(two_workers: Server, ledger: Ledger) -> None:
    server = two_workers
    turns = [_call(ledger, "first"), _call(ledger, "slow", sleep=3), {"text": "survived it"}]
    session = scripted(server, turns, tools=[{"name": "http_request"}])
    run = server.client.post(f"/sessions/{session}/runs", json={"input": {"message": "go"}}).json()
    with server.client.stream("GET", f"/runs/{run['id']}/stream") as response:
        stream = events(response)
        received = [next(stream)]
        wait_for(lambda: ledger.calls["slow"] == 1)
        os.kill(_worker_pid(server, run["id"]), signal.SIGKILL)
        received += list(stream)
    ended = server.client.get(f"/runs/{run['id']}").json()
    assert (ended["status"], ended["attempt"], ended["output"]["text"]) == ("success", 2, "survived it")
    assert ledger.calls["first"] == 1
    assert ledger.calls["slow"] == 2
    assert_contiguous(received)
    assert len({event.data["worker_id"] for event in received if event.event == "metadata"}) == 2


def test_a_stream_survives_the_death_of_its_worker_in_the_middle_of_a_text(two_workers: Server) -> None:
    server = two_workers
    text = " ".join(f"word{i}" for i in range(40))
    session = scripted(server, [{"text": text, "delay_ms": 50}])
    run = server.client.post(f"/sessions/{session}/runs", json={"input": {"message": "go"}}).json()
    received: list[Event] = []
    with server.client.stream("GET", f"/runs/{run['id']}/stream") as response:
        stream = events(response)
        while len([e for e in received if e.event == "token"]) < 8:
            received.append(next(stream))
        os.kill(_worker_pid(server, run["id"]), signal.SIGKILL)
        received += list(stream)
    assert received[-1].data["status"] == "success"
    assert text_of(received) == text
    assert_contiguous(received)
    asked = [event.data["id"] for event in received if event.event == "message" and event.data["role"] == "user"]
    assert len(asked) == 2
    assert len(set(asked)) == 1


def test_an_emptied_redis_loses_no_pending_run(two_workers: Server) -> None:
    server = two_workers
    sessions = [scripted(server, [{"text": "still here", "delay_ms": 20}]) for _ in range(4)]
    body = {"input": {"message": "go"}}
    ids = [
        server.client.post(f"/sessions/{session}/runs", json=body).json()["id"]
        for _ in range(10)
        for session in sessions
    ]
    redis.Redis.from_url((server.data_dir / "redis.url").read_text().strip()).flushall()
    ended = [server.client.get(f"/runs/{run_id}/join").json() for run_id in ids]
    assert {run["status"] for run in ended} == {"success"}


def test_a_server_that_stops_ends_its_streams_and_goes_on_afterwards(two_workers: Server) -> None:
    server = two_workers
    session = scripted(server, [{"text": "one two three", "delay_ms": 1_500}])
    run = server.client.post(f"/sessions/{session}/runs", json={"input": {"message": "go"}}).json()
    with server.client.stream("GET", f"/runs/{run['id']}/stream") as response:
        received = [next(stream := events(response))]
        server.send(signal.SIGTERM)
        received += list(stream)
    assert received[-1].event != "end"
    server.wait()
    assert "Traceback" not in server.output
    server.start()
    ended = server.client.get(f"/runs/{run['id']}/join").json()
    with server.client.stream("GET", f"/runs/{run['id']}/stream", params={"after": received[-1].id}) as response:
        received += list(events(response))
    assert ended["output"]["text"] == text_of(received) == "one two three"
    assert_contiguous(received)


def test_a_leaving_worker_hands_a_long_run_back_without_a_charge(two_workers: Server, ledger: Ledger) -> None:
    server = two_workers
    turns = [_call(ledger, "first"), _call(ledger, "long", sleep=4), {"text": "done"}]
    session = scripted(server, turns, tools=[{"name": "http_request"}])
    run = server.client.post(f"/sessions/{session}/runs", json={"input": {"message": "go"}}).json()
    with server.client.stream("GET", f"/runs/{run['id']}/stream") as response:
        received = [next(stream := events(response))]
        wait_for(lambda: ledger.calls["long"] == 1)
        os.kill(_worker_pid(server, run["id"]), signal.SIGTERM)
        received += list(stream)
    ended = server.client.get(f"/runs/{run['id']}").json()
    crashes = server.sql("SELECT crashes, failures FROM runs WHERE id = %s", run["id"])
    assert (ended["status"], ended["attempt"]) == ("success", 2)
    assert crashes == [(0, 0)]
    assert ledger.calls["first"] == 1
    assert_contiguous(received)
    assert _moves(received) == ["metadata", "node_transferring", "metadata", "node_transferred", "end"]
    values = {event.data["name"]: event.data["value"] for event in received if event.event == "custom"}
    first, second = (event.data["worker_id"] for event in received if event.event == "metadata")
    assert values == {"node_transferring": {"from_node": first}, "node_transferred": {"to_node": second}}
    assert first != second


def _moves(received: list[Event]) -> list[str]:
    """The events that say where the run is, customs by their names."""
    told = [event.data["name"] if event.event == "custom" else event.event for event in received]
    return [name for name in told if name in {"metadata", "end"} or name.startswith("node_")]


def test_a_question_survives_every_process_and_is_answered_once(two_workers: Server, ledger: Ledger) -> None:
    server = two_workers
    session = scripted(server, [_call(ledger, "first")], type="Curious", tools=[{"name": "http_request"}])
    asked = server.client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": "go"}}).json()
    assert (asked["status"], asked["interrupt"]) == ("interrupted", {"type": "custom", "value": "Go on?"})
    for role in ("web", "worker", "beat", "postgres", "redis"):
        for pid in server.pids(role):
            os.kill(pid, signal.SIGKILL)
    server.kill()
    server.start()
    assert server.client.get(f"/runs/{asked['id']}").json() == asked
    answers = [server.client.post(f"/runs/{asked['id']}/resume", json={"value": "yes"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 409]
    assert answers[1].json()["code"] == "not_interrupted"
    ended = server.client.get(f"/runs/{asked['id']}/join").json()
    assert (ended["status"], ended["output"]["text"], ended["attempt"]) == ("success", "yes", 2)
    assert [step["kind"] for step in ended["steps"]] == ["model", "tools", "custom", "custom"]
    assert ledger.calls["first"] == 1


def test_a_failing_model_is_tried_again_and_its_tokens_are_superseded(two_workers: Server) -> None:
    turns = [{"error": {"status": 500}}, {"error": {"status": 429, "retry_after": 0.1}}, {"text": "third time lucky"}]
    retry = {"max_attempts": 3, "initial_interval_s": 0.05}
    session = scripted(two_workers, turns, retry_policy=retry)
    run = two_workers.client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": "go"}}).json()
    assert (run["status"], run["attempt"], run["output"]["text"]) == ("success", 3, "third time lucky")
    assert [step["status"] for step in run["steps"]] == ["error", "error", "ok"]


def test_a_model_that_keeps_failing_ends_the_run_after_its_last_attempt(two_workers: Server) -> None:
    session = scripted(
        two_workers, [{"error": {"status": 503}}], retry_policy={"max_attempts": 2, "initial_interval_s": 0.05}
    )
    run = two_workers.client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": "go"}}).json()
    assert (run["status"], run["attempt"]) == ("error", 2)
    assert run["error"]["code"] == "model_server_error"
    assert run["error"]["retryable"] is False


def test_an_endless_loop_stops_at_its_step_limit(two_workers: Server) -> None:
    turns = [{"tool_calls": [{"name": "calculator", "args": {"expression": "1"}}]}]
    session = scripted(two_workers, turns, tools=[{"name": "calculator"}], max_steps=3)
    run = two_workers.client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": "go"}}).json()
    assert (run["status"], run["error"]["code"]) == ("error", "max_steps_exceeded")
    assert len([step for step in run["steps"] if step["kind"] == "model" and step["status"] == "ok"]) == 3


def test_a_run_that_takes_too_long_times_out(two_workers: Server) -> None:
    session = scripted(two_workers, [{"text": "word " * 100, "delay_ms": 100}])
    body = {"input": {"message": "go"}, "timeout_s": 0.5}
    run = two_workers.client.post(f"/sessions/{session}/runs/wait", json=body).json()
    assert (run["status"], run["error"]["code"]) == ("timeout", "run_timeout")


def test_after_a_cancelled_tool_call_the_session_goes_on(two_workers: Server, ledger: Ledger) -> None:
    server = two_workers
    session = scripted(server, [_call(ledger, "stopped", sleep=20), {"text": "next"}], tools=[{"name": "http_request"}])
    run = server.client.post(f"/sessions/{session}/runs", json={"input": {"message": "go"}}).json()
    wait_for(lambda: ledger.calls["stopped"] == 1)
    assert server.client.post(f"/runs/{run['id']}/cancel", json={"wait": True}).json()["status"] == "cancelled"
    following = server.client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": "again"}}).json()
    assert following["output"]["text"] == "next"
    messages = server.client.get(f"/sessions/{session}/messages").json()["items"]
    assert [m["role"] for m in messages] == ["user", "assistant", "tool", "user", "assistant"]


def test_the_supervisor_tells_of_a_worker_that_it_saw_end(two_workers: Server) -> None:
    server = two_workers
    address = (server.data_dir / "redis.url").read_text().strip()
    with redis.Redis.from_url(address) as client, client.pubsub(ignore_subscribe_messages=True) as listening:
        listening.subscribe(channel())
        wait_for(lambda: len(server.pids("worker")) == 2, timeout_s=30)
        listening.get_message(timeout=5)
        killed = server.kill_worker()
        told = wait_for(lambda: listening.get_message(timeout=1), timeout_s=30)
    assert Notice.parse(told["data"]).died == Process(socket.gethostname(), killed)
