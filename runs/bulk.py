"""Many runs in one request: accepted all or none, and cancelled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts import audit
from accounts.idempotency import Once, claim
from accounts.identity import Identity
from accounts.scoping import in_workspace, parameters_of, visible, visible_run
from core.db import Operation, Query, Row, operation
from core.errors import AppError, FieldError, Invalid, NotFound
from core.ids import new_id
from runs.accepting import accept, accept_with_session
from runs.bodies import BatchedRun, CreateRuns
from runs.ending import end_waiting
from runs.lifecycle import ACTIVE, Status
from runs.limits import take_turns

# Sessions, and so rows, that one transaction of a great cancelling locks.
BATCH = 500
# As many ids of runs that were cancelled at once stand in the audit trail.
AUDITED_IDS = 100

# -- accepting -------------------------------------------------------------------------------------------------------


@operation(atomic=True)
def create_runs(identity: Identity, body: CreateRuns, once: Once | None = None) -> Operation[list[Row]]:
    """Accept all of the runs, or none; gives their rows, in order, as `create_run` does.

    Raises what `create_run` and `create_stateless_run` do: Invalid with places below `runs`, which also stand for
    unknown sessions and assistants; the others say in words which run it is. Replayed for a request sent again.
    """
    ids = [new_id() for _ in body.runs]
    yield from claim(once, *ids).start()
    yield from _lock(identity, body.runs)
    accepted = []
    for index, (run_id, run) in enumerate(zip(ids, body.runs, strict=True)):
        try:
            if run.session_id is not None:
                accepted.append((yield from accept(identity, run.session_id, run, run_id)))
            elif run.assistant_id is not None:
                accepted.append((yield from accept_with_session(identity, run.assistant_id, run, run_id)))
        except AppError as fault:
            raise _of_run(index, fault) from None
    return accepted


def _lock(identity: Identity, runs: Sequence[BatchedRun]) -> Operation[None]:
    """Take all locks in the one order, so that two batches with the same sessions or assistants cannot block."""
    scope = {
        **parameters_of(identity),
        "sessions": list({run.session_id for run in runs if run.session_id}),
        "assistants": list({run.assistant_id for run in runs if run.assistant_id}),
    }
    yield Query(
        f"SELECT id FROM sessions s WHERE s.id = ANY(%(sessions)s) AND {visible('s')} ORDER BY id FOR UPDATE",  # noqa: S608
        scope,
    )
    concerned = yield Query(
        "SELECT id, requests_per_minute, runs_per_day, tokens_per_day FROM assistants a "  # noqa: S608
        f"WHERE {in_workspace('a')} AND (id = ANY(%(assistants)s) "
        f"OR id IN (SELECT assistant_id FROM sessions s WHERE s.id = ANY(%(sessions)s) AND {visible('s')}))",
        scope,
    )
    yield from take_turns(identity, concerned)


def _of_run(index: int, fault: AppError) -> AppError:
    if isinstance(fault, NotFound):
        return Invalid.at("runs", index, "session_id", message=fault.detail)
    if isinstance(fault, Invalid):
        faults = [FieldError(("runs", index, *error.loc), error.message) for error in fault.errors]
        return Invalid(fault.detail, errors=faults or [FieldError(("runs", index), fault.detail)])
    return type(fault)(f"runs[{index}]: {fault.detail}", retry_after=fault.retry_after, limit=fault.limit)


# -- cancelling ------------------------------------------------------------------------------------------------------

# The newest first: the heads of sessions come last, so that none is handed on to a run that is cancelled right after.
_NEXT = f"""
SELECT r.id FROM runs r
WHERE {visible_run("r")} AND r.status = %(status)s AND r.cancel_requested_at IS NULL AND r.created_at <= %(until)s
ORDER BY r.created_at DESC, r.id DESC LIMIT %(batch)s
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Stopped:
    """What a cancelling did: the rows (`id`, `session_id`) of the runs that ended with it, and the runs that are
    carried out and were asked to stop."""

    ended: list[Row]
    asked: list[UUID]

    def __len__(self) -> int:
        return len(self.ended) + len(self.asked)


@operation()
def now() -> Operation[datetime]:
    """The moment; runs that are accepted after it are not concerned by a cancelling that began then."""
    rows = yield Query("SELECT clock_timestamp() AS at")
    moment: datetime = rows[0]["at"]
    return moment


@operation(atomic=True)
def cancel_next(
    identity: Identity, status: Status, until: datetime, *, act: UUID, asked: str
) -> Operation[tuple[Stopped, bool]]:
    """Cancel the newest `BATCH` runs that are in a status and were accepted by `until`.

    `act` is the id of the entry in the audit trail that all batches of one cancelling share, `asked` what it says they
    were cancelled by. Gives what that did, and whether there may be more.
    """
    scope = {
        **parameters_of(identity),
        "status": status,
        "until": until,
        "batch": BATCH,
    }
    found = yield Query(_NEXT, scope)
    stopped = yield from _cancel([row["id"] for row in found])
    if stopped:
        yield audit.tally(act, identity, "cancelled_runs", "workspace", identity.workspace_id, len(stopped), by=asked)
    return stopped, len(found) == BATCH


@operation(atomic=True)
def cancel_these(identity: Identity, runs: Sequence[UUID]) -> Operation[Stopped]:
    """Cancel those of the runs that have not ended; gives what that did.

    Raises Invalid, and cancels none, where one is unknown.
    """
    found = yield Query(
        f"SELECT r.id FROM runs r WHERE {visible_run('r')} AND r.id = ANY(%(runs)s)",  # noqa: S608 - constants
        {**parameters_of(identity), "runs": list(runs)},
    )
    known = {row["id"] for row in found}
    if unknown := [index for index, run in enumerate(runs) if run not in known]:
        message = "There is no such run."
        raise Invalid(message, errors=[FieldError(("ids", index), message) for index in unknown])
    stopped = yield from _cancel(list(known))
    if stopped:
        told = [str(run) for run in runs[:AUDITED_IDS]]
        subject = "workspace", identity.workspace_id
        yield audit.entry(identity, "cancelled_runs", *subject, count=len(stopped), by="ids", ids=told)
    return stopped


def _cancel(runs: list[UUID]) -> Operation[Stopped]:
    yield Query(
        "SELECT id FROM sessions WHERE id IN (SELECT session_id FROM runs WHERE id = ANY(%(runs)s)) "
        "ORDER BY id FOR UPDATE",
        {"runs": runs},
    )
    asked = yield Query(
        "UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()) "
        "WHERE id = ANY(%(runs)s) AND status = ANY(%(active)s) RETURNING id",
        {"runs": runs, "active": list(ACTIVE)},
    )
    ended = yield from end_waiting([row["id"] for row in asked], Status.CANCELLED, None)
    over = {row["id"] for row in ended}
    return Stopped(ended, [row["id"] for row in asked if row["id"] not in over])
