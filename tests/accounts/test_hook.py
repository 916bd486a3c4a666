"""A deployment's own function tells who asks, at every door, and fails closed."""

import asyncio
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from channels.testing import WebsocketCommunicator
from rest_framework.test import APIClient

from accounts import hook
from accounts.authentication import authenticate, authenticate_hot
from accounts.external import WORKSPACES
from accounts.hook import AuthRequest, Caller, Forbidden, Unauthenticated
from accounts.identity import ROLE_SCOPES
from accounts.models import Role, Workspace
from config.asgi import application
from core.errors import Unavailable
from tests.accounts.conftest import in_thread
from tests.api import UNKNOWN, assert_refused
from tests.servers import ROOT

asked: list[AuthRequest] = []
answers: dict[str, Callable[[], Any]] = {}


def function(request: AuthRequest) -> Any:
    asked.append(request)
    if "x-badge" not in request.headers:
        return None
    return answers[request.headers["x-badge"]]()


async def afunction(request: AuthRequest) -> Any:
    return function(request)


BADGE = {"x-badge": "good"}


@pytest.fixture(params=["function", "afunction"], autouse=True)
def _installed(request: pytest.FixtureRequest) -> Iterator[None]:
    asked.clear()
    answers.clear()
    answers["good"] = lambda: Caller("acme", role="member", user_id="u1", name="Ada")
    hook.install(f"{__name__}:{request.param}")
    yield
    hook.install("")
    WORKSPACES.clear()


@pytest.fixture
async def web(pool: None, workspace: Workspace) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as client:
        yield client


def answer_to_a_badge(**headers: str) -> Any:
    return APIClient(headers={**BADGE, **headers}).get("/api-keys?limit=5")


def test_it_cannot_change_what_others_read(workspace: Workspace) -> None:
    def change() -> None:
        asked[-1].headers["authorization"] = "Bearer x"  # type: ignore[index]

    answers["good"] = change
    assert_refused(answer_to_a_badge(), 503, "unavailable")


def test_its_caller_gets_in(workspace: Workspace) -> None:
    assert answer_to_a_badge().status_code == 200
    seen = asked[0]
    assert (seen.method, seen.path, seen.query, seen.client) == ("GET", "/api-keys", {"limit": "5"}, "127.0.0.1")
    assert seen.headers["x-badge"] == "good"


async def test_its_caller_has_the_rights_that_it_names(pool: None, workspace: Workspace) -> None:
    identity = await authenticate(BADGE, lambda: AuthRequest("GET", "/", BADGE, {}, None))
    assert (identity.workspace_id, identity.user_id, identity.actor) == (workspace.id, "u1", "hook:Ada")
    assert identity.scopes == ROLE_SCOPES[Role.MEMBER]


def test_a_role_is_no_more_than_it_is(workspace: Workspace) -> None:
    made = APIClient(headers=BADGE).post("/api-keys", {"name": "x", "scopes": ["*"]}, format="json")
    assert_refused(made, 403, "forbidden")


def test_scopes_and_a_workspace_by_its_id(workspace: Workspace) -> None:
    answers["good"] = lambda: Caller(str(workspace.id), scopes=["runs:read"])
    assert_refused(answer_to_a_badge(), 403, "forbidden")
    assert APIClient(headers=BADGE).get("/runs").status_code == 200


def test_what_is_not_its_own_goes_on_to_keys(key: str) -> None:
    assert APIClient(headers={"X-Api-Key": key}).get("/api-keys").status_code == 200
    assert_refused(APIClient().get("/api-keys"), 401, "unauthenticated")
    assert len(asked) == 2


def test_it_is_asked_before_the_keys(workspace: Workspace) -> None:
    assert answer_to_a_badge(authorization="Basic whatever").status_code == 200


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (Unauthenticated("No."), 401, "unauthenticated"),
        (Forbidden("Not you."), 403, "forbidden"),
        (RuntimeError("a bug"), 503, "unavailable"),
        (SystemExit(3), 503, "unavailable"),
        (Unavailable(), 503, "unavailable"),
    ],
)
def test_what_it_raises(workspace: Workspace, make: BaseException, status: int, code: str) -> None:
    def fail() -> None:
        raise make

    answers["good"] = fail
    assert_refused(answer_to_a_badge(), status, code)


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("caller", "status", "code"),
    [
        (Caller("nowhere", role="admin"), 403, "forbidden"),
        (Caller("no\x00where", role="admin"), 403, "forbidden"),
        (Caller("", role="admin"), 403, "forbidden"),
        (Caller(str(uuid4()), role="admin"), 403, "forbidden"),
        (Caller("acme", role="admin", expires_at=NOW), 401, "unauthenticated"),
        (Caller("acme", role="admin", expires_at=NOW.replace(tzinfo=None)), 503, "unavailable"),
        (Caller("acme"), 503, "unavailable"),
        (Caller("acme", role="member"), 503, "unavailable"),
        (Caller("acme", role="king"), 503, "unavailable"),
        (Caller("acme", role="admin", scopes=["*"]), 503, "unavailable"),
        (Caller("acme", scopes=["runs:everything"]), 503, "unavailable"),
        (Caller("acme", scopes="*"), 503, "unavailable"),
        (Caller("acme", scopes=[["*"]]), 503, "unavailable"),  # type: ignore[list-item]
        (Caller(7, role="admin"), 503, "unavailable"),  # type: ignore[arg-type]
        (Caller("acme", role="admin", user_id=""), 503, "unavailable"),
        (Caller("acme", role="admin", user_id="a\x00b"), 503, "unavailable"),
        (Caller("acme", role="admin", name="x" * 201), 503, "unavailable"),
        ({"workspace": "acme", "role": "admin"}, 503, "unavailable"),
        (True, 503, "unavailable"),
    ],
)  # fmt: skip
def test_what_it_gives(workspace: Workspace, caller: Any, status: int, code: str) -> None:
    answers["good"] = lambda: caller
    assert_refused(answer_to_a_badge(), status, code)


