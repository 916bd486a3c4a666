"""A worker whose event loop is blocked: for a moment, for good, and one that was stopped as a whole."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.conftest import make_assistant
from tests.servers import Server

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]
PATIENCE_S = 2
ENDED = "The event loop has not answered"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    settings = {"AGENT_SERVER_AGENTS": "tests.stubs.agents", "AGENT_SERVER_LOOP_HANG_S": str(PATIENCE_S)}
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), **settings) as running:
        yield running


def told(server: Server, message: str) -> tuple[str, int, str | None]:
    """The end of a Moody run with this message: status, attempts, the error's code."""
    body = {"assistant_id": make_assistant(server, type="Moody"), "input": {"message": message}}
    run = server.client.post("/runs/wait?wait_s=60", json=body, timeout=70).json()
    return run["status"], run["attempt"], run["error"] and run["error"]["code"]


def test_blocking_for_a_moment_costs_nothing(server: Server) -> None:
    (worker,) = server.pids("worker")
    assert told(server, f"block {PATIENCE_S / 2}") == ("success", 1, None)
    assert server.pids("worker") == [worker]


def test_a_worker_that_was_stopped_as_a_whole_goes_on(server: Server) -> None:
    (worker,) = server.pids("worker")
    os.kill(worker, signal.SIGSTOP)
    time.sleep(2 * PATIENCE_S)
    os.kill(worker, signal.SIGCONT)
    assert told(server, "hello") == ("success", 1, None)
    assert server.pids("worker") == [worker]
    assert ENDED not in server.output


def test_a_loop_that_is_blocked_for_good_ends_its_process_and_at_last_the_run(server: Server) -> None:
    assert told(server, "block 600") == ("error", 3, "worker_crashed")
    assert ENDED in server.output
    assert "time.sleep(float(seconds))" in server.output
    assert told(server, "hello") == ("success", 1, None)
