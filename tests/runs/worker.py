"""Rows for tests of the worker, and claims without a running loop around them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection

from accounts.identity import Identity
from accounts.models import Workspace
from assistants.models import Assistant
from assistants.services import create_assistant
from core.db import Row, pool
from core.ids import new_id
from runs.accepting import Besides, create_run
from runs.bodies import CreateRun
from runs.lifecycle import Status, sources
from runs.models import Worker
from runs.pools import COMMON, Pool
from runs.worker.claim import claim
from runs.worker.step_commit import StepCommit
from sessions.bodies import OpenSession
from sessions.services import open_session

T = TypeVar("T")


@dataclass
class Tenant:
    """A workspace with an assistant; makes sessions and runs as a client would."""

    identity: Identity
    assistant: UUID

    @classmethod
    def make(cls, name: str = "tenant", **config: Any) -> "Tenant":
        workspace = Workspace.objects.create(name=name, slug=f"{name}-{new_id()}")
        identity = Identity(workspace.id, frozenset({"*"}), "key:test")
        body = {"name": "assistant", "llm": {"provider": "fake", "model": "echo"}, **config}
        create_assistant(identity, body)
        return cls(identity, Assistant.objects.get(workspace=workspace).id)

    def session(self) -> UUID:
        row: Row = open_session(self.identity, self.assistant, OpenSession()).run()
        return UUID(str(row["id"]))

    def run(self, session: UUID | None = None, **body: Any) -> UUID:
        row = create_run(
            self.identity, session or self.session(), CreateRun(input={"message": "hi"}, **body), new_id()
        ).run()
        return UUID(str(row["id"]))

    def langgraph_run(self, session: UUID | None = None, *, kwargs: Row | None = None, **body: Any) -> UUID:
        """A run as a client of LangGraph's protocol starts it."""
        besides = Besides(self.assistant, kwargs or {})
        given = CreateRun(input={"message": "hi"}, **body)
        row = create_run(self.identity, session or self.session(), given, new_id(), besides=besides).run()
        return UUID(str(row["id"]))


def make_worker(lease_s: float = 60) -> UUID:
    """A worker's row without a process behind it."""
    from django.utils import timezone

    worker = Worker.objects.create(
        host="test", pid=1, lock_key=1, slots=10, lease_expires_at=timezone.now() + timezone.timedelta(seconds=lease_s)
    )
    return worker.id


async def claim_with(worker: UUID, slots: int = 10, takes: Pool = COMMON, *, alone: bool = False) -> list[Row]:
    async with pool().connection() as conn:
        return await claim(conn, worker, takes, slots, sources(Status.RUNNING), alone=alone)


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """What Django's connection is for, from an event loop; the thread keeps none."""

    def call() -> T:
        try:
            return function(*arguments)
        finally:
            connection.close()

    return await asyncio.to_thread(call)


async def until(question: Callable[[], Awaitable[Any]], expected: Any) -> None:
    """Ask until the answer is this."""
    async with asyncio.timeout(10):
        while await question() != expected:  # noqa: ASYNC110 - what changes is in another process
            await asyncio.sleep(0.01)


async def rows(sql: str, **params: Any) -> list[Row]:
    async with pool().connection() as conn:
        return await (await conn.execute(sql, params)).fetchall()


async def one(sql: str, **params: Any) -> Row:
    found = await rows(sql, **params)
    assert len(found) == 1
    return found[0]


def ending(claimed: Row, status: Status = Status.SUCCESS) -> StepCommit:
    """The commit that ends a claimed run at once."""
    run = {
        "base_seq": claimed["last_seq"],
        "last_seq": claimed["last_seq"] + 1,
        "step_count": claimed["step_count"] + 1,
        "model_calls": 0,
        "input_tokens": 0,
        "output_tokens": 0,
        "cost_usd": None,
        "failures": 0,
        "checkpoint_id": None,
        "message_start": 0,
    }
    event = {
        "run_id": str(claimed["id"]),
        "seq": claimed["last_seq"] + 1,
        "event": "end",
        "data": {},
        "ts": "2026-01-01T00:00:00Z",
    }
    session = {"message_count": 0, "step": 0, "checkpoint_id": None, "state": None}
    return StepCommit(
        run_id=str(claimed["id"]),
        session_id=str(claimed["session_id"]),
        epoch=claimed["epoch"],
        run=run,
        session=session,
        status=status,
        events=[event],
    )
