"""Forgetting what became of slots, and of triggers' calls, long ago."""

from core.batches import in_batches
from core.db import Operation, Query, operation

BATCH = 5_000
BATCHES = 50
# Of each table, what may go. A firing that is not counted yet stays.
FIRINGS, CALLS = ("schedule_firings", "settled"), ("trigger_calls", "true")

# Ids begin with the moment at which they were made: the primary key finds the old ones.
_FORGET = """
DELETE FROM {table} WHERE id IN (
    SELECT id FROM {table}
    WHERE {may_go} AND id < (SELECT (lpad(to_hex((1000 * age.s)::bigint), 12, '0') || repeat('0', 20))::uuid
        FROM (SELECT extract(epoch FROM now() - make_interval(days => %(days)s)) AS s) AS age)
    ORDER BY id LIMIT %(batch)s
)
RETURNING id
"""


def forget_firings(days: int, *, batch: int = BATCH, batches: int = BATCHES) -> int:
    """Delete firings that are more than `days` days old; gives how many went. 0 days keep everything.

    At most `batch` in a transaction and `batches` of those, the oldest first; the rest waits for the next call.
    """
    return _forget_all(*FIRINGS, days, batch, batches)


def forget_calls(days: int, *, batch: int = BATCH, batches: int = BATCHES) -> int:
    """The same of triggers' calls: a delivery that is sent again after that is another one."""
    return _forget_all(*CALLS, days, batch, batches)


def _forget_all(table: str, may_go: str, days: int, batch: int, batches: int) -> int:
    statement = _FORGET.format(table=table, may_go=may_go)
    return in_batches(lambda: _forget(statement, days, batch).run(), batch, batches) if days else 0


@operation()
def _forget(statement: str, days: int, batch: int) -> Operation[int]:
    return len((yield Query(statement, {"days": days, "batch": batch})))
