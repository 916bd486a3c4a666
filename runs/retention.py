"""Deleting sessions that ended long ago, with their runs and all that is in them, for good.

Those of their sub-agents go with them.

A session that has ended takes no new run, so that one without a head has no run that is not over. What somebody else
has locked (it is being changed, or deleted with its assistant) is left for the next time.
"""

from core.batches import in_batches
from core.db import Operation, Query, operation
from runs.deletion import DELETE_SESSIONS, LOCK_SUBAGENTS

BATCH = 100
# A first sweep of a large backlog is spread over several: each batch is a transaction of its own.
BATCHES = 50

# `now()` and the statuses as they stand in the index `session_ended`, or it could not be used.
_LOCK = """
SELECT s.id FROM sessions s
WHERE s.status IN ('closed', 'expired') AND s.head_run_id IS NULL AND s.parent_id IS NULL
    AND coalesce(s.closed_at, s.expires_at) < now() - make_interval(days => %(days)s)
    AND NOT EXISTS (SELECT FROM runs r WHERE r.session_id = s.id AND r.finished_at IS NULL)
ORDER BY coalesce(s.closed_at, s.expires_at) LIMIT %(batch)s FOR UPDATE OF s SKIP LOCKED
"""


def delete_ended_sessions(days: int, *, batch: int = BATCH, batches: int = BATCHES) -> int:
    """Delete sessions that have been closed or expired for more than `days` days; gives how many went.

    At most `batch` in a transaction and `batches` of those, the ones that ended first; the rest waits for the next
    call. 0 days keep everything.
    """
    return in_batches(lambda: _delete_batch(days, batch).run(), batch, batches) if days else 0


@operation(atomic=True)
def _delete_batch(days: int, batch: int) -> Operation[int]:
    locked = yield Query(_LOCK, {"days": days, "batch": batch})
    if not locked:
        return 0
    below = yield Query(LOCK_SUBAGENTS, {"sessions": [row["id"] for row in locked]})
    # A sub-agent that is told to stop and has not done so yet keeps its whole family for the next time.
    roots = {row["id"] for row in locked} - {row["root"] for row in below if row["busy"]}
    sessions = [*roots, *(row["id"] for row in below if row["root"] in roots)]
    for statement in DELETE_SESSIONS:
        yield Query(statement, {"sessions": sessions})
    return len(locked)
