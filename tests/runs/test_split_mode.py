"""Web here, workers there: who accepts runs does not carry them out."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.conftest import make_assistant
from tests.servers import Server

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

# Longer than a worker's poll, and than the sweep that rings the doorbell for runs that wait.
A_WHILE_S = 7


@pytest.fixture
def accepting() -> Iterator[Server]:
    """A server whose worker has no slots."""
    settings = {"AGENT_SERVER_AGENTS": "tests.stubs.agents", "N_JOBS_PER_WORKER": "0"}
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
