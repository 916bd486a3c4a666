"""What an agent makes and no database can keep: its run ends, and nobody else's does."""

import pytest

from tests.runs.conftest import make_session
from tests.servers import Server

pytestmark = pytest.mark.servers

KINDS = ["changes", "structured", "message", "event"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_json_ends_the_run_and_not_the_worker(server: Server, kind: str) -> None:
    workers = server.pids("worker")
    session = make_session(server, type="Clumsy")
    run = server.client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": kind}}).json()
    assert (run["status"], run["error"]["code"]) == ("error", "agent_error")
    assert "is not JSON" in run["error"]["message"]
    after = server.client.post(f"/sessions/{session}/runs/wait", json={"input": {"message": "hello"}}).json()
    assert after["status"] == "success"
    assert server.pids("worker") == workers
