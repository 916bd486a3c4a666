"""A whole `manage.py serve`, as a person starts, hurts and ends it."""

import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import KEY, PASSWORD, Server, using, wait_for

pytestmark = pytest.mark.servers

ASSISTANT = {"name": "Kept", "llm": {"provider": "fake", "model": "echo"}}


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="serve-") as folder:
        yield Path(folder)


def assistants(server: Server) -> set[str]:
    return {item["name"] for item in server.client.get("/assistants").json()["items"]}


def test_it_says_where_to_begin(server: Server) -> None:
    said = server.output
    assert f"Agent Server is ready at {server.url}" in said
    assert f"API key   {KEY}" in said
    assert f"user admin, password {PASSWORD}" in said
    assert server.client.get("/assistants", params={"name": "Echo"}).json()["items"][-1]["name"] == "Echo"


def test_the_sign_in_link_works_once(server: Server) -> None:
    link = re.search(r"http\S+/sign-in/\S+", server.output)
    assert link
    for expected in (302, 410):
        with httpx.Client() as browser:
            assert browser.get(link[0]).status_code == 200
            answer = browser.post(link[0], data={"csrfmiddlewaretoken": browser.cookies["csrftoken"]})
            assert answer.status_code == expected
            assert ("sessionid" in browser.cookies) == (expected == 302)


def test_only_workers_are_called_so(server: Server) -> None:
    assert len(server.pids("worker")) == 1
    for role in ("web", "beat", "postgres", "redis"):
        [pid] = server.pids(role)
        assert b"worker" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_an_ordinary_user_starts_it_and_ctrl_c_ends_everything(data_dir: Path) -> None:
    uid = 65534 if os.geteuid() == 0 else None
    if uid is not None:
        os.chown(data_dir, uid, uid)
    server = Server(data_dir, uid=uid, fresh=True).start()
    assert assistants(server) == {"Echo"}
    assert {path.stat().st_uid for path in data_dir.iterdir()} == {uid or os.geteuid()}
    assert server.stop(signal.SIGINT) == 0
    assert using(data_dir) == []
    assert not list(data_dir.glob("*.url"))


def test_a_signal_during_the_start_ends_everything(data_dir: Path) -> None:
    server = Server(data_dir, fresh=True)
    server.spawn()
    wait_for(lambda: "Starting PostgreSQL" in server.output, 30)
    assert server.stop() == 0
    # What was killed may take a moment to go.
    wait_for(lambda: not using(data_dir))


def test_kill_9_leaves_nothing_behind_and_the_data_in_place(data_dir: Path) -> None:
    settings = {"AGENT_SERVER_BOOTSTRAP_KEY": "", "AGENT_SERVER_ADMIN_PASSWORD": ""}
    with Server(data_dir, **settings) as server:
        key = (data_dir / "api_key").read_text().strip()
        assert key in server.output
        headers = {"Authorization": f"Bearer {key}"}
        assert server.client.post("/assistants", json=ASSISTANT, headers=headers).status_code == 201
        server.kill()
        wait_for(lambda: not using(data_dir))
        server.start()
        assert key in server.output
        assert (data_dir / "admin_password").read_text().strip() in server.output
        found = server.client.get("/assistants?name=Kept", headers=headers).json()
        assert found["total"] == 1


def test_whoever_dies_is_started_again(data_dir: Path) -> None:
    with Server(data_dir) as server:
        time.sleep(5)
        former = server.kill_worker()
        began = time.monotonic()
        wait_for(lambda: set(server.pids("worker")) - {former})
        assert time.monotonic() - began < 10
        for role in ("worker", "web", "beat", "redis", "postgres"):
            [former] = server.pids(role)
            os.kill(former, signal.SIGKILL)
            wait_for(lambda role=role, former=former: set(server.pids(role)) - {former})  # type: ignore[misc]
        wait_for(lambda: answers(server), timeout_s=20)
        assert "worker-1 was killed by SIGKILL; starting it again" in server.output


def answers(server: Server) -> bool:
    try:
        return server.client.get("/assistants").status_code == 200
    except httpx.TransportError:
        return False
