"""Claiming: which deliveries are sent next.

Fair between destinations: the one with the fewest under way is served first, and none has more than its share of them,
so that one that does not answer holds its own places only. All claims take turns under one advisory lock, so that a
share of 4 is 4 over all processes. A claim is a lease: where its owner dies, the delivery is due again at its end.
"""

from uuid import UUID

import psycopg

from core.db import Operation, Query, Row, operation

CLAIM_LOCK = 0x61_67_65_6E_74_02

# A loose index scan finds the destinations that have pending deliveries without reading these; of each a lateral top-k
# takes no more than its share. Those that are left alone or switched off are left out as destinations, so that what
# waits for them, however much, is not read. `next_attempt_at` of one under way is the end of its lease.
# Where it is compared with a moment that stays the same, it is sought in the index.
_DUE = """
WITH RECURSIVE waiting AS (
    (SELECT destination, endpoint_id FROM webhook_deliveries WHERE status = 'pending' ORDER BY destination LIMIT 1)
    UNION ALL
    SELECT next.* FROM waiting w CROSS JOIN LATERAL (
        SELECT d.destination, d.endpoint_id FROM webhook_deliveries d
        WHERE d.status = 'pending' AND d.destination > w.destination ORDER BY d.destination LIMIT 1) next
), open AS (
    SELECT w.destination, CASE WHEN e.failures > 0 THEN 1 ELSE %(share)s END AS share
    FROM waiting w LEFT JOIN webhook_endpoints e ON e.id = w.endpoint_id
    WHERE e.id IS NULL OR (e.enabled AND (e.not_before IS NULL OR e.not_before <= statement_timestamp()))
), due AS (
    SELECT d.*, o.share FROM open o CROSS JOIN LATERAL (
        SELECT d.id, d.destination, d.next_attempt_at FROM webhook_deliveries d
        WHERE d.status = 'pending' AND d.destination = o.destination AND NOT d.manual
            AND d.next_attempt_at <= statement_timestamp()
            AND (d.lease_expires_at IS NULL OR d.lease_expires_at <= statement_timestamp())
        ORDER BY d.next_attempt_at LIMIT o.share) d
    UNION ALL
    (SELECT d.id, d.destination, d.next_attempt_at, %(share)s FROM webhook_deliveries d
    WHERE d.status = 'pending' AND d.manual AND d.next_attempt_at <= statement_timestamp()
        AND (d.lease_expires_at IS NULL OR d.lease_expires_at <= statement_timestamp())
    ORDER BY d.next_attempt_at LIMIT %(places)s)
)
"""

_CLAIM = f"""
{_DUE}, ranked AS (
    SELECT due.*, under_way.count + row_number() OVER (
        PARTITION BY due.destination ORDER BY due.next_attempt_at, due.id) AS turn
    FROM due CROSS JOIN LATERAL (
        SELECT count(*) FROM webhook_deliveries u WHERE u.destination = due.destination
            AND u.lease_owner IS NOT NULL AND u.lease_expires_at > statement_timestamp()) under_way
), chosen AS (
    SELECT id FROM ranked WHERE turn <= share ORDER BY turn, next_attempt_at, id LIMIT %(places)s
), locked AS (
    SELECT id FROM webhook_deliveries WHERE id IN (SELECT id FROM chosen) AND status = 'pending'
    FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE webhook_deliveries d SET lease_owner = %(owner)s,
        lease_expires_at = statement_timestamp() + make_interval(secs => %(lease_s)s),
        next_attempt_at = statement_timestamp() + make_interval(secs => %(lease_s)s)
    FROM locked WHERE d.id = locked.id RETURNING d.*
)
SELECT c.id, c.workspace_id, c.event_id, c.endpoint_id, c.kind, c.secret_env, c.destination, c.attempt_count,
    c.max_attempts, c.manual, coalesce(e.url, c.url) AS url, e.id IS NULL AND c.endpoint_id IS NOT NULL AS orphaned,
    coalesce(e.headers, '{{}}') AS headers, e.retry_delays_s, e.name AS endpoint_name,
    e.sealed_secret, CASE WHEN e.previous_until > clock_timestamp() THEN e.previous_secret END AS previous_secret,
    event.body, CASE WHEN event.body IS NULL THEN event.data END AS data, event.run_id,
    event.data->>'told_as' AS told_as, event.created_at AS happened_at,
    clock_timestamp() AS claimed_at
FROM claimed c JOIN webhook_events event ON event.id = c.event_id
LEFT JOIN webhook_endpoints e ON e.id = c.endpoint_id
"""  # noqa: S608 - constants

_RELEASE = """
UPDATE webhook_deliveries SET lease_owner = NULL, lease_expires_at = NULL, next_attempt_at = clock_timestamp()
WHERE lease_owner = %(owner)s AND status = 'pending'
"""

ONE = {"share": 1, "places": 1}
_ANYTHING = f"{_DUE} SELECT id FROM due LIMIT 1"  # noqa: S608 - constants

# Public for `doctor`, which asks by itself.
BACKLOG = f"""
{_DUE} SELECT (SELECT count(*) FROM webhook_deliveries WHERE status = 'pending') AS pending,
    coalesce(max(extract(epoch FROM statement_timestamp() - next_attempt_at)), 0)::float8 AS oldest_due_age_s FROM due
"""  # noqa: S608 - constants


async def claim(
    conn: psycopg.AsyncConnection[Row], owner: UUID, places: int, *, share: int, lease_s: float
) -> list[Row]:
    """Claim up to `places` deliveries; gives all that an attempt needs.

    `share`: so many are under way to one destination at most, over all processes; to an endpoint that fails, one.
    """
    parameters = {"owner": owner, "places": places, "share": share, "lease_s": lease_s}
    async with conn.pipeline(), conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock(%(key)s)", {"key": CLAIM_LOCK})
        cursor = await conn.execute(_CLAIM, parameters)
    return await cursor.fetchall()


@operation()
def release(owner: UUID) -> Operation[None]:
    """Give up what this owner has on lease, unsent: it is due at once."""
    yield Query(_RELEASE, {"owner": owner})


@operation()
def anything_due() -> Operation[bool]:
    """Whether a claim would find something, apart from the shares."""
    return bool((yield Query(_ANYTHING, ONE)))


@operation()
def backlog() -> Operation[Row]:
    """`pending`: how many deliveries wait, also for a later attempt; `oldest_due_age_s`: for how long the oldest has
    been due that could be sent now, 0 if none is."""
    (row,) = yield Query(BACKLOG, ONE)
    return row
