import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest

from core.db import close_pool, open_pool
from core.redis import client
from runs.notices import channel
from runs.pools import COMMON
from runs.worker import runner as worker
from runs.worker.committer import Committer
from runs.worker.runner import Runner
from tests.runs.hand import Hand
from tests.runs.stage import Stage
from tests.runs.worker import Tenant, in_thread, make_worker, until
from tests.servers import Server
from tests.stubs.ledger import Ledger

Turns = list[dict[str, Any]]
NewSession = Callable[..., str]


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger() as running:
        yield running


def make_assistant(server: Server, **config: Any) -> str:
    """An active assistant; gives its id."""
    body = {"name": f"a {uuid4()}", "llm": {"provider": "fake", "model": "echo"}, **config}
    answer = server.client.post("/assistants", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == "active", answer.text
    return str(answer.json()["id"])


def make_session(server: Server, **config: Any) -> str:
    """A session with an assistant of its own; gives its id."""
    answer = server.client.post(f"/assistants/{make_assistant(server, **config)}/sessions")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def scripted(server: Server, turns: Turns, **config: Any) -> str:
    """A session whose model plays the turns."""
    llm = {"provider": "fake", "model": "script", "settings": {"turns": turns}}
    return make_session(server, llm=llm, **config)


@pytest.fixture
def echo_session(server: Server) -> str:
    return make_session(server)


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    return Tenant.make()


@pytest.fixture
def session(tenant: Tenant) -> UUID:
    return tenant.session()


@pytest.fixture
def hand(transactional_db: None) -> Hand:
    return Hand()


@pytest.fixture
async def async_pool(transactional_db: None) -> AsyncIterator[None]:
    """The pool of this test's event loop, on the test database."""
    await open_pool(size=4)
    yield
    await close_pool()


@pytest.fixture
async def runner(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runner]:
    """A worker that looks when it is told, and by itself in an hour."""
    monkeypatch.setattr(worker, "LOOK_AROUND_S", 3_600)
    monkeypatch.setattr(worker, "POLL_S", 3_600)
    runner = Runner(slots=4, pool=COMMON)
    work = asyncio.create_task(runner.run())
    await until(lambda: asyncio.to_thread(client().pubsub_numsub, channel()), [(channel().encode(), 1)])
    yield runner
    await runner.drain(0)
    await work


@pytest.fixture
async def stage(transactional_db: None, async_pool: None) -> AsyncIterator[Stage]:
    tenant = await in_thread(Tenant.make)
    owner = await in_thread(make_worker)
    committer = Committer(owner, asyncio.Event())
    writing = asyncio.create_task(committer.run())
    yield Stage(tenant, await in_thread(tenant.session), owner, committer)
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
