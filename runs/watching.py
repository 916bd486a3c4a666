"""Looking whether runs are carried out at all: no worker alive, and runs that could begin and do not.

Beat looks, because it lives where no worker does (`config.beat`). What it finds opens an alert, and closes it when it
is well again. Several beats do no harm: an alert is open once.
"""

import logging
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings

from core.db import Operation, Query, Row, operation
from runs.pools import WAITING
from runs.queries import live_workers
from webhooks.alerts import raise_alert, resolve_alert
from webhooks.kinds import Kind

log = logging.getLogger(__name__)

# Of each workspace the first run, in the order of claims, that has been waiting for too long though nothing of its own
# holds it back: it heads its session, is due, and its assistant has room. It waits since it was queued, was due, told
# its last event (a retry, a hand-back) or the run before it in its session ended, whichever came last.
_STUCK = f"""
WITH RECURSIVE {WAITING}, takers AS (
    SELECT types, labels, slots - used AS free FROM workers
    WHERE state = 'active' AND lease_expires_at > clock_timestamp()
), bound AS (
    SELECT clock_timestamp() AS now, clock_timestamp() - make_interval(secs => %(patience_s)s) AS at
), is_full AS (
    SELECT a.id FROM assistants a LEFT JOIN runs r ON r.assistant_id = a.id AND r.status = 'running'
    WHERE a.max_concurrent_runs IS NOT NULL GROUP BY a.id HAVING count(r.id) >= a.max_concurrent_runs
)
SELECT w.workspace_id, next.run_id, next.type, next.labels,
    extract(epoch FROM bound.now - next.since)::float8 AS waited_s,
    (SELECT count(*) FROM takers t WHERE (t.types IS NULL OR next.type = ANY(t.types)) AND next.labels <@ t.labels)
        AS workers,
    (SELECT coalesce(sum(t.free), 0)::int FROM takers t
        WHERE (t.types IS NULL OR next.type = ANY(t.types)) AND next.labels <@ t.labels) AS free
FROM waiting w CROSS JOIN bound CROSS JOIN LATERAL (
    SELECT r.id AS run_id, a.type, a.labels, since.at AS since FROM runs r
    JOIN assistants a ON a.id = r.assistant_id
    CROSS JOIN LATERAL (
        SELECT greatest(r.queued_at, r.next_attempt_at,
            (SELECT e.ts FROM run_events e WHERE e.run_id = r.id AND e.seq = r.last_seq),
            (SELECT max(before.finished_at) FROM runs before WHERE before.session_id = r.session_id)) AS at
    ) since
    WHERE r.status = 'pending' AND r.ready AND r.workspace_id = w.workspace_id AND r.queued_at <= bound.at
        AND r.assistant_id NOT IN (SELECT id FROM is_full) AND since.at <= bound.at
    ORDER BY r.priority DESC, r.queued_at, r.id LIMIT 1
) next
WHERE w.workspace_id IS NOT NULL
"""  # noqa: S608 - a constant

_OPEN = "SELECT workspace_id FROM alerts WHERE kind = %(kind)s AND resolved_at IS NULL"


@dataclass
class Watch:
    """What one beat has seen so far. `look` is for its thread alone.

    What is found once may be over the next moment, as between the end of a run and the claim of the one that it kept
    waiting. So an alert takes two looks in a row that find the same.
    """

    is_missing: bool = False  # no worker has been alive for long enough to tell
    missing_since: float | None = None
    seen: set[tuple[UUID, UUID | None]] = field(default_factory=set)

    def look(self, now: float) -> bool:
        """Look once, at the moment `now` of this process's clock; gives whether a worker is alive.

        Raises what an outage of PostgreSQL does. What was not known for a while does not count as missing: workers do
        not reach it then either, and are back some seconds after it is.
        """
        since, self.missing_since = self.missing_since, None
        if live_workers().run():
            self.is_missing = False
            _workers_are_back().run()
            self._look_at_queues()
            return True
        self.seen.clear()
        self.missing_since = now if since is None else since
        missing_s = now - self.missing_since
        self.is_missing = settings.MISSING_WORKERS_S > 0 and missing_s >= settings.MISSING_WORKERS_S
        if self.is_missing:
            _workers_are_missing(missing_s).run()
        return False

    def _look_at_queues(self) -> None:
        patience_s = settings.STUCK_QUEUE_S
        found = _stuck(patience_s).run() if patience_s else []
        seen = {_what(row): row for row in found}
        for row in (row for what, row in seen.items() if what in self.seen):
            _queue_is_stuck(row).run()
        self.seen = set(seen)
        _queues_move(patience_s).run()


def _what(row: Row) -> tuple[UUID, UUID | None]:
    """What two looks have in common. With slots free a run is claimed at once, and another one is another wait."""
    return row["workspace_id"], row["run_id"] if row["free"] > 0 else None


@operation(atomic=True)
def _workers_are_missing(missing_s: float) -> Operation[None]:
    message = f"No worker has been alive for {missing_s:.0f} s: runs wait."
    data = {"missing_s": round(missing_s), "message": message}
    if (yield from raise_alert(None, Kind.WORKERS_MISSING, Kind.WORKERS_MISSING, message, data)):
        log.error("%s", message)


@operation()
def _workers_are_back() -> Operation[None]:
    if (yield from resolve_alert(None, Kind.WORKERS_MISSING, Kind.WORKERS_MISSING).start()):
        log.info("A worker is alive again.")


@operation()
def _stuck(patience_s: float) -> Operation[list[Row]]:
    return (yield Query(_STUCK, {"patience_s": patience_s}))


@operation(atomic=True)
def _queue_is_stuck(row: Row) -> Operation[None]:
    message = f"A run that could begin has been waiting for {row['waited_s']:.0f} s: {_reason(row)}."
    data = {
        "run_id": str(row["run_id"]),
        "waited_s": round(row["waited_s"]),
        "free_slots": row["free"],
        "message": message,
    }
    if (yield from raise_alert(row["workspace_id"], Kind.QUEUE_STUCK, Kind.QUEUE_STUCK, message, data)):
        log.error("The queue of the workspace %s is stuck: %s", row["workspace_id"], message)


def _reason(row: Row) -> str:
    if not row["workers"]:
        labels = f" with the labels {', '.join(row['labels'])}" if row["labels"] else ""
        return f"no worker is alive that takes {row['type']}{labels}"
    if row["free"] > 0:
        return f"{row['free']} slots are free, and no worker takes it"
    return "all slots of the workers that take it are in use"


@operation()
def _queues_move(patience_s: float) -> Operation[None]:
    """Close the alerts of queues in which nothing waits any more for as much as half of what opens one."""
    is_open = yield Query(_OPEN, {"kind": str(Kind.QUEUE_STUCK)})
    if not is_open:
        return
    waiting = (yield Query(_STUCK, {"patience_s": patience_s / 2})) if patience_s else []
    still = {row["workspace_id"] for row in waiting}
    for row in is_open:
        if row["workspace_id"] not in still:
            yield from resolve_alert(row["workspace_id"], Kind.QUEUE_STUCK, Kind.QUEUE_STUCK).start()
