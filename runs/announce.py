"""Telling the web processes that a run changed without a worker: they read its log in PostgreSQL again."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from uuid import UUID

import redis
from django.db import transaction

from core.db import Row
from core.redis import client, key
from runs.doorbell import doorbell
from runs.family import Settled, arun_rounds, rounds, run_rounds
from runs.live import MAX_ENTRIES, STREAM
from runs.notices import stop_after_commit, stop_now, stops_another

log = logging.getLogger(__name__)


def announce(session_id: UUID, run_id: UUID) -> None:
    """Have whoever follows the run or its session look now. Call it after the commit; it blocks for a moment.

    Lost it does no harm: every web process looks by itself some seconds later.
    """
    try:
        client().xadd(
            key(STREAM),
            {"s": str(session_id), "r": str(run_id), "e": "[]"},
            maxlen=MAX_ENTRIES,
            approximate=True,
        )
    except (redis.RedisError, OSError) as error:
        log.warning("A run's end was not announced; its followers will find it by themselves: %s", error)


async def tell_accepted(run: Row) -> None:
    """Wake a worker for a run that is committed, and tell of the runs that ended for it or are to."""
    _ring_for(run)
    if stops_another(run):
        await asyncio.to_thread(stop_now, [run["session_id"]])
    for ended in run["ended"]:
        await asyncio.to_thread(announce, run["session_id"], ended)
    if run["ended"]:
        await look_after(run["ended"])


async def tell_resumed(resumed: Sequence[Row]) -> None:
    """Wake a worker for runs that go on with an answer (rows with `id` and `session_id`), once that is committed."""
    doorbell.ring()
    for row in resumed:
        await asyncio.to_thread(announce, row["session_id"], row["id"])
    await look_after([row["id"] for row in resumed])


async def tell_stopped(ended: Sequence[Row], asked: Sequence[UUID]) -> None:
    """Tell of runs that ended when they were cancelled (rows), and have those stopped that were asked to."""
    if ended:
        doorbell.ring()
        for row in ended:
            await asyncio.to_thread(announce, row["session_id"], row["id"])
        await look_after([row["id"] for row in ended])
    if asked:
        await asyncio.to_thread(stop_now, asked)


def _ring_for(run: Row) -> None:
    # Who may start later only is found by the workers' poll; who ended may have made room for another.
    if run["next_attempt_at"] is None or run["ended"]:
        doorbell.ring()


def announce_accepted_after_commit(run: Row) -> None:
    """The same from a thread, once the run is committed."""
    transaction.on_commit(lambda: _ring_for(run))
    if stops_another(run):
        stop_after_commit([run["session_id"]])
    announce_after_commit(run["session_id"], run["ended"])
    look_after_commit(run["ended"])


def announce_after_commit(session_id: UUID, run_ids: Sequence[UUID]) -> None:
    """Tell of runs that ended or go on, once that is committed; and wake a worker for the session's next run."""

    def tell() -> None:
        doorbell.ring()
        for run_id in run_ids:
            announce(session_id, run_id)

    if run_ids:
        transaction.on_commit(tell)


def announce_rows_after_commit(rows: Sequence[Row]) -> None:
    """The same of runs of several sessions (rows with `id` and `session_id`), and what follows for their relatives."""
    for row in rows:
        announce_after_commit(row["session_id"], [row["id"]])
    look_after_commit([row["id"] for row in rows])


async def tell_removed(ended: Sequence[Row]) -> None:
    """Tell of runs that ended because their sessions were deleted (rows with `id` and `session_id`).

    Call it after the commit: who carries one out stops, who follows one hears that it is gone.
    """
    if ended:
        await asyncio.to_thread(stop_now, [row["id"] for row in ended])
        for row in ended:
            await asyncio.to_thread(announce, row["session_id"], row["id"])
        await look_after([row["id"] for row in ended])


# -- relatives ---------------------------------------------------------------------------------------------------------


async def look_after(runs: Collection[UUID] | None = None) -> bool:
    """Do and tell what follows for the parents and the children of runs that changed; gives whether one may be claimed.

    Without runs, for whichever there is something to do. Call it after the commit; where it is lost, workers do it.
    """
    settled = await arun_rounds(rounds(runs))
    if settled.told or settled.asked:
        await asyncio.to_thread(_tell, settled)
    return settled.ready


def look_after_now(runs: Collection[UUID] | None = None) -> None:
    """The same from a thread."""
    _tell(run_rounds(rounds(runs)))


def look_after_commit(runs: Collection[UUID]) -> None:
    """The same from a thread, once the change is committed."""
    if runs:
        transaction.on_commit(lambda: look_after_now(runs))


def _tell(settled: Settled) -> None:
    if settled.ready:
        doorbell.ring()
    stop_now(settled.asked)
    for row in settled.told:
        announce(row["session_id"], row["id"])
