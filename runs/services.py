"""Accepting, cancelling and ending runs: every write that does not come from a worker's step.

Lock order everywhere: the session's row, then its runs, or the locks of limits (`runs.limits`). The session's
`head_run_id` names the one run of its queue that may be claimed.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings

from accounts import audit
from accounts.idempotency import Once, claim
from accounts.identity import Identity
from accounts.scoping import in_workspace, of_bound_user, parameters_of, visible
from assistants.models import Status as AssistantStatus
from assistants.spec import RunDefaults, run_defaults
from core.db import BEGIN, Operation, Query, Row, jsonb, operation
from core.errors import AssistantNotActive, Conflict, Invalid, NotFound, RunFinished, SessionBusy, SessionClosed
from runs.backlog import take_place
from runs.bodies import BatchedRun, CreateRun, CreateStatelessRun
from runs.ending import SUPERSEDED, end_runs, end_waiting
from runs.inputs import check_input
from runs.lifecycle import ACTIVE, TERMINAL, Status
from runs.limits import admit, limited_holders
from runs.models import MultitaskStrategy
from runs.pools import COMMON
from runs.queries import anything_waiting
from sessions.bodies import OpenSession
from sessions.models import Status as SessionStatus
from sessions.services import open_session

_BINDING = f"""
SELECT s.status, s.assistant_id, s.assistant_version, s.user_id, s.head_run_id, s.parent_id,
    s.expires_at <= clock_timestamp() AS expired, a.status AS assistant_status, head.status AS head_status,
    a.requests_per_minute, a.runs_per_day, a.tokens_per_day
FROM sessions s LEFT JOIN assistants a ON a.id = s.assistant_id LEFT JOIN runs head ON head.id = s.head_run_id
WHERE s.id = %(session)s AND {visible("s")}
"""  # noqa: S608

# One statement, one commit. The UPDATE takes the session's lock and, having waited for it, sees its latest row:
# of two racing callers exactly one finds the queue empty and becomes its head.
# Where the head has come to ask a person since it was looked at, it is looked at again: else the new run would wait
# behind it.
# A run that may start later only is queued then: by `queued_at` it comes after those that could start before it. Its
# place in its session is by `created_at`.
_INSERT = """
WITH head AS (
    UPDATE sessions SET head_run_id = coalesce(head_run_id, %(id)s), last_activity_at = clock_timestamp(),
        expires_at = CASE WHEN ttl_seconds IS NULL THEN expires_at
            ELSE clock_timestamp() + make_interval(secs => ttl_seconds) END
    WHERE id = %(session)s AND status = 'active' AND (expires_at IS NULL OR expires_at > clock_timestamp())
        AND activity <> 'interrupted' AND assistant_version = %(version)s AND (NOT %(reject)s OR head_run_id IS NULL)
    RETURNING head_run_id
), accepted AS (
    INSERT INTO runs (id, workspace_id, session_id, assistant_id, assistant_version, user_id, api_key_id, status, ready,
        priority, durability, multitask_strategy, retry_policy, timeout_s, metadata, from_checkpoint_id, schedule_id,
        webhook, queued_at, next_attempt_at, queue_deadline_at)
    SELECT %(id)s, %(workspace)s, %(session)s, %(assistant)s, %(version)s, %(user)s, %(key)s, 'pending',
        head.head_run_id = %(id)s, %(priority)s, %(durability)s, %(strategy)s, %(retry_policy)s, %(timeout_s)s,
        %(metadata)s, %(from_checkpoint)s, %(schedule)s, %(webhook)s::jsonb, due.at,
        CASE WHEN %(after_s)s::float8 > 0 THEN due.at END, due.at + make_interval(secs => %(queue_timeout_s)s)
    FROM head, (SELECT clock_timestamp() + make_interval(secs => %(after_s)s::float8) AS at) AS due RETURNING *
), payload AS (
    INSERT INTO run_payloads (run_id, input) SELECT id, %(input)s FROM accepted
)
SELECT accepted.*, %(input)s::jsonb AS input, NULL::jsonb AS output, NULL::jsonb AS steps FROM accepted
"""


@operation()
def create_run(
    identity: Identity, session_id: UUID, body: CreateRun, run_id: UUID, once: Once | None = None
) -> Operation[Row]:
    """Accept a run into the session's queue; gives its row. `runs.announce` tells of it once it is committed.

    With it ends what its `multitask_strategy` says; the row's `ended` has the ids of runs that ended at once.
    `run_id` is a new id; a caller that waits for the run's end listens for it before it exists.
    Raises NotFound, SessionClosed, SessionBusy (`reject`), AssistantNotActive, Invalid (the input, or a checkpoint
    that the session does not have), RateLimited, QuotaExceeded; Replayed for a request that is sent again.
    """
    yield from claim(once, run_id).start()
    return (yield from accept(identity, session_id, body, run_id))


@operation(atomic=True)
def create_stateless_run(
    identity: Identity, body: CreateStatelessRun, run_id: UUID, once: Once | None = None
) -> Operation[Row]:
    """Open a session and accept its first run, both or neither.

    Raises as both do, and Invalid for an unknown assistant: its id stands in the body.
    """
    yield from claim(once, run_id).start()
    return (yield from accept_with_session(identity, body.assistant_id, body, run_id))


def accept_with_session(
    identity: Identity,
    assistant_id: UUID,
    body: CreateStatelessRun | BatchedRun,
    run_id: UUID,
    schedule_id: UUID | None = None,
) -> Operation[Row]:
    """`create_stateless_run` inside the caller's transaction."""
    choice = OpenSession(version=body.version, tag=body.tag, user_id=body.user_id)
    try:
        session = yield from open_session(identity, assistant_id, choice).start()
    except NotFound as unknown:
        raise Invalid.at("assistant_id", message=unknown.detail) from None
    return (yield from accept(identity, session["id"], body, run_id, schedule_id))


