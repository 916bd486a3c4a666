"""A server that has little patience, behind a proxy."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.api import ECHO
from tests.servers import Server

HEAD_S, BODY_S = 2, 3
PUBLIC_URL = "https://agents.example.com"


@pytest.fixture(scope="session")
def hasty() -> Iterator[Server]:
    """A running server to which a head and a body must come soon, and which people reach over https."""
    with (
        tempfile.TemporaryDirectory(prefix="agent-server-") as folder,
        Server(
            Path(folder),
            AGENT_SERVER_HEAD_TIMEOUT_S=str(HEAD_S),
            AGENT_SERVER_BODY_TIMEOUT_S=str(BODY_S),
            AGENT_SERVER_WORKERS="0",
            AGENT_SERVER_PUBLIC_URL=PUBLIC_URL,
        ) as running,
    ):
        yield running


@pytest.fixture
def session(hasty: Server) -> str:
    """A session of an assistant that nobody runs; gives its id."""
    made = hasty.client.post("/assistants", json={"name": f"Echo {uuid4()}", "llm": ECHO})
    assert made.status_code == 201, made.text
    opened = hasty.client.post(f"/assistants/{made.json()['id']}/sessions", json={})
    assert opened.status_code == 201, opened.text
    return str(opened.json()["id"])
