"""Taking over the runs of workers that are gone.

A free advisory lock is not yet a dead worker: a restart of PostgreSQL frees all of them. Nor is a lease that has run
out: while PostgreSQL is away nobody can renew one. So a worker is lost when its lock is free twice in a row, or its
lease has run out, and neither counts within a lease of the server's own start. One that lives may have a claim under
way as it is declared lost, so those that were lost before are looked at, too. Where its supervisor says that the
process has ended, a free lock is proof at any time, and one look is enough.

Each run that it had is charged a crash and goes back into the queue; one that was alone in it because of its crashes
ends (see `runs.worker.isolation`).
"""

import asyncio
from uuid import UUID

from django.conf import settings

from core.db import Operation, Query, Row, operation
from runs.announce import announce
from runs.lifecycle import TERMINAL, Status, sources
from runs.models import CRASHES_BEFORE_ALONE
from runs.notices import Process
from runs.worker.crashed import end_crashed
from runs.worker.outcomes import Cancelled

CONFIRM_S = 0.15
# PostgreSQL frees the lock of a process that has ended as soon as it finds the connection closed: some milliseconds.
FREED_S, FREED_LOOKS = 0.02, 25
# More events than any step tells before its commit: a successor's numbers start above those that its dead
# predecessor told and never committed.
SEQ_GAP = 100_000

_SUSPECTS = """
SELECT w.id FROM workers w
WHERE w.state <> 'lost' AND (%(pid)s::int IS NULL OR (w.pid = %(pid)s AND w.host = %(host)s))
    AND (%(pid)s::int IS NOT NULL
        OR pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => %(lease_s)s))
    AND (w.lease_expires_at < clock_timestamp() OR NOT EXISTS (
        SELECT FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND ((l.classid::bigint << 32) | l.objid::bigint) = w.lock_key))
UNION ALL
SELECT DISTINCT w.id FROM runs r JOIN workers w ON w.id = r.lease_owner
WHERE r.status = 'running' AND w.state = 'lost'
"""

_LOCK = """
SELECT s.id FROM sessions s WHERE s.id IN (SELECT session_id FROM runs WHERE id = ANY(%(runs)s))
ORDER BY s.id FOR UPDATE
"""

_PUT_BACK = """
WITH freed AS (
    UPDATE runs SET status = 'pending', ready = true, lease_owner = NULL, crashes = crashes + %(charge)s,
        last_seq = last_seq + %(gap)s
    WHERE id = ANY(%(runs)s) AND status = ANY(%(sources)s) AND lease_owner = ANY(%(workers)s) RETURNING *
), told AS (
    INSERT INTO run_events (run_id, seq, event, data, ts)
    SELECT id, last_seq, 'superseded', jsonb_build_object('from_seq', last_seq - %(gap)s + 1, 'to_seq', last_seq - 1,
        'reason', 'rescue'), clock_timestamp() FROM freed
)
SELECT id, session_id, status FROM freed
"""


@operation()
def suspects(died: Process | None = None) -> Operation[set[UUID]]:
    """Workers that look dead at this moment, or were declared lost and hold runs all the same.

    With `died` none but that process's.
    """
    process = {"host": died and died.host, "pid": died and died.pid}
    rows = yield Query(_SUSPECTS, {"lease_s": settings.RUNNER_LEASE_S, **process})
    return {row["id"] for row in rows}


@operation()
def _is_known(process: Process) -> Operation[bool]:
    rows = yield Query(
        "SELECT id FROM workers WHERE pid = %(pid)s AND host = %(host)s AND state <> 'lost'",
        {"host": process.host, "pid": process.pid},
    )
    return bool(rows)


@operation(atomic=True)
def rescue(workers: list[UUID]) -> Operation[list[Row]]:
    """Declare the workers lost, and put their runs back into the queue or end them; gives those runs.

    The guarded UPDATEs of the runs let one of several rescuers do it.
    """
    yield Query(
        "UPDATE workers SET state = 'lost', used = 0 WHERE id = ANY(%(workers)s) AND state <> 'lost'",
        {"workers": workers},
    )
    held = yield Query(
        "SELECT id FROM runs WHERE status = 'running' AND lease_owner = ANY(%(workers)s)", {"workers": workers}
    )
    runs = [row["id"] for row in held]
    yield Query(_LOCK, {"runs": runs})
    ended = yield from end_crashed(runs, workers, alone_after=CRASHES_BEFORE_ALONE, gap=SEQ_GAP)
    return [*ended, *(yield from _put_back(runs, workers, charge=1))]


@operation(atomic=True)
def put_back(worker: UUID, runs: list[UUID]) -> Operation[list[Row]]:
    """Put runs back that the worker holds without carrying them out; nothing is charged. Gives those runs."""
    yield Query(_LOCK, {"runs": runs})
    return (yield from _put_back(runs, [worker], charge=0))


def _put_back(runs: list[UUID], workers: list[UUID], *, charge: int) -> Operation[list[Row]]:
    return (
        yield Query(
            _PUT_BACK,
            {"runs": runs, "workers": workers, "charge": charge, "gap": SEQ_GAP, "sources": sources(Status.PENDING)},
        )
    )


@operation()
def held_by(worker: UUID) -> Operation[dict[UUID, Cancelled | None]]:
    """The runs that the worker holds, and of each how it is to be cancelled, if somebody asked for that."""
    rows = yield Query(
        "SELECT id, cancel_requested_at, superseded FROM runs WHERE lease_owner = %(worker)s AND status = 'running'",
        {"worker": worker},
    )
    return {row["id"]: Cancelled(row["superseded"]) if row["cancel_requested_at"] else None for row in rows}


async def rescue_lost() -> list[Row]:
    """One look around: rescue the runs of workers that are dead for sure."""
    first = await suspects().arun()
    if not first:
        return []
    await asyncio.sleep(CONFIRM_S)
    return await _rescue(first & await suspects().arun())


async def rescue_at_once(died: Process) -> list[Row]:
    """Rescue the runs of a worker whose supervisor saw its process end; gives them, where no other worker did."""
    for _ in range(FREED_LOOKS):
        if dead := await suspects(died).arun():
            return await _rescue(dead)
        if not await _is_known(died).arun():
            break
        await asyncio.sleep(FREED_S)
    return []


async def _rescue(dead: set[UUID]) -> list[Row]:
    if not dead:
        return []
    rescued = await rescue(list(dead)).arun()
    for run in rescued:
        if run["status"] in TERMINAL:
            await asyncio.to_thread(announce, run["session_id"], run["id"])
    return rescued
