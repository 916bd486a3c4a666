"""Cancelling and ending runs: writes that do not come from a worker's step. `runs.accepting` has the others.

Lock order everywhere: the session's row, then its runs, or the locks of limits (`runs.limits`).
"""

from dataclasses import dataclass
from uuid import UUID

from accounts import audit
from accounts.identity import Identity
from accounts.scoping import in_workspace, of_bound_user, parameters_of, visible
from core.db import Operation, Query, Row, operation
from core.errors import NotFound, RunFinished
from runs.ending import end_runs, end_waiting
from runs.lifecycle import ACTIVE, TERMINAL, Status
from runs.pools import COMMON
from runs.queries import anything_waiting
from sessions.models import Status as SessionStatus

_LOCK = f"""
SELECT s.id AS session_id FROM sessions s
WHERE s.id = (SELECT r.session_id FROM runs r WHERE r.id = %(run)s AND {in_workspace("r")}) AND {of_bound_user("s")}
FOR UPDATE OF s
"""  # noqa: S608


def lock_session_of(identity: Identity, run_id: UUID) -> Operation[None]:
    """Lock the session of a run, inside the caller's transaction. Raises NotFound unless the caller may see it."""
    if not (yield Query(_LOCK, {"run": run_id, **parameters_of(identity)})):
        raise NotFound("There is no such run.")


@operation(atomic=True)
def cancel_run(identity: Identity, run_id: UUID, *, rollback: bool = False, discard: bool = False) -> Operation[str]:
    """Stop a run: one that waits ends at once, one that runs is asked to; gives its status from then on.

    `rollback`: what it wrote is taken out of the session when it ends. `discard`: so is the run itself, soon after.
    Raises NotFound, RunFinished.
    """
    yield from lock_session_of(identity, run_id)
    asked = yield Query(
        "UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()), "
        "rollback = rollback OR %(rollback)s, discarded = discarded OR %(discard)s "
        "WHERE id = %(run)s AND status = ANY(%(active)s) RETURNING status",
        {"run": run_id, "active": list(ACTIVE), "rollback": rollback, "discard": discard},
    )
    if not asked:
        raise RunFinished
    yield audit.entry(identity, "cancelled", "run", run_id, status=asked[0]["status"], rollback=rollback)
    if asked[0]["status"] == Status.RUNNING:
        return str(Status.RUNNING)
    yield from end_waiting([run_id], Status.CANCELLED, None)
    return str(Status.CANCELLED)


@operation(atomic=True)
def give_up(run_id: UUID, worker: UUID, reason: str) -> Operation[None]:
    """End a run whose step PostgreSQL refuses to record, on behalf of the worker that holds it."""
    yield Query(
        "SELECT id FROM sessions WHERE id = (SELECT session_id FROM runs WHERE id = %(run)s) FOR UPDATE",
        {"run": run_id},
    )
    held = yield Query(
        "SELECT id FROM runs WHERE id = %(run)s AND lease_owner = %(worker)s",
        {"run": run_id, "worker": worker},
    )
    error = {"type": "Unrecordable", "code": "internal", "message": reason[:4_000], "retryable": False}
    yield from end_runs([row["id"] for row in held], Status.ERROR, error, [Status.RUNNING])


@dataclass(frozen=True, slots=True)
class Closed:
    """A session that is closed: its row, those that were closed with it, and the rows (`id`, `session_id`) of the runs
    that ended at once. Those that run were asked to stop."""

    session: Row
    sessions: list[UUID]
    ended: list[Row]


_LOCK_SUBAGENTS = """
WITH RECURSIVE below AS (
    SELECT id FROM sessions WHERE parent_id = %(id)s
    UNION ALL SELECT s.id FROM below JOIN sessions s ON s.parent_id = below.id
)
SELECT id FROM sessions WHERE id IN (SELECT id FROM below) ORDER BY id FOR UPDATE
"""


