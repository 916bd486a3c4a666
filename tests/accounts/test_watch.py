"""Streams and websockets that are open end with the key or the login that opened them."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.testing import WebsocketCommunicator
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from accounts import watch
from accounts.identity import EVERYTHING, Identity
from accounts.models import ApiKey, Membership, Role, User, Workspace
from accounts.services import revoke_api_key, rotate_api_key
from accounts.watch import WATCH
from assistants.services import create_assistant
from config.asgi import application
from core.ids import new_id
from runs.accepting import create_run
from runs.bodies import CreateRun
from sessions.bodies import OpenSession
from sessions.services import open_session
from tests.accounts.conftest import PASSWORD, in_thread

ECHO = {"provider": "fake", "model": "echo"}


@pytest.fixture(autouse=True)
def _quick_hashes(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def boss(workspace: Workspace) -> Identity:
    return Identity(workspace.id, frozenset({EVERYTHING}), "key:tests")


@pytest.fixture
def session(pool: None, boss: Identity) -> str:
    assistant = create_assistant(boss, {"name": "a", "llm": ECHO})
    return str(open_session(boss, assistant.id, OpenSession(user_id="ada")).run()["id"])


@pytest.fixture
def run(boss: Identity, session: str) -> str:
    """One that no worker takes, so that its stream stays open."""
    body = CreateRun.model_validate({"input": {"message": "hi"}})
    return str(create_run(boss, session, body, new_id()).run()["id"])


def with_key(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-api-key", key.encode())]


async def signed_in(person: User) -> Client:
    client = Client()
    await in_thread(client.login, username="ada", password=PASSWORD)
    return client


def with_login(client: Client) -> list[tuple[bytes, bytes]]:
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    return [(b"cookie", cookie.encode()), (b"host", b"here"), (b"origin", b"http://here")]


async def opened(session: str, headers: list[tuple[bytes, bytes]], query: str = "") -> WebsocketCommunicator:
    socket = WebsocketCommunicator(application, f"/ws/sessions/{session}{query}", headers=headers)
    assert (await socket.connect())[0]
    await socket.send_json_to({"action": "ping"})
    assert (await socket.receive_json_from())["ok"]
    return socket


async def code_of(socket: WebsocketCommunicator) -> int:
    message = await socket.receive_output()
    assert message["type"] == "websocket.close"
    return int(message["code"])


async def stays(socket: WebsocketCommunicator) -> bool:
    return bool(await socket.receive_nothing())


def revoke(boss: Identity, key: ApiKey) -> None:
    revoke_api_key(boss, key.id)


def rotate(boss: Identity, key: ApiKey) -> None:
    rotate_api_key(boss, key.id, overlap_s=0)


def expire(boss: Identity, key: ApiKey) -> None:
    ApiKey.objects.filter(id=key.id).update(expires_at=timezone.now() - timedelta(seconds=1))


@pytest.mark.parametrize("end", [revoke, rotate, expire])
async def test_a_websocket_is_closed_with_4401(
    boss: Identity, session: str, key: str, end: Callable[[Identity, ApiKey], None]
) -> None:
    socket = await opened(session, with_key(key))
    await WATCH.look()
    assert await stays(socket)
    await in_thread(lambda: end(boss, ApiKey.objects.get(name="test")))
    await WATCH.look()
    assert await code_of(socket) == 4401


async def test_a_stream_ends(boss: Identity, run: str, key: str) -> None:
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": f"/runs/{run}/stream", "query_string": b"", "headers": with_key(key)
    }  # fmt: skip
    stream = ApplicationCommunicator(application, scope)
    await stream.send_input({"type": "http.request", "body": b""})
    assert (await stream.receive_output())["status"] == 200
    await WATCH.look()
    assert await stream.receive_nothing()
    await in_thread(lambda: revoke(boss, ApiKey.objects.get(name="test")))
    await WATCH.look()
    assert await stream.receive_output() == {"type": "http.response.body", "body": b""}
    await stream.send_input({"type": "http.disconnect"})
    await stream.wait()


def sign_out(client: Client) -> None:
    client.post("/logout")


def shut_out(client: Client) -> None:
    User.objects.update(is_active=False)


def remove(client: Client) -> None:
    Membership.objects.all().delete()


def promote(client: Client) -> None:
    Membership.objects.update(role=Role.ADMIN)


@pytest.mark.parametrize("end", [sign_out, shut_out, remove, promote])
async def test_a_logins_websocket_ends_with_the_login(
    session: str, person: User, end: Callable[[Client], None]
) -> None:
    client = await signed_in(person)
    socket = await opened(session, with_login(client))
    await WATCH.look()
    assert await stays(socket)
    await in_thread(end, client)
    await WATCH.look()
    assert await code_of(socket) == 4401


async def test_a_superusers_login_is_one_too(session: str, person: User) -> None:
    await in_thread(lambda: User.objects.update(is_superuser=True))
    client = await signed_in(person)
    socket = await opened(session, with_login(client))
    await WATCH.look()
    assert await stays(socket)
    await in_thread(lambda: User.objects.update(is_superuser=False))
    await WATCH.look()
    assert await code_of(socket) == 4401


async def test_a_ticket_does_not_outlive_who_got_it(session: str, person: User, workspace: Workspace) -> None:
    client = await signed_in(person)
    path = f"/ws/sessions/{session}"
    made = await in_thread(lambda: client.post("/ws-tickets", {"path": path}, content_type="application/json"))
    socket = await opened(session, [], f"?ticket={made.json()['ticket']}")
    await WATCH.look()
    assert await stays(socket)
    await in_thread(sign_out, client)
    await WATCH.look()
    assert await code_of(socket) == 4401


async def test_a_ticket_of_the_version_before_still_opens(session: str, boss: Identity) -> None:
    document = {name: value for name, value in boss.document().items() if name != "login_key"}
    assert Identity.from_document(document) == boss


async def test_who_was_vouched_for_until_now_is_let_go(pool: None, boss: Identity) -> None:
    ended: list[str] = []
    now = time.time()
    past, future = replace(boss, expires_at=now), replace(boss, expires_at=now + 3_600)
    with WATCH.over(past, lambda: ended.append("past")), WATCH.over(future, lambda: ended.append("future")):
        await WATCH.look()
    assert ended == ["past"]


async def test_nothing_open_costs_nothing(pool: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_KEYS", "not SQL")
    monkeypatch.setattr(watch, "_LOGINS", "not SQL")
    await WATCH.look()
    assert not WATCH._open


async def test_what_was_closed_is_not_looked_at(session: str, key: str) -> None:
    socket = await opened(session, with_key(key))
    assert len(WATCH._open) == 1
    await socket.disconnect()
    assert not WATCH._open


async def test_a_web_process_looks_by_itself(
    transactional_db: None, boss: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.05)
    ended, nobody = asyncio.Event(), replace(boss, api_key_id=new_id())
    web = ApplicationCommunicator(application, {"type": "lifespan"})
    await web.send_input({"type": "lifespan.startup"})
    assert (await web.receive_output(10))["type"] == "lifespan.startup.complete"
    with WATCH.over(nobody, ended.set):
        async with asyncio.timeout(10):
            await ended.wait()
    await web.send_input({"type": "lifespan.shutdown"})
    await web.wait(10)
