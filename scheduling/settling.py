"""How the runs of schedules ended: kept with their firings, and counted in the schedules, which raise alerts by it."""

import logging
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError

from core.clock import isoformat
from core.db import Operation, Query, Row, operation
from core.documents import moment, text
from runs.lifecycle import Status
from scheduling.models import Outcome
from webhooks.alerts import raise_alert, resolve_alert
from webhooks.kinds import Kind

log = logging.getLogger(__name__)

# So many schedules in a round; the rest waits for the next one.
ROUND = 500

# Of a firing `f` with its run `r`, if there is one still: it is to be counted.
HAS_ENDED = "NOT f.settled AND (r.id IS NULL OR r.finished_at IS NOT NULL)"

_ENDED = f"""
SELECT f.schedule_id, array_agg(f.id) AS firings FROM schedule_firings f LEFT JOIN runs r ON r.id = f.run_id
WHERE {HAS_ENDED} GROUP BY f.schedule_id LIMIT %(round)s
"""  # noqa: S608

_LOCK = """
SELECT id, workspace_id, assistant_id, name, alert_after, consecutive_failures, last_status FROM schedules
WHERE id = %(schedule)s FOR UPDATE SKIP LOCKED
"""

# A run that is deleted by now leaves no status, and counts as nothing.
_SETTLE = """
WITH settled AS (
    UPDATE schedule_firings f SET settled = true, run_status = r.status
    FROM schedule_firings same LEFT JOIN runs r ON r.id = same.run_id
    WHERE same.id = f.id AND f.id = ANY(%(firings)s) AND NOT f.settled
    RETURNING f.*, r.session_id, r.error, coalesce(r.finished_at, f.created_at) AS ended_at
)
SELECT * FROM settled ORDER BY ended_at, id
"""

_COUNT = """
UPDATE schedules SET consecutive_failures = %(consecutive_failures)s, last_status = %(last_status)s WHERE id = %(id)s
"""


def settle() -> int:
    """Count the runs of schedules that have ended since; gives how many firings that were.

    A transaction for each schedule. One that fails does not keep the others from theirs; it is tried again. Raises
    what Django does while PostgreSQL cannot be reached.
    """
    settled = 0
    for row in _ended().run():
        try:
            settled += _settle(row["schedule_id"], row["firings"]).run()
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("The ends of runs of the schedule %s could not be counted.", row["schedule_id"])
    return settled


@operation()
def _ended() -> Operation[list[Row]]:
    return (yield Query(_ENDED, {"round": ROUND}))


@operation(atomic=True)
def _settle(schedule_id: UUID, firings: list[UUID]) -> Operation[int]:
    return (yield from count_ends(schedule_id, firings))


def count_ends(schedule_id: UUID, firings: list[UUID]) -> Operation[int]:
    """Count these firings, which have ended, in that order, inside the caller's transaction; gives how many there were.

    None where somebody else has the schedule: they count them, or the next round does.
    """
    locked = yield Query(_LOCK, {"schedule": schedule_id})
    if not locked:
        return 0
    schedule = locked[0]
    ended = yield Query(_SETTLE, {"firings": firings})
    for firing in ended:
        failed_to_start = firing["outcome"] == Outcome.FAILED
        status = firing["outcome"] if failed_to_start else firing["run_status"]
        if status is None:
            continue
        schedule["last_status"] = status
        if status == Status.SUCCESS:
            schedule["consecutive_failures"] = 0
            yield from resolve_alert(schedule["workspace_id"], Kind.SCHEDULE_FAILED, str(schedule_id)).start()
        elif failed_to_start or status in {Status.ERROR, Status.TIMEOUT}:
            schedule["consecutive_failures"] += 1
            yield from _alert(schedule, firing)
    if ended:
        yield Query(_COUNT, {name: schedule[name] for name in ("id", "consecutive_failures", "last_status")})
    return len(ended)


_ORPHANED = """
SELECT workspace_id, subject FROM alerts WHERE kind = %(kind)s AND resolved_at IS NULL
    AND NOT EXISTS (SELECT FROM schedules s WHERE s.id::text = alerts.subject)
"""


@operation(atomic=True)
def resolve_orphans() -> Operation[None]:
    """Close the alerts of schedules that went with their assistant: nothing is there any more that could succeed."""
    for alert in (yield Query(_ORPHANED, {"kind": str(Kind.SCHEDULE_FAILED)})):
        yield from resolve_alert(alert["workspace_id"], Kind.SCHEDULE_FAILED, alert["subject"]).start()


def _alert(schedule: Row, firing: Row) -> Operation[None]:
    """Once in a streak: while the alert is open nothing more is told."""
    count = schedule["consecutive_failures"]
    if count < schedule["alert_after"]:
        return
    reason = firing["reason"] or (firing["error"] or {}).get("message") or firing["run_status"]
    times = "" if count == 1 else f" {count} times in a row"
    yield from raise_alert(
        schedule["workspace_id"],
        Kind.SCHEDULE_FAILED,
        str(schedule["id"]),
        f"The schedule {schedule['name']!r} failed{times}: {reason}",
        _told(schedule, firing),
    )


def _told(schedule: Row, firing: Row) -> dict[str, Any]:
    """What the event says."""
    run = None
    if firing["run_id"] is not None:
        run = {
            "id": str(firing["run_id"]),
            "session_id": text(firing["session_id"]),
            "status": firing["run_status"],
            "error": firing["error"],
        }
    return {
        "schedule": {
            "id": str(schedule["id"]),
            "name": schedule["name"],
            "assistant_id": str(schedule["assistant_id"]),
            "alert_after": schedule["alert_after"],
            "consecutive_failures": schedule["consecutive_failures"],
        },
        "firing": {
            "id": str(firing["id"]),
            "slot": moment(firing["slot"]),
            "outcome": firing["outcome"],
            "reason": firing["reason"] or None,
            "run_id": text(firing["run_id"]),
            "run_status": firing["run_status"],
            "created_at": isoformat(firing["created_at"]),
        },
        "run": run,
    }
