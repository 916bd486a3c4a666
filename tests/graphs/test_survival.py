"""A hosted graph whose worker is killed, on a whole server: it goes on at its last checkpoint."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.graphs.hosting import GRAPHS
from tests.servers import Server, wait_for
from tests.sse import assert_contiguous, events

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Server]:
    settings = {"AGENT_SERVER_WORKERS": "2", "AGENT_SERVER_GRAPHS": GRAPHS}
    with tempfile.TemporaryDirectory(prefix="agent-server-") as folder, Server(Path(folder), **settings) as running:
        yield running


def begun(server: Server) -> tuple[str, str]:
    """The ids of a session and of a run in it that has stored what its second step did; one takes 0.4 s."""
    body = {"name": f"steps {uuid4()}", "type": "Graph", "graph_id": "steps", "durability": "async"}
    assistant = server.client.post("/assistants", json=body).json()["id"]
    session = server.client.post(f"/assistants/{assistant}/sessions").json()["id"]
    run = server.client.post(f"/sessions/{session}/runs", json={"input": {"sleep_s": 0.4}}).json()["id"]
    sql = "SELECT count(*) FROM graph_checkpoints WHERE run_id = %s AND metadata->>'step' = '2'"
    wait_for(lambda: server.sql(sql, run)[0][0] == 1)
    return session, run


def test_a_killed_worker_repeats_no_step_that_was_stored(two_workers: Server) -> None:
    server = two_workers
    session, run = begun(server)
    worker = server.client.get(f"/runs/{run}").json()["worker_id"]
    os.kill(server.sql("SELECT pid FROM workers WHERE id = %s", worker)[0][0], signal.SIGKILL)
    killed_at = time.monotonic()
    with server.client.stream("GET", f"/runs/{run}/stream") as response:
        received = list(events(response))
    lasted = time.monotonic() - killed_at
    ended = server.client.get(f"/runs/{run}").json()
    assert (ended["status"], ended["attempt"]) == ("success", 2)
    assert ended["output"]["structured"]["log"] == [f"step {n}" for n in range(1, 6)]
    steps = server.sql("SELECT metadata->>'step' FROM graph_checkpoints WHERE session_id = %s ORDER BY 1", session)
    assert [int(step) for (step,) in steps] == [-1, 0, 1, 2, 3, 4, 5]
    # Three steps were left, 1.2 s; the rest is what the rescue took.
    assert lasted < 10
    assert_contiguous(received)
    told = [event.data["data"]["step"] for event in received if event.event == "graph"]
    assert (sorted(set(told)), told.count(1), told.count(2)) == ([1, 2, 3, 4, 5], 1, 1)
