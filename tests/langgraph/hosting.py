"""A worker for threads that the official client has made: it carries out a run when it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from runs.worker.committer import Committer
from runs.worker.step_commit import StepCommit
from tests.api import Api
from tests.graphs.hosting import Host
from tests.runs.stage import Stage
from tests.runs.worker import Tenant, in_thread, make_worker


class Works:
    """Runs of one graph each, in any thread of a workspace."""

    def __init__(self, tenant: Api, worker: UUID, committer: Committer) -> None:
        self._tenant, self._worker, self._committer = tenant, worker, committer

    async def run(self, thread_id: str, graph: str, given: Any = None, **kwargs: Any) -> StepCommit:
        """A run as the protocol's door accepts it, to its end."""
        return await self._host(thread_id).run(graph, given, **kwargs)

    async def natively(self, thread_id: str, graph: str, given: Any, at: str) -> StepCommit:
        """A run of the native API that begins at a checkpoint of the session, to its end."""
        host = self._host(thread_id)
        await host.accept_native(graph, given, at)
        return await host.carry_out()

    async def accept(self, thread_id: str, graph: str, given: Any = None, **kwargs: Any) -> UUID:
        """One that is not carried out yet."""
        return await self._host(thread_id).accept(graph, given, **kwargs)

    def _host(self, thread_id: str) -> Host:
        # Which assistant is said by each run.
        tenant = Tenant(self._tenant.identity, UUID(int=0))
        return Host(Stage(tenant, UUID(thread_id), self._worker, self._committer))


@asynccontextmanager
async def at_work(tenant: Api) -> AsyncIterator[Works]:
    owner = await in_thread(make_worker)
    committer = Committer(owner, asyncio.Event())
    writing = asyncio.create_task(committer.run())
    yield Works(tenant, owner, committer)
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