@operation(atomic=True)
def close_session(identity: Identity, session_id: UUID) -> Operation[Closed]:
    """Close the session and those of its sub-agents: unfinished runs are cancelled, the history stays.

    Closed already: as it is. Raises NotFound.
    """
    locked = yield Query(
        f"SELECT * FROM sessions WHERE id = %(id)s AND {visible('sessions')} FOR UPDATE",  # noqa: S608
        {"id": session_id, **parameters_of(identity)},
    )
    if not locked:
        raise NotFound("There is no such session.")
    if locked[0]["status"] != SessionStatus.ACTIVE:
        return Closed(locked[0], [], [])
    sessions = [session_id, *(row["id"] for row in (yield Query(_LOCK_SUBAGENTS, {"id": session_id})))]
    unfinished = yield Query(
        "UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()) "
        "WHERE session_id = ANY(%(sessions)s) AND NOT status = ANY(%(terminal)s) RETURNING id",
        {"sessions": sessions, "terminal": list(TERMINAL)},
    )
    ended = yield from end_waiting([run["id"] for run in unfinished], Status.CANCELLED, None)
    closed = yield Query(
        "UPDATE sessions SET status = 'closed', closed_at = clock_timestamp(), updated_at = clock_timestamp() "
        "WHERE id = ANY(%(sessions)s) AND status = 'active' RETURNING *",
        {"sessions": sessions},
    )
    yield audit.entry(identity, "closed", "session", session_id, runs=len(unfinished))
    return Closed(next(row for row in closed if row["id"] == session_id), sessions, ended)


@operation(atomic=True)
def _end_overdue() -> Operation[None]:
    overdue = yield Query(
        """
        SELECT r.id FROM runs r JOIN sessions s ON s.id = r.session_id
        WHERE r.status = 'pending' AND r.queue_deadline_at < clock_timestamp() AND r.attempt = 0
        ORDER BY s.id, r.created_at LIMIT 100 FOR UPDATE OF s
        """
    )
    error = {
        "type": "QueueTimeout",
        "code": "queue_timeout",
        "message": "No worker was free in time.",
        "retryable": False,
    }
    yield from end_waiting([row["id"] for row in overdue], Status.TIMEOUT, error)


_UNANSWERED = {
    "type": "InterruptExpired",
    "code": "interrupt_expired",
    "message": "Nobody answered in time.",
    "retryable": False,
}


@operation(atomic=True)
def end_unanswered() -> Operation[list[Row]]:
    """Cancel runs that have waited for a person longer than they may; gives the rows that ended.

    Silence approves nothing: what a run asks about is not done.
    """
    late = yield Query(
        """
        SELECT r.id FROM runs r JOIN sessions s ON s.id = r.session_id
        WHERE r.status = 'interrupted' AND r.interrupt_expires_at <= clock_timestamp()
        ORDER BY s.id, r.created_at LIMIT 100 FOR UPDATE OF s
        """
    )
    if not late:
        return []
    # Answered while the lock was waited for, and asking anew, one has time again.
    still = yield Query(
        "SELECT id, workspace_id FROM runs WHERE id = ANY(%(runs)s) AND status = 'interrupted' "
        "AND interrupt_expires_at <= clock_timestamp()",
        {"runs": [row["id"] for row in late]},
    )
    ended = yield from end_waiting([row["id"] for row in still], Status.CANCELLED, _UNANSWERED)
    for row in still:
        yield audit.entry(Identity(row["workspace_id"], frozenset(), "system"), "expired", "run", row["id"])
    return ended


@operation()
def _expire_sessions() -> Operation[None]:
    yield Query(
        "UPDATE sessions SET status = 'expired', updated_at = clock_timestamp() WHERE status = 'active' "
        "AND expires_at < clock_timestamp() AND head_run_id IS NULL AND ttl_strategy IS NULL"
    )


def sweep() -> bool:
    """End runs that waited longer than they may, expire idle sessions; gives whether runs wait for a worker."""
    _end_overdue().run()
    _expire_sessions().run()
    return anything_waiting(COMMON).run()