def accept(
    identity: Identity, session_id: UUID, body: CreateRun, run_id: UUID, schedule_id: UUID | None = None
) -> Operation[Row]:
    """`create_run` inside the caller's operation. `schedule_id`: which schedule starts it."""
    scope = {
        "id": run_id,
        "schedule": schedule_id,
        "session": session_id,
        **parameters_of(identity),
        "key": next((holder.id for holder in limited_holders(identity) if holder.kind == "key"), None),
    }
    ended: list[UUID] = []
    # A session re-pinned to another version between the two statements, or whose run asks a person since, is read
    # again.
    for _ in range(3):
        found = yield Query(_BINDING, scope)
        if not found:
            raise NotFound("There is no such session.")
        binding = found[0]
        _refuse_unless_open(binding, reject=body.multitask_strategy == "reject")
        defaults = yield from run_defaults(binding["assistant_id"], binding["assistant_version"]).start()
        if body.checkpoint_id is None or body.input is not None:
            check_input(body.input, defaults.input_schema)
        yield from take_place(identity.workspace_id)
        if (unwanted := _superseded_by(body, binding)) is not None:
            yield BEGIN
            ended += yield from _supersede(session_id, unwanted, rollback=body.multitask_strategy == "rollback")
        # After a rollback, which may have taken it out.
        if body.checkpoint_id is not None:
            yield from _refuse_unless_there(session_id, body.checkpoint_id, goes_on=body.input is None)
        yield from admit(identity, session_id, binding)
        rows = yield Query(_INSERT, _insert_parameters(scope, binding, defaults, body))
        if rows:
            return {**rows[0], "ended": ended}
    raise Conflict("The session changed while the run was being accepted; try again.")


def _superseded_by(body: CreateRun, binding: Row) -> list[str] | None:
    """The statuses of the session's runs that the new one ends; None where it waits for its turn behind them."""
    if body.multitask_strategy in {MultitaskStrategy.INTERRUPT, MultitaskStrategy.ROLLBACK}:
        return list(ACTIVE)
    return [Status.INTERRUPTED] if binding["head_status"] == Status.INTERRUPTED else None


