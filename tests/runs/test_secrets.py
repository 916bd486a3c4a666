"""Secrets of a workspace, through the whole server."""

from typing import Any
from uuid import uuid4

import pytest

from tests.runs.conftest import make_session
from tests.servers import Server
from tests.stubs.openai import openai_stub
from tests.stubs.server import ModelStub, Reply

pytestmark = pytest.mark.servers
HELLO = {"input": {"message": "hi"}}


def put(server: Server, name: str, value: str, stub: ModelStub) -> None:
    answer = server.client.put(f"/secrets/{name}", json={"value": value, "hosts": [stub.address]})
    assert answer.is_success, answer.text


def run(server: Server, session: str) -> dict[str, Any]:
    answer = server.client.post(f"/sessions/{session}/runs/wait", json=HELLO)
    found: dict[str, Any] = answer.json()
    return found


def test_a_changed_secret_counts_from_the_next_run_on(server: Server) -> None:
    name = f"models-{uuid4()}"
    with openai_stub(Reply("fine")) as stub:
        put(server, name, "the-first-key", stub)
        llm = {"provider": "openai", "model": "m", "base_url": f"http://{stub.address}/v1"}
        session = make_session(server, llm={**llm, "api_key_env": f"secret:{name}"})
        assert run(server, session)["status"] == "success"
        put(server, name, "the-second-key", stub)
        assert run(server, session)["status"] == "success"
        server.client.delete(f"/secrets/{name}")
        ended = run(server, session)
        sent = [asked.headers["authorization"] for asked in stub.asked]
    assert sent == ["Bearer the-first-key", "Bearer the-second-key"]
    assert (ended["status"], ended["error"]["code"]) == ("error", "missing_secret")
    assert ended["error"]["message"] == f"The workspace has no secret '{name}'."
