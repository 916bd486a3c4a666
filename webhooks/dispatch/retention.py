"""Events that are over are forgotten with their deliveries and attempts."""

from core.batches import in_batches
from core.db import Operation, Query, operation

BATCH = 1_000
# A first sweep of a large backlog is spread over several: each batch is a transaction of its own.
BATCHES = 50

# What is still to be sent stays, unless its endpoint is switched off.
_LOCK = """
SELECT v.id FROM webhook_events v
WHERE v.created_at < now() - make_interval(days => %(days)s) AND NOT EXISTS (
    SELECT FROM webhook_deliveries d LEFT JOIN webhook_endpoints e ON e.id = d.endpoint_id
    WHERE d.event_id = v.id AND d.status = 'pending' AND coalesce(e.enabled, true))
ORDER BY v.created_at LIMIT %(batch)s FOR UPDATE OF v SKIP LOCKED
"""
_DELETE = (
    """DELETE FROM webhook_attempts a USING webhook_deliveries d
    WHERE a.delivery_id = d.id AND d.event_id = ANY(%(events)s)""",
    "DELETE FROM webhook_deliveries WHERE event_id = ANY(%(events)s)",
    "DELETE FROM webhook_events WHERE id = ANY(%(events)s)",
)


def forget_old(days: int, *, batch: int = BATCH, batches: int = BATCHES) -> int:
    """Delete what happened more than `days` days ago; gives how many events went."""
    return in_batches(lambda: _forget_batch(days, batch).run(), batch, batches)


@operation(atomic=True)
def _forget_batch(days: int, batch: int) -> Operation[int]:
    locked = yield Query(_LOCK, {"days": days, "batch": batch})
    if locked:
        for statement in _DELETE:
            yield Query(statement, {"events": [row["id"] for row in locked]})
    return len(locked)
