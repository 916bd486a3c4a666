"""The official SDK's client at our door: in this process, on the test's database, without a server or a worker."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from psycopg import AsyncConnection

from accounts.models import Workspace
from config.asgi import application
from core.db import close_pool, open_pool
from core.ids import new_id
from runs.live import hub
from runtime.configuration import configure, current
from runtime.langgraph_json import LangGraphConfig, read_config
from sessions.models import Session
from tests.api import Api
from tests.langgraph.workers import Worker
from tests.runs.hand import Hand
from tests.runs.worker import Tenant, in_thread
from tests.servers import ROOT

EXAMPLES = ROOT / "examples" / "graphs" / "langgraph.json"


@pytest.fixture(autouse=True)
def graphs() -> Iterator[LangGraphConfig]:
    """This process hosts the example graphs: echo, steps, react, interrupt and nested."""
    before = current()
    found = read_config(str(EXAMPLES), "", Path.cwd())
    configure(replace(before, langgraph=found))
    yield found
    configure(before)


@pytest.fixture
def tenant(transactional_db: None) -> Api:
    """A workspace with a key for everything."""
    return Api(Workspace.objects.create(name="Ours", slug="ours"))


@pytest.fixture
def neighbour(transactional_db: None) -> Api:
    """Another one."""
    return Api(Workspace.objects.create(name="Theirs", slug="theirs"))


@pytest.fixture
def ann(tenant: Api) -> Api:
    """A key that is bound to a user."""
    return Api(tenant.workspace, user_id="ann")


def client_of(api: Api) -> LangGraphClient:
    """A client with the key of `api`; needs the pool."""
    transport = httpx.ASGITransport(application, raise_app_exceptions=True)
    http = httpx.AsyncClient(transport=transport, base_url="http://test/langgraph", headers={"x-api-key": api.key})
    return LangGraphClient(http)


@pytest.fixture
async def open_door(transactional_db: None) -> AsyncIterator[None]:
    """The pool of this test's event loop, on the test database."""
    await open_pool(size=4)
    yield
    await close_pool()


@pytest.fixture
async def client(tenant: Api, open_door: None) -> AsyncIterator[LangGraphClient]:
    """The official client. The transport gives an answer once it is whole: streams of runs that go on need a server."""
    async with client_of(tenant) as client:
        yield client


@pytest.fixture
async def http(client: LangGraphClient) -> httpx.AsyncClient:
    """What the client speaks over, for requests that it does not make: `await http.post("/threads", json={})`."""
    return client.http.client


@pytest.fixture
async def owner(open_door: None) -> Tenant:
    """A workspace whose runs are carried out by hand (`tests.langgraph.carried`)."""
    return await in_thread(Tenant.make)


@pytest.fixture
async def hand(open_door: None) -> Hand:
    """Who carries them out."""
    return await in_thread(Hand)


@pytest.fixture
async def worker(open_door: None) -> AsyncIterator[Worker]:
    """Who carries out runs by hand, and the hub by which those that wait hear of it."""
    listening = asyncio.create_task(hub().run())
    yield Worker(await in_thread(Hand))
    listening.cancel()
    await asyncio.wait([listening])


@pytest.fixture
async def thread(client: LangGraphClient, tenant: Api) -> str:
    """The id of a thread that no run has used."""

    def open_one() -> str:
        return str(Session.objects.create(id=new_id(), workspace=tenant.workspace).id)

    return await in_thread(open_one)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that the pool is asked from now on."""
    statements: list[str] = []
    execute = AsyncConnection.execute

    async def tell(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        statements.append(str(query))
        return await execute(self, query, *args, **kwargs)

    monkeypatch.setattr(AsyncConnection, "execute", tell)
    return statements
