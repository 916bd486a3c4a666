"""Web here, workers there: who accepts runs does not carry them out, and each worker takes what it is for."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api import HELLO
from tests.runs.conftest import make_assistant, scripted
from tests.runs.test_pools import GPU, GPU_EU
from tests.servers import Server, wait_for

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

# Longer than a worker's poll, and than the sweep that rings the doorbell for runs that wait.
A_WHILE_S = 7
SOME = {"N_JOBS_PER_WORKER": "4"}


@pytest.fixture(scope="module")
def accepting() -> Iterator[Server]:
    """A server whose worker has no slots: those that have some are started beside it."""
    settings = {"AGENT_SERVER_AGENTS": "tests.stubs.agents,benchmarks.agents", "N_JOBS_PER_WORKER": "0"}
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), **settings) as server:
        yield server


def test_a_run_waits_until_there_is_a_worker_with_slots(accepting: Server) -> None:
    server = accepting
    body = {"assistant_id": make_assistant(server, type="Moody"), "input": {"message": "pid"}}
    waiting = server.client.post(f"/runs/wait?wait_s={A_WHILE_S}", json=body)
    assert (waiting.status_code, waiting.json()["status"], waiting.json()["attempt"]) == (202, "pending", 0)
    assert server.client.get("/workers").json()["items"] == []
    with server.beside("worker", N_JOBS_PER_WORKER="2") as worker:
        ended = server.client.get(f"/runs/{waiting.json()['id']}/join").json()
        assert (ended["status"], ended["output"]["text"]) == ("success", str(worker.pid))
        (listed,) = server.client.get("/workers").json()["items"]
        assert (listed["id"], listed["pid"], listed["slots"]) == (ended["worker_id"], worker.pid, 2)
    assert server.client.get("/workers").json()["items"] == []


def start(server: Server, **config: Any) -> str:
    body = {**HELLO, "assistant_id": make_assistant(server, **config)}
    return str(server.client.post("/runs", json=body).json()["id"])


def end_of(server: Server, run: str) -> str:
    return str(server.client.get(f"/runs/{run}/join", params={"wait_s": 60}, timeout=70).json()["status"])


def status_of(server: Server, run: str) -> str:
    return str(server.client.get(f"/runs/{run}").json()["status"])


def test_a_run_waits_for_a_worker_with_its_label_and_one_type_leaves_the_others(accepting: Server) -> None:
    server = accepting
    labelled, react = start(server, **GPU), start(server)
    with server.beside("worker", "--types", "BenchmarkEcho", **SOME):
        assert end_of(server, start(server, type="BenchmarkEcho")) == "success"
        assert status_of(server, react) == "pending"
    with server.beside("worker", **SOME):
        assert end_of(server, react) == "success"
        assert [end_of(server, start(server)) for _ in range(3)] == ["success"] * 3
        assert status_of(server, labelled) == "pending"
        with server.beside("worker", "--labels", "gpu,eu", **SOME):
            assert end_of(server, labelled) == "success"
            assert end_of(server, start(server, **GPU_EU)) == "success"
            assert end_of(server, start(server)) == "success"
            rows = server.sql("SELECT labels FROM workers WHERE types IS NULL ORDER BY cardinality(labels)")
            assert rows == [([],), (["gpu", "eu"],)]


def test_a_busy_worker_makes_room_for_who_must_be_alone(accepting: Server) -> None:
    server = accepting
    with server.beside("worker", N_JOBS_PER_WORKER="1"):
        call = {"text": "word " * 10, "delay_ms": 50, "tool_calls": [{"name": "current_time", "args": {}}]}
        session = scripted(server, [call] * 25 + [{"text": "at last"}], tools=[{"name": "current_time"}], max_steps=99)
        long = server.client.post(f"/sessions/{session}/runs", json=HELLO).json()["id"]
        wait_for(lambda: server.client.get(f"/runs/{long}").json()["status"] == "running", timeout_s=60)
        alone = server.client.post("/runs", json={**HELLO, "assistant_id": make_assistant(server)}).json()["id"]
        server.sql("UPDATE runs SET crashes = 2 WHERE id = %s RETURNING id", alone)
        assert server.client.get(f"/runs/{alone}/join?wait_s=60", timeout=70).json()["status"] == "success"
        assert server.client.get(f"/runs/{long}").json()["status"] in {"pending", "running"}
        ended = server.client.get(f"/runs/{long}/join?wait_s=60", timeout=70).json()
    assert (ended["status"], ended["attempt"], ended["output"]["text"]) == ("success", 2, "at last")
    assert len(ended["steps"]) == 51
