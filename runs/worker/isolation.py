"""Runs that may take their process with them are carried out alone.

A worker that dies charges a crash to each run that was in it, because nobody knows whose it was. One with two crashes
at its present step is a suspect: only a worker without other runs claims it, and that claims no others until the step
is committed. If it dies too, the crash was the suspect's own.

So that a suspect gets its turn while all workers are busy, one of them makes room: the one that carries out the
fewest runs claims no more, and after a while has its runs go on elsewhere from their next step.
"""

from uuid import UUID

from core.db import Operation, Query, operation
from runs.models import CRASHES_BEFORE_ALONE
from runs.pools import BARRED, Pool

# How long the worker that makes room waits for its runs to end before it sends them elsewhere, in seconds.
PATIENCE_S = 10.0

# No reservation that somebody would have to release: all workers come to the same answer. Ordered as its index is.
_MINE = f"""
WITH suspect AS (
    SELECT r.id, a.type, a.labels FROM runs r JOIN assistants a ON a.id = r.assistant_id
    WHERE r.status = 'pending' AND r.ready AND r.crashes >= {CRASHES_BEFORE_ALONE}
        AND (r.next_attempt_at IS NULL OR r.next_attempt_at <= clock_timestamp())
        AND r.assistant_id NOT IN ({BARRED})
        AND (a.max_concurrent_runs IS NULL OR a.max_concurrent_runs > (
            SELECT count(*) FROM runs b WHERE b.assistant_id = a.id AND b.status = 'running'))
    ORDER BY r.queued_at, r.id LIMIT 1
), emptiest AS (
    SELECT w.id FROM suspect JOIN workers w ON w.state = 'active' AND w.lease_expires_at > clock_timestamp()
        AND suspect.labels <@ w.labels AND (w.types IS NULL OR suspect.type = ANY(w.types))
    ORDER BY (SELECT count(*) FROM runs b WHERE b.lease_owner = w.id AND b.status = 'running'), w.id LIMIT 1
)
SELECT id FROM emptiest WHERE id = %(worker)s
"""  # noqa: S608 - constants


@operation()
def is_to_make_room(worker: UUID, pool: Pool) -> Operation[bool]:
    """Whether a suspect waits, and this worker is the one to become empty for it."""
    return bool((yield Query(_MINE, {"worker": worker, **pool.parameters})))