def test_a_caller_is_good_until_it_ends(workspace: Workspace) -> None:
    answers["good"] = lambda: Caller("acme", role="admin", expires_at=datetime.now(UTC) + timedelta(minutes=1))
    assert answer_to_a_badge().status_code == 200


released = threading.Event()


async def hangs(request: AuthRequest) -> None:
    await asyncio.sleep(60)


def blocks(request: AuthRequest) -> None:
    released.wait(20)


def gives_a_coroutine(request: AuthRequest) -> Any:
    return hangs(request)


@pytest.mark.parametrize("name", ["hangs", "blocks", "gives_a_coroutine"])
def test_one_that_hangs_lets_nobody_in(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    released.clear()
    monkeypatch.setattr(hook, "ANSWER_S", 0.05)
    hook.install(f"{__name__}:{name}")
    assert_refused(answer_to_a_badge(), 503, "unavailable")
    released.set()


async def test_the_hot_routes_ask_it_too(web: httpx.AsyncClient) -> None:
    found = await web.get(f"/runs/{UNKNOWN}?wait_s=1", headers=BADGE)
    assert found.status_code == 422  # by the route itself: the caller was let in
    assert (asked[0].path, asked[0].query, asked[0].client) == (f"/runs/{UNKNOWN}", {"wait_s": "1"}, "127.0.0.1")
    answers["good"] = lambda: Caller("nowhere", role="admin")
    assert (await web.get(f"/runs/{UNKNOWN}", headers=BADGE)).status_code == 403


async def test_a_request_that_goes_on_to_django_is_asked_about_once(web: httpx.AsyncClient) -> None:
    refused = await web.get(f"/runs/{UNKNOWN}")
    assert (refused.status_code, len(asked)) == (401, 1)


async def test_open_routes_do_not_ask_it(web: httpx.AsyncClient) -> None:
    assert (await web.get("/healthz")).status_code == 200
    assert (await web.get("/login")).status_code == 200
    assert asked == []


def handshake(session: str, **headers: str) -> WebsocketCommunicator:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return WebsocketCommunicator(application, f"/ws/sessions/{session}?after=0-0", headers=raw)


async def closes_with(socket: WebsocketCommunicator) -> int:
    await socket.connect()
    message = await socket.receive_output()
    return int(message["code"])


@pytest.mark.parametrize(
    ("caller", "code"),
    [
        (Caller("acme", role="member", user_id="u1"), 4404),  # let in, and there is no such session
        (Caller("nowhere", role="member", user_id="u1"), 4401),
        (Caller("acme", role="king"), 1013),
    ],
)
async def test_a_websocket_asks_it_too(web: httpx.AsyncClient, caller: Caller, code: int) -> None:
    answers["good"] = lambda: caller
    assert await closes_with(handshake(UNKNOWN, **{"x-badge": "good"})) == code
    assert (asked[0].method, asked[0].path) == ("GET", f"/ws/sessions/{UNKNOWN}")


async def test_the_cookie_of_a_login_counts_at_the_hot_door_for_reads_of_data_only(pool: None) -> None:
    def scope(method: str) -> Any:
        return {"type": "http", "method": method, "path": "/runs/1", "query_string": b"", "headers": []}

    cookie = {"cookie": "a=b; sessionid=1"}
    assert await authenticate_hot(scope("POST"), {**cookie, "accept": "application/json"}) is None
    assert await authenticate_hot(scope("GET"), {**cookie, "accept": "text/html"}) is None
    assert await authenticate_hot(scope("GET"), {"accept": "application/json"}) is None
    with pytest.raises(Unauthenticated):
        await authenticate_hot(scope("GET"), {**cookie, "accept": "text/event-stream"})


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("authenticate", "write package.module:function"),
        ("no.such.module:authenticate", "no.such.module cannot be imported: ModuleNotFoundError"),
        ("tests.accounts.test_hook:nothing", "tests.accounts.test_hook has no function nothing"),
        ("tests.accounts.test_hook:BADGE", "has no function BADGE"),
        ("broken_on_import:authenticate", "broken_on_import cannot be imported: ZeroDivisionError"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(
    name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_on_import.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=re.escape(fault)):
        hook.install(name)


async def test_the_example_of_the_documentation_works(
    web: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "authentication.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "example_auth.py").write_text(example.replace('"default"', '"acme"'))
    monkeypatch.syspath_prepend(tmp_path)
    hook.install("example_auth:authenticate")
    sys.modules.pop("example_auth")
    good = {"x-gateway-user": "ada", "x-gateway-secret": "s3cret-of-the-gateway", "x-gateway-team": "red"}
    assert (await web.get("/sessions", headers=good)).status_code == 200
    assert (await web.get("/sessions", headers={**good, "x-gateway-team": "blue"})).status_code == 403
    assert (await web.get("/sessions", headers={**good, "x-gateway-secret": "x"})).status_code == 401
    assert (await web.get("/sessions")).status_code == 401


async def test_a_known_workspace_costs_no_query(web: httpx.AsyncClient, workspace: Workspace) -> None:
    assert (await web.get(f"/runs/{UNKNOWN}", headers=BADGE)).status_code == 404
    await in_thread(Workspace.objects.all().delete)
    assert (await web.get(f"/runs/{UNKNOWN}", headers=BADGE)).status_code == 404
    WORKSPACES.clear()
    assert (await web.get(f"/runs/{UNKNOWN}", headers=BADGE)).status_code == 403
