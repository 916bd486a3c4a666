"""A deployment's own routes (`http.app`): what this door does not serve is theirs."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from protocols.langgraph.deployment import BrokenDeploymentError, running
from runtime.configuration import configure, current
from tests.langgraph import own_app

HERE = Path(__file__).parent
Deploy = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
async def deploy(http: httpx.AsyncClient) -> AsyncIterator[Deploy]:
    """Run with this `http` and `auth` of langgraph.json; what they load is unloaded after the test."""

    @asynccontextmanager
    async def deployed(auth: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[None]:
        configure(
            replace(current(), langgraph=replace(current().langgraph, folder=HERE, http=options, auth=auth or {}))
        )
        async with running():
            yield

    yield deployed
    async with deployed():
        pass


async def test_what_is_not_served_here_is_the_applications(http: httpx.AsyncClient, deploy: Deploy) -> None:
    async with deploy(app="./own_app.py:app"):
        answer = await http.post("/hello/you", content=b"a body")
        assert answer.json() == {
            "path": "/langgraph/hello/you",
            "said": "hello",
            "body": "a body",
            "user": None,
            "permissions": [],
        }
        assert answer.headers["x-own"] == "yes"
        assert (await http.get("/nothing")).status_code == 404


async def test_what_is_served_here_is_not(http: httpx.AsyncClient, deploy: Deploy) -> None:
    async with deploy(app="./own_app.py:app"):
        assert (await http.get("/ok")).json() == {"ok": True, "services": {}}
        assert (await http.delete("/ok")).status_code == 405
        assert (await http.get("/ok/")).status_code == 307


async def test_its_lifespan_goes_with_the_servers(http: httpx.AsyncClient, deploy: Deploy) -> None:
    before = len(own_app.LIVED)
    async with deploy(app="tests.langgraph.own_app:app"):
        assert own_app.LIVED[before:] == ["begun"]
    assert own_app.LIVED[before:] == ["begun", "ended"]


async def test_its_routes_are_open_unless_they_ask_for_callers(http: httpx.AsyncClient, deploy: Deploy) -> None:
    auth = {"path": "./own_app.py:auth"}
    del http.headers["x-api-key"]
    async with deploy(auth, app="./own_app.py:app"):
        assert (await http.get("/hello/you")).json()["user"] is None
    async with deploy(auth, app="./own_app.py:app", enable_custom_route_auth=True):
        assert (await http.get("/hello/you")).json() == {"detail": "no token"}
        told = (await http.get("/hello/you", headers={"authorization": "Bearer ann-token"})).json()
        assert (told["user"], told["permissions"]) == ("ann", ["look"])


async def test_a_key_of_this_server_is_a_caller_of_theirs_too(http: httpx.AsyncClient, deploy: Deploy) -> None:
    async with deploy(app="./own_app.py:app", enable_custom_route_auth=True):
        assert (await http.get("/hello/you")).json()["user"].startswith("key:")


async def test_an_application_without_a_lifespan_serves(http: httpx.AsyncClient, deploy: Deploy) -> None:
    async with deploy(app="./own_app.py:plain"):
        answer = await http.get("/anything")
    assert (answer.status_code, answer.text) == (418, "short and stout")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"app": "./own_app.py:broken"}, "http.app: it did not start: no database of mine"),
        ({"app": "./own_app.py:nothing"}, "http.app: .* cannot be loaded: ImportError: There is no 'nothing'"),
        ({"app": "./own_app.py:LIVED"}, "http.app: it is no ASGI application"),
        ({"auth": {"path": "./own_app.py:app"}}, "auth.path: it has no @auth.authenticate"),
    ],
)
async def test_what_cannot_be_used_ends_the_start_with_one_line(
    http: httpx.AsyncClient, deploy: Deploy, named: dict[str, Any], said: str
) -> None:
    with pytest.raises(BrokenDeploymentError, match=said):
        async with deploy(**named):
            pass
