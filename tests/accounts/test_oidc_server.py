"""Tokens at a real server, which listens for everybody with secrets of its own making."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.api import ECHO
from tests.servers import Server
from tests.stubs.issuer import AUDIENCE, IssuerStub

pytestmark = pytest.mark.servers


@pytest.fixture
def issuer() -> Iterator[IssuerStub]:
    with IssuerStub().running() as stub:
        yield stub


@pytest.fixture
def open_server(issuer: IssuerStub) -> Iterator[Server]:
    settings = {
        "HOST": "0.0.0.0",
        "AGENT_SERVER_BOOTSTRAP_KEY": "",
        "AGENT_SERVER_ADMIN_PASSWORD": "",
        "AGENT_SERVER_OIDC_ISSUER": issuer.url,
        "AGENT_SERVER_OIDC_AUDIENCE": AUDIENCE,
        "AGENT_SERVER_OIDC_ROLE_CLAIM": "role",
    }
    with tempfile.TemporaryDirectory(prefix="agent-server-") as folder, Server(Path(folder), **settings) as running:
        yield running


def test_tokens_open_streams_and_websockets_to_their_own_users_only(open_server: Server, issuer: IssuerStub) -> None:
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]  # before anybody came
    boss, ada, bob = (
        {"Authorization": f"Bearer {token}"}
        for token in (issuer.token("lea", role="admin"), issuer.token("ada"), issuer.token("bob"))
    )
    with httpx.Client(base_url=open_server.url, timeout=30) as client:
        made = client.post("/assistants", json={"name": "a", "llm": ECHO}, headers=boss).json()
        session = client.post(f"/assistants/{made['id']}/sessions", headers=ada).json()["id"]
        path, hello = f"/sessions/{session}/runs/stream", {"input": {"message": "over the wire"}}
        streamed = client.post(path, json=hello, headers=ada)
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert "event: end" in streamed.text
        assert client.post(path, json=hello, headers=bob).status_code == 404
        refused = client.post(path, json=hello, headers={"Authorization": f"Bearer {issuer.token(aud='x')}"})
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    url = f"{open_server.url.replace('http', 'ws')}/ws/sessions/{session}"
    with connect(url, additional_headers=ada) as socket:
        assert session in str(socket.recv(timeout=20))
    with connect(url, subprotocols=[f"bearer.{issuer.token('bob')}"]) as socket:  # type: ignore[list-item]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 4404
