"""Forgetting what became of slots long ago."""

from core.db import Operation, Query, operation

BATCH = 5_000
BATCHES = 50

# Ids begin with the moment at which they were made: the primary key finds the old ones. What is not counted yet stays.
_FORGET = """
DELETE FROM schedule_firings WHERE id IN (
    SELECT id FROM schedule_firings
    WHERE settled AND id < (SELECT (lpad(to_hex((1000 * age.s)::bigint), 12, '0') || repeat('0', 20))::uuid
        FROM (SELECT extract(epoch FROM now() - make_interval(days => %(days)s)) AS s) AS age)
    ORDER BY id LIMIT %(batch)s
)
RETURNING id
"""


def forget_firings(days: int, *, batch: int = BATCH, batches: int = BATCHES) -> int:
    """Delete firings that are more than `days` days old; gives how many went. 0 days keep everything.

    At most `batch` in a transaction and `batches` of those, the oldest first; the rest waits for the next call.
    """
    gone = 0
    for _ in range(batches if days else 0):
        deleted = _forget(days, batch).run()
        gone += deleted
        if deleted < batch:
            break
    return gone


@operation()
def _forget(days: int, batch: int) -> Operation[int]:
    return len((yield Query(_FORGET, {"days": days, "batch": batch})))
