"""Sessions that go, or lose their past, because somebody asks for it or because their time to live is over.

Where somebody asks, runs that have not ended are ended first: a worker that carries one out finds it gone with its next
step, and writes nothing. A time to live waits for runs to end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from accounts import audit
from accounts.identity import Identity
from accounts.scoping import parameters_of, visible
from core.batches import in_batches
from core.db import Operation, Query, Row, operation
from runs.deletion import DELETE_SESSIONS, LOCK_SUBAGENTS
from runs.ending import end_runs
from runs.lifecycle import ACTIVE, Status
from runs.pruning import thin_out

BATCH = 100
# A first sweep of a large backlog is spread over several: each batch is a transaction of its own.
BATCHES = 50

_LOCK = f"""
SELECT s.id FROM sessions s WHERE s.id = ANY(%(sessions)s) AND s.parent_id IS NULL AND {visible("s")}
ORDER BY s.id FOR UPDATE
"""  # noqa: S608

_ACTIVE = "SELECT id FROM runs WHERE session_id = ANY(%(sessions)s) AND status = ANY(%(active)s)"


@dataclass(frozen=True, slots=True)
class Removed:
    """The sessions that are gone, those of their sub-agents left out, and the rows (`id`, `session_id`) of the runs
    that ended with them, of which workers may carry out some."""

    sessions: list[UUID]
    ended: list[Row]


@operation(atomic=True)
def delete_sessions(identity: Identity, sessions: Sequence[UUID]) -> Operation[Removed]:
    """Delete those of these sessions that the caller sees, for good, with all that is in them and their sub-agents'.

    Whoever carries out one of their runs is to be told after the commit (`runs.announce.tell_removed`).
    """
    found = [row["id"] for row in (yield Query(_LOCK, {"sessions": list(sessions), **parameters_of(identity)}))]
    if not found:
        return Removed([], [])
    below = yield Query(LOCK_SUBAGENTS, {"sessions": found})
    everything = [*found, *(row["id"] for row in below)]
    unfinished = yield Query(_ACTIVE, {"sessions": everything, "active": list(ACTIVE)})
    ended = yield from end_runs([row["id"] for row in unfinished], Status.CANCELLED, None, list(ACTIVE))
    for statement in DELETE_SESSIONS:
        yield Query(statement, {"sessions": everything})
    for session_id in found:
        yield audit.entry(identity, "deleted", "session", session_id, runs=len(ended))
    return Removed(found, ended)


@operation(atomic=True)
def keep_latest(identity: Identity, sessions: Sequence[UUID]) -> Operation[list[UUID]]:
    """Leave the latest state of those of these sessions that the caller sees and that have no run under way.

    Gives which those are: of one that had no past already nothing goes.
    """
    locked = yield Query(
        f"{_LOCK.replace('ORDER BY', 'AND s.head_run_id IS NULL ORDER BY')}",
        {"sessions": list(sessions), **parameters_of(identity)},
    )
    found = [row["id"] for row in locked]
    if found:
        yield from thin_out(found)
        for session_id in found:
            yield audit.entry(identity, "pruned", "session", session_id)
    return found


# -- times to live -----------------------------------------------------------------------------------------------------

# `status` and `expires_at` as they stand in the index `session_expiring`.
_OVER = """
SELECT s.id FROM sessions s
WHERE s.status = 'active' AND s.expires_at IS NOT NULL AND s.expires_at < clock_timestamp()
    AND s.ttl_strategy = %(strategy)s AND s.head_run_id IS NULL AND s.parent_id IS NULL
ORDER BY s.expires_at LIMIT %(batch)s FOR UPDATE OF s SKIP LOCKED
"""


def end_times_to_live() -> int:
    """Do what is to become of sessions whose time is over, but for those that merely expire; gives of how many."""
    deleted = in_batches(lambda: _delete_batch().run(), BATCH, BATCHES)
    return deleted + in_batches(lambda: _thin_out_batch().run(), BATCH, BATCHES)


@operation(atomic=True)
def _delete_batch() -> Operation[int]:
    over = [row["id"] for row in (yield Query(_OVER, {"strategy": "delete", "batch": BATCH}))]
    below = (yield Query(LOCK_SUBAGENTS, {"sessions": over})) if over else []
    # A sub-agent that is told to stop and has not done so yet keeps its whole family for the next time.
    roots = set(over) - {row["root"] for row in below if row["busy"]}
    gone = [*roots, *(row["id"] for row in below if row["root"] in roots)]
    for statement in DELETE_SESSIONS if gone else ():
        yield Query(statement, {"sessions": gone})
    return len(over)


@operation(atomic=True)
def _thin_out_batch() -> Operation[int]:
    over = [row["id"] for row in (yield Query(_OVER, {"strategy": "keep_latest", "batch": BATCH}))]
    if over:
        yield from thin_out(over)
        # Its next run gives it another time to live.
        yield Query("UPDATE sessions SET expires_at = NULL WHERE id = ANY(%(sessions)s)", {"sessions": over})
    return len(over)