_SUPERSEDE = """
UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()), superseded = true,
    rollback = rollback OR %(rollback)s
WHERE session_id = %(session)s AND status = ANY(%(statuses)s) RETURNING id
"""


def _supersede(session_id: UUID, statuses: list[str], *, rollback: bool) -> Operation[list[UUID]]:
    """End the session's runs in these statuses, inside the caller's transaction; gives those that ended at once.

    One that runs is asked to stop; it heads the session until its worker has ended it.
    """
    yield Query("SELECT id FROM sessions WHERE id = %(session)s FOR UPDATE", {"session": session_id})
    unwanted = yield Query(_SUPERSEDE, {"session": session_id, "statuses": statuses, "rollback": rollback})
    ended = yield from end_waiting([row["id"] for row in unwanted], Status.CANCELLED, SUPERSEDED)
    return [row["id"] for row in ended]


def _refuse_unless_open(binding: Row, *, reject: bool) -> None:
    if binding["status"] != SessionStatus.ACTIVE:
        raise SessionClosed(f"The session is {binding['status']}.")
    if binding["expired"]:
        raise SessionClosed("The session is expired.")
    if binding["parent_id"] is not None:
        raise Conflict("The session is a sub-agent's: its runs come from the run that started it.")
    if binding["assistant_id"] is None:
        raise AssistantNotActive("The session has no assistant yet; a run that names one gives it one.")
    if binding["assistant_status"] != AssistantStatus.ACTIVE:
        raise AssistantNotActive(f"The session's assistant is {binding['assistant_status']}.")
    if reject and binding["head_run_id"] is not None:
        raise SessionBusy


def _refuse_unless_there(session_id: UUID, checkpoint_id: UUID, *, goes_on: bool) -> Operation[None]:
    """Raises Invalid where the session has no such checkpoint, or a run that `goes_on` there has nothing to do."""
    found = yield Query(
        "SELECT next FROM checkpoints WHERE id = %(checkpoint)s AND session_id = %(session)s",
        {"checkpoint": checkpoint_id, "session": session_id},
    )
    if not found:
        raise Invalid.at("checkpoint_id", message="The session has no such checkpoint.")
    if goes_on and not found[0]["next"]:
        raise Invalid.at("input", message="There is nothing to go on with at this checkpoint; give an input.")


def _insert_parameters(scope: dict[str, Any], binding: Row, defaults: RunDefaults, body: CreateRun) -> dict[str, Any]:
    overrides = body.retry_policy.model_dump(exclude_none=True) if body.retry_policy else {}
    return {
        **scope,
        "assistant": binding["assistant_id"],
        "version": binding["assistant_version"],
        "user": binding["user_id"],
        "reject": body.multitask_strategy == "reject",
        "priority": defaults.priority if body.priority is None else body.priority,
        "durability": body.durability or defaults.durability,
        "strategy": body.multitask_strategy,
        "retry_policy": jsonb({**defaults.retry_policy, **overrides}),
        "timeout_s": min(body.timeout_s or defaults.run_timeout_s, settings.LONGEST_RUN_S),
        "queue_timeout_s": body.queue_timeout_s or defaults.queue_timeout_s,
        "after_s": body.after_seconds or 0.0,
        "metadata": jsonb(body.metadata),
        "from_checkpoint": body.checkpoint_id,
        "webhook": None if body.webhook is None else jsonb(body.webhook.model_dump()),
        "input": jsonb(body.input),
    }


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
def cancel_run(identity: Identity, run_id: UUID, *, rollback: bool = False) -> Operation[str]:
    """Stop a run: one that waits ends at once, one that runs is asked to; gives its status from then on.

    `rollback`: what it wrote is taken out of the session when it ends.
    Raises NotFound, RunFinished.
    """
    yield from lock_session_of(identity, run_id)
    asked = yield Query(
        "UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()), "
        "rollback = rollback OR %(rollback)s WHERE id = %(run)s AND status = ANY(%(active)s) RETURNING status",
        {"run": run_id, "active": list(ACTIVE), "rollback": rollback},
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
