"""Firing: each slot of a schedule gets one firing, however many look at once, and whenever one of them dies.

Whoever has a schedule's row locked acts for it, by what the row says then: who changes, pauses or deletes a schedule
waits for that, or is seen. That a slot has one firing the database keeps, too.

Locks: the assistant, whose deletion takes its schedules along, then the schedule, then what accepting a run takes.
"""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction

from accounts import audit
from accounts.idempotency import Once, claim
from accounts.identity import Identity
from accounts.scoping import parameters_of, visible
from core.db import Operation, Query, Row, operation
from core.errors import NotFound
from core.ids import new_id
from runs.announce import announce_accepted_after_commit
from scheduling.due import Due, reckon
from scheduling.models import Misfire, Outcome, Schedule
from scheduling.planning import plan
from scheduling.settling import HAS_ENDED
from scheduling.starting import Slots, accept_run, keep

log = logging.getLogger(__name__)

# So many schedules in a round; the rest waits for the next one.
ROUND = 500
# In seconds: when a late slot that there was no room for is looked at again, and a schedule that could not be fired.
WAIT_S = 5
RETRY_S = 30

# `statement_timestamp()` and not `clock_timestamp()`: one that stays the same can be sought in the index.
_IS_DUE = "s.enabled AND s.next_run_at <= statement_timestamp()"

_TAKE = f"""
SELECT s.id, w.limits, clock_timestamp() AS now
FROM schedules s JOIN assistants a ON a.id = s.assistant_id JOIN workspaces w ON w.id = s.workspace_id
WHERE {_IS_DUE} ORDER BY s.next_run_at, s.id LIMIT 1
FOR UPDATE OF s SKIP LOCKED FOR KEY SHARE OF a SKIP LOCKED
"""  # noqa: S608

_MOVE_ON = """
UPDATE schedules SET next_slot = %(slot)s, next_run_at = %(run_at)s,
    last_run_at = CASE WHEN %(started)s THEN clock_timestamp() ELSE last_run_at END
WHERE id = %(schedule)s
"""

_TRY_LATER = """
UPDATE schedules s SET next_run_at = clock_timestamp() + make_interval(secs => %(wait_s)s)
WHERE id = %(schedule)s AND s.next_run_at <= statement_timestamp()
"""


_ANYTHING = f"""
SELECT EXISTS (SELECT FROM schedules s WHERE {_IS_DUE}) OR EXISTS (
    SELECT FROM schedule_firings f LEFT JOIN runs r ON r.id = f.run_id WHERE {HAS_ENDED}) AS anything
"""  # noqa: S608


@operation()
def anything_to_do() -> Operation[bool]:
    """Whether a schedule is due, or a run of one has ended and is not counted yet."""
    return bool((yield Query(_ANYTHING))[0]["anything"])


# -- what is due -------------------------------------------------------------------------------------------------------


def fire_due() -> int:
    """Start what is due, a transaction for each schedule; gives how many firings were made.

    What others are about to fire is theirs. A schedule that fails does not keep the others from theirs; it is tried
    again some seconds later. Raises what Django does while PostgreSQL cannot be reached.
    """
    made = 0
    for _ in range(ROUND):
        fired = _fire_next()
        if fired is None:
            break
        made += fired
    return made


def _fire_next() -> int | None:
    """Fire the schedule that has been due for longest; gives how many firings were made, None where none is due."""
    taken: Row | None = None
    try:
        with transaction.atomic():
            taken = _take().run()
            return None if taken is None else _fire(taken["id"], taken["now"], taken["limits"])
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        if taken is None:
            raise
        log.exception("The schedule %s could not be fired.", taken["id"])
        _try_later(taken["id"]).run()
        return 0


def _fire(schedule_id: UUID, now: datetime, workspace_limits: dict[str, int]) -> int:
    schedule = Schedule.objects.get(id=schedule_id)
    reckoning = reckon(schedule, now)
    missed = _keep_missed(schedule_id, reckoning.missed, reckoning.earlier)
    slots = Slots(schedule, workspace_limits)
    waiting = _fire_all(reckoning.starts, slots, waits=schedule.misfire == Misfire.ALL)
    if waiting is None:
        plan(schedule, reckoning.seen)
    else:
        schedule.next_slot, schedule.next_run_at = waiting.slot, now + timedelta(seconds=WAIT_S)
    _move_on(schedule, started=slots.started).run()
    return missed + slots.made


