"""Thinning out sessions that nobody has used for long, or that are to keep their latest state only: what was said
stays, how it came about goes.

Of the checkpoints the latest stays, and holds the whole state then; what was said on lines that the session has left
goes with theirs. Of the events of a run its end stays, behind one
that covers the numbers of the others, so that no reader finds a gap. Messages, runs, steps, inputs and outputs stay;
of a message that a run never finished nothing but its events tells, so that it goes.
"""

from collections.abc import Sequence
from uuid import UUID

from core.db import Operation, Query, operation
from sessions.graph_rows import thin_out_graphs

BATCH = 100
# Sessions of one call: a large backlog is spread over several.
MOST = 5_000

# Without an index: it is asked once an hour, and an index on the time of the last use would be paid for by each step.
_IDLE = """
SELECT s.id FROM sessions s
WHERE s.head_run_id IS NULL AND s.last_activity_at < now() - make_interval(days => %(days)s)
    AND EXISTS (SELECT FROM checkpoints c WHERE c.session_id = s.id AND c.id <> s.checkpoint_id)
LIMIT %(most)s
"""

# What is being changed at this moment is in use again. A session without a head has no run that has not ended.
_LOCK = """
SELECT s.id FROM sessions s
WHERE s.id = ANY(%(sessions)s) AND s.head_run_id IS NULL AND s.checkpoint_id IS NOT NULL
    AND s.last_activity_at < now() - make_interval(days => %(days)s)
ORDER BY s.id FOR UPDATE SKIP LOCKED
"""

_PRUNE = [
    """
    UPDATE checkpoints c SET changes = s.state, removed = '[]', parent_id = NULL
    FROM sessions s WHERE s.id = ANY(%(sessions)s) AND c.id = s.checkpoint_id
    """,
    """
    UPDATE runs r SET checkpoint_id = NULL
    FROM sessions s WHERE s.id = ANY(%(sessions)s) AND r.session_id = s.id AND r.checkpoint_id <> s.checkpoint_id
    """,
    """
    DELETE FROM checkpoints c USING sessions s
    WHERE s.id = ANY(%(sessions)s) AND c.session_id = s.id AND c.id <> s.checkpoint_id
    """,
    # Only checkpoints that are gone saw them.
    "DELETE FROM messages m WHERE m.session_id = ANY(%(sessions)s) AND m.dropped_at_step IS NOT NULL",
    # Kept for when a step is carried out again: none of them will be.
    "DELETE FROM run_results k USING runs r WHERE r.session_id = ANY(%(sessions)s) AND k.run_id = r.id",
    # A run's last event is its end; the one before covers all that were before it.
    """
    UPDATE run_events e SET event = 'superseded',
        data = jsonb_build_object('from_seq', 1, 'to_seq', e.seq - 1, 'reason', 'pruned')
    FROM runs r WHERE r.session_id = ANY(%(sessions)s) AND e.run_id = r.id AND e.seq = r.last_seq - 1
        AND EXISTS (SELECT FROM run_events earlier WHERE earlier.run_id = r.id AND earlier.seq < e.seq)
    """,
    """
    DELETE FROM run_events e USING runs r
    WHERE r.session_id = ANY(%(sessions)s) AND e.run_id = r.id AND e.seq < r.last_seq - 1
    """,
]


def prune_idle_sessions(days: int, *, batch: int = BATCH, most: int = MOST) -> int:
    """Thin out sessions that have not been used for `days` days; gives how many. 0 days keep everything.

    At most `most`, `batch` in a transaction; the rest waits for the next call.
    """
    if not days:
        return 0
    idle = _idle(days, most).run()
    return sum(_prune(idle[first : first + batch], days).run() for first in range(0, len(idle), batch))


@operation()
def _idle(days: int, most: int) -> Operation[list[UUID]]:
    return [row["id"] for row in (yield Query(_IDLE, {"days": days, "most": most}))]


@operation(atomic=True)
def _prune(sessions: list[UUID], days: int) -> Operation[int]:
    locked = yield Query(_LOCK, {"sessions": sessions, "days": days})
    if locked:
        yield from thin_out([row["id"] for row in locked])
    return len(locked)


def thin_out(sessions: Sequence[UUID]) -> Operation[None]:
    """Leave the latest of these sessions, none of which has a run that has not ended; the caller has locked them."""
    for statement in _PRUNE:
        yield Query(statement, {"sessions": list(sessions)})
    yield from thin_out_graphs(sessions)
