"""The one writer of a worker: steps that end at the same moment share a transaction, and so a disk flush."""

import asyncio
import logging
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from core.db import pool
from runs.worker.commit import commit_steps, written_before
from runs.worker.outcomes import Cancelled
from runs.worker.step_commit import StepCommit

log = logging.getLogger(__name__)

MAX_BATCH = 64
RETRY_S = 0.5


class LeaseLost(Exception):
    """The run is not this worker's to end any more: whatever it still has to write is refused."""


class MustCancel(Exception):
    """The run was about to end otherwise than cancelled, and is to be: nothing of the commit is written."""

    def __init__(self, how: Cancelled):
        super().__init__("The run is to be cancelled.")
        self.how = how


class Committer:
    """Takes steps from many runs and commits them batch by batch; while one batch is on its way the next gathers."""

    def __init__(self, worker: UUID, on_promoted: "asyncio.Event"):
        self._worker = worker
        self._on_promoted = on_promoted
        self._waiting: list[tuple[StepCommit, asyncio.Future[Cancelled | None]]] = []
        self._wake = asyncio.Event()

    async def submit(self, commit: StepCommit) -> Cancelled | None:
        """Write the step; gives how the run is to be cancelled, if somebody asked for that.

        Raises LeaseLost, or MustCancel where the step ends the run otherwise. Returns only when the step is on disk; an
        outage of the database is waited out here.
        """
        done: asyncio.Future[Cancelled | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((commit, done))
        self._wake.set()
        return await done

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while batch := self._waiting[:MAX_BATCH]:
                del self._waiting[:MAX_BATCH]
                await self._commit(batch)

    async def _commit(self, batch: list[tuple[StepCommit, "asyncio.Future[Cancelled | None]"]]) -> None:
        commits = [commit for commit, _ in batch]
        unsure = False
        while True:
            try:
                async with pool().connection() as conn:
                    before = await written_before(conn, self._worker, commits) if unsure else frozenset()
                    committed = await commit_steps(conn, self._worker, commits)
                break
            except (psycopg.OperationalError, PoolTimeout) as error:
                log.warning("Waiting for PostgreSQL to commit %d steps: %s", len(batch), error)
                unsure = True
                await asyncio.sleep(RETRY_S)
            except (psycopg.Error, TypeError) as error:  # TypeError: what an agent made is not JSON
                if len(batch) == 1:
                    _resolve(batch[0][1], error)
                    return
                # One run's bad row must not take its neighbours down: each on its own.
                for item in batch:
                    await self._commit([item])
                return
        for commit, done in batch:
            if commit.run_id in committed.ours or commit.run_id in before:
                _resolve(done, committed.cancelled.get(commit.run_id))
            else:
                how = committed.refused.get(commit.run_id)
                _resolve(done, LeaseLost() if how is None else MustCancel(how))
        if committed.promoted:
            self._on_promoted.set()


def _resolve(done: "asyncio.Future[Cancelled | None]", outcome: Cancelled | Exception | None) -> None:
    if done.done():  # its run was cancelled meanwhile
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