def _fire_all(starts: list[Due], slots: Slots, *, waits: bool) -> Due | None:
    """Fire these in order; gives the first late one that `waits` for room, where there is none."""
    for due in starts:
        if waits and due.late and not slots.room:
            return due
        slots.fire(due.slot)
    return None


def _keep_missed(schedule_id: UUID, slots: list[datetime], earlier: int) -> int:
    """The oldest of them tells how many there were before it."""
    if not slots:
        return 0
    reasons = ["Nobody looked at it in time."] * len(slots)
    if earlier:
        reasons[0] += f" So it was with {earlier} more before it."
    missed = [(new_id(), slot, reason) for slot, reason in zip(slots, reasons, strict=True)]
    return len(keep(schedule_id, Outcome.MISSED, missed).run())


@operation()
def _take() -> Operation[Row | None]:
    taken = yield Query(_TAKE)
    return taken[0] if taken else None


@operation()
def _move_on(schedule: Schedule, *, started: bool) -> Operation[None]:
    yield Query(
        _MOVE_ON,
        {
            "schedule": schedule.id,
            "slot": schedule.next_slot,
            "run_at": schedule.next_run_at,
            "started": started,
        },
    )


@operation()
def _try_later(schedule_id: UUID) -> Operation[None]:
    yield Query(_TRY_LATER, {"schedule": schedule_id, "wait_s": RETRY_S})


# -- what is asked for -------------------------------------------------------------------------------------------------

_LOCK_ASSISTANT = """
SELECT a.id FROM schedules s JOIN assistants a ON a.id = s.assistant_id WHERE s.id = %(schedule)s FOR KEY SHARE OF a
"""

_LOCK = """
SELECT w.limits FROM schedules s JOIN workspaces w ON w.id = s.workspace_id WHERE s.id = %(schedule)s FOR UPDATE OF s
"""

_VISIBLE = f"SELECT s.id FROM schedules s WHERE s.id = %(schedule)s AND {visible('s')}"  # noqa: S608


def start_now(identity: Identity, schedule_id: UUID, once: Once | None = None) -> Row:
    """Start a run of the schedule at once, paused or not, however many it has; gives its firing's row.

    The run counts for the caller's key and workspace. Raises NotFound, what accepting the run does, and Replayed, with
    the firing's id, for a request that is sent again.
    """
    firing_id, run_id = new_id(), new_id()
    with transaction.atomic():
        claim(once, firing_id).run()
        schedule, _ = _locked(schedule_id, identity)
        run = accept_run(schedule, run_id, identity.limits).run()
        (firing,) = keep(schedule_id, Outcome.STARTED, [(firing_id, None, "")], run_id).run()
        _move_on(schedule, started=True).run()
        audit.record(identity, "triggered", "schedule", schedule_id, run_id=str(run_id))
        announce_accepted_after_commit(run)
    return firing


def start_by_clock(schedule_id: UUID) -> None:
    """Start a run of the schedule because a clock other than its own says so: paused or not, and as a slot otherwise.

    Where it has runs enough it is skipped, and where the run is refused that counts as a failure. Raises NotFound.
    """
    with transaction.atomic():
        schedule, limits = _locked(schedule_id)
        slots = Slots(schedule, limits)
        slots.fire(None)
        _move_on(schedule, started=slots.started).run()


def _locked(schedule_id: UUID, identity: Identity | None = None) -> tuple[Schedule, dict[str, int]]:
    """The schedule as it is once it is locked, and its workspace's limits. Raises NotFound where there is none, or
    none that the caller may see."""
    limits = _lock(schedule_id, identity).run()
    return Schedule.objects.get(id=schedule_id), limits


@operation()
def _lock(schedule_id: UUID, identity: Identity | None) -> Operation[dict[str, int]]:
    asked = {"schedule": schedule_id}
    seen = identity is None or (yield Query(_VISIBLE, {**asked, **parameters_of(identity)}))
    if not seen or not (yield Query(_LOCK_ASSISTANT, asked)) or not (locked := (yield Query(_LOCK, asked))):
        raise NotFound("There is no such schedule.")
    limits: dict[str, int] = locked[0]["limits"]
    return limits
