"""A server that has a path of its host, and not the whole."""

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.servers import Server

pytestmark = pytest.mark.servers

PREFIX = "/agents-api"


@pytest.fixture(scope="module")
def mounted() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="mounted-") as folder:
        server = Server(Path(folder), MOUNT_PREFIX=f"{PREFIX}/")
        server.client.base_url = httpx.URL(f"{server.url}{PREFIX}")
        with server:
            yield server


@pytest.fixture(scope="module")
def session(mounted: Server) -> str:
    echo = mounted.client.get("/assistants").json()["items"][0]
    assert echo["endpoint"] == f"{PREFIX}/assistants/{echo['id']}/sessions"
    opened = mounted.client.post(f"{mounted.url}{echo['endpoint']}")
    assert opened.headers["location"] == f"{PREFIX}/sessions/{opened.json()['id']}"
    return str(opened.json()["id"])


@pytest.mark.parametrize("path", ["", "/", "/healthz", "/assistants", f"{PREFIX}x/healthz", f"/x{PREFIX}/healthz"])
def test_what_is_not_under_it_is_not_ours(mounted: Server, path: str) -> None:
    answer = httpx.get(f"{mounted.url}{path}", headers={"x-api-key": mounted.key})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_everything_is_under_it(mounted: Server) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs/", "/runs", "/workers", "/login"):
        assert mounted.client.get(path).status_code == 200, path
    assert f"Agent Server is ready at {mounted.url}{PREFIX}" in mounted.output


def test_links_and_descriptions_name_it(mounted: Server, session: str) -> None:
    for form, status in (("", 202), ("/wait", 200), ("/stream", 200)):
        answer = mounted.client.post(f"/sessions/{session}/runs{form}", json={"input": {"message": "hello"}})
        assert answer.status_code == status
        assert mounted.client.get(f"{mounted.url}{answer.headers['location']}").status_code == 200
    described = mounted.client.get("/openapi.json").json()
    assert described["servers"] == [{"url": PREFIX}]
    assert "/runs/{run_id}" in described["paths"]


def test_a_request_is_the_same_to_a_browser_and_to_a_client(mounted: Server, session: str) -> None:
    headers = {"idempotency-key": "once", "accept": "text/html"}
    made = mounted.client.post(f"/sessions/{session}/fork", headers=headers)
    assert made.headers["location"].startswith(f"{PREFIX}/sessions/")
    again = mounted.client.post(f"/sessions/{session}/fork", headers=headers)
    assert again.headers["location"] == made.headers["location"]


def test_its_pages_link_to_what_is_there(mounted: Server) -> None:
    link = re.search(r"http\S+/sign-in/\S+", mounted.output)
    assert link
    with httpx.Client(follow_redirects=True, timeout=30) as browser:
        browser.get(link[0])
        page = browser.post(link[0], data={"csrfmiddlewaretoken": browser.cookies["csrftoken"]})
        assert str(page.url).startswith(f"{mounted.url}{PREFIX}/console/")
        for path in ("/console/chat", "/admin/", "/docs/", "/admin/assistants/assistant/", "/", ""):
            page = browser.get(f"{mounted.url}{PREFIX}{path}")
            assert page.status_code == 200, path
            found = re.findall(r'(?:href|src|action|data-\w*address|data-api)="(/[^"]*)"', page.text)
            assert found
            assert [one for one in found if not one.startswith(f"{PREFIX}/")] == [], path
            for asset in [one for one in found if "/static/" in one]:
                assert browser.get(f"{mounted.url}{asset}").status_code == 200, asset


@pytest.mark.parametrize("prefix", [PREFIX, ""])
def test_a_websocket_is_under_it_and_takes_a_ticket_for_it(mounted: Server, session: str, prefix: str) -> None:
    path = f"{PREFIX}/ws/sessions/{session}"
    asked = mounted.client.post("/ws-tickets", json={"path": f"{prefix}/ws/sessions/{session}"})
    ticket = asked.json()["ticket"]

    async def ping() -> dict[str, object]:
        async with connect(f"{mounted.url.replace('http', 'ws')}{path}?ticket={ticket}") as socket:
            await socket.send(json.dumps({"action": "ping", "ref": "1"}))
            while "ref" not in (frame := json.loads(await socket.recv())):
                pass
            return dict(frame)

    assert asyncio.run(ping())["ok"] is True
