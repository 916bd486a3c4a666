"""Deleting what was to be there only until its end: ephemeral sessions, and runs that were discarded.

Whoever waits for such a run, or follows it, has some seconds to read how it ended. What somebody else has locked is
left for the next time.
"""

from uuid import UUID

from accounts import audit
from accounts.identity import Identity
from core.batches import in_batches
from core.db import Operation, Query, operation
from runs.deletion import DELETE_SESSIONS, deletion_of_runs
from runs.ending import end_waiting
from runs.lifecycle import ACTIVE, TERMINAL, Status
from runs.services import lock_session_of

READABLE_S = 10
BATCH = 100
BATCHES = 20

# One whose run asks a person has ended, too: nobody else knows of it, and nobody will answer.
_ENDED_SESSIONS = """
SELECT s.id, s.head_run_id FROM sessions s
WHERE s.ephemeral AND s.last_activity_at < clock_timestamp() - make_interval(secs => %(readable_s)s)
    AND (s.head_run_id IS NULL OR s.activity = 'interrupted')
    AND NOT EXISTS (SELECT FROM sessions below WHERE below.parent_id = s.id AND below.parent_id IS NOT NULL
        AND below.head_run_id IS NOT NULL)
ORDER BY s.id LIMIT %(batch)s FOR UPDATE OF s SKIP LOCKED
"""

_BELOW = """
WITH RECURSIVE below AS (
    SELECT id FROM sessions WHERE parent_id = ANY(%(sessions)s)
    UNION ALL SELECT s.id FROM below JOIN sessions s ON s.parent_id = below.id
)
SELECT s.id, s.head_run_id FROM sessions s JOIN below ON below.id = s.id ORDER BY s.id FOR UPDATE OF s
"""

_ENDED_RUNS = """
SELECT r.id FROM runs r JOIN sessions s ON s.id = r.session_id
WHERE r.discarded AND r.status = ANY(%(terminal)s)
    AND r.finished_at < clock_timestamp() - make_interval(secs => %(readable_s)s)
ORDER BY s.id LIMIT %(batch)s FOR UPDATE OF s SKIP LOCKED
"""

_DELETE_RUNS = deletion_of_runs("{0}.id = ANY(%(runs)s)")


def forget(*, readable_s: float = READABLE_S) -> int:
    """Delete what ended `readable_s` seconds ago or earlier; gives how many sessions and runs went."""
    sessions = in_batches(lambda: _forget_sessions(readable_s).run(), BATCH, BATCHES)
    return sessions + in_batches(lambda: _forget_runs(readable_s).run(), BATCH, BATCHES)


@operation(atomic=True)
def _forget_sessions(readable_s: float) -> Operation[int]:
    ended = yield Query(_ENDED_SESSIONS, {"readable_s": readable_s, "batch": BATCH})
    if not ended:
        return 0
    sessions = [row["id"] for row in ended]
    below = yield Query(_BELOW, {"sessions": sessions})
    heads = [row["head_run_id"] for row in ended if row["head_run_id"] is not None]
    yield from end_waiting(heads, Status.SUCCESS, None)
    for statement in DELETE_SESSIONS:
        yield Query(statement, {"sessions": [*sessions, *(row["id"] for row in below)]})
    return len(ended)


@operation(atomic=True)
def _forget_runs(readable_s: float) -> Operation[int]:
    scope = {"readable_s": readable_s, "batch": BATCH, "terminal": list(TERMINAL)}
    ended = yield Query(_ENDED_RUNS, scope)
    for statement in _DELETE_RUNS if ended else ():
        yield Query(statement, {"runs": [row["id"] for row in ended]})
    return len(ended)


@operation(atomic=True)
def discard_run(identity: Identity, run_id: UUID) -> Operation[bool]:
    """Delete a run, and leave what it wrote in its session; one that has not ended is cancelled, and goes then.

    Gives whether it ended or went with this call: what it had in its session's queue is free then. Raises NotFound.
    """
    yield from lock_session_of(identity, run_id)
    active = yield Query(
        "UPDATE runs SET discarded = true, cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()) "
        "WHERE id = %(run)s AND status = ANY(%(active)s) RETURNING status",
        {"run": run_id, "active": list(ACTIVE)},
    )
    yield audit.entry(identity, "deleted", "run", run_id)
    if any(row["status"] == Status.RUNNING for row in active):
        return False
    yield from end_waiting([run_id], Status.CANCELLED, None)
    for statement in _DELETE_RUNS:
        yield Query(statement, {"runs": [run_id]})
    return True
