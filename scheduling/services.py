"""Every write to schedules but the firing of their slots. A schedule's row is locked first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts import audit
from accounts.bounds import refuse_one_too_many
from accounts.idempotency import Once, claim
from accounts.identity import Identity
from accounts.scoping import of_workspace
from assistants.spec import run_defaults
from core.clock import isoformat
from core.errors import Conflict, Invalid
from core.ids import new_id
from runs.inputs import check_input
from scheduling import queries, targets
from scheduling.bodies import RULE, ChangeSchedule, CreateSchedule
from scheduling.firing import start_now
from scheduling.models import Schedule
from scheduling.planning import plan
from scheduling.timing import next_slot, read_rule
from webhooks.alerts import resolve_alert
from webhooks.kinds import Kind

# A change of these counts the next slot anew.
_TIMES = (*RULE, "timezone", "end_time", "jitter_s")
# With a change of these a run might not be what its assistant or its session takes.
_RUN = ("session_id", *targets.OF_SESSION, "input")


@dataclass(frozen=True, slots=True)
class LikeLangGraph:
    """What a client of LangGraph's protocol asks for besides, for the runs of a schedule.

    `kwargs`: what it asked for (`payload`), what is stored with each run (`run`), its `multitask_strategy` and
    `durability`, and whose it is (`user_id`). `webhook` is stored as it is, checked by the caller. `ephemeral`: the
    sessions that are opened end with their runs. The session of such a schedule may be another assistant's until then.
    """

    kwargs: dict[str, Any]
    webhook: dict[str, Any] | None = None
    ephemeral: bool = False

    @property
    def given(self) -> dict[str, Any]:
        """As rows hold it."""
        return {"kwargs": self.kwargs, "webhook": self.webhook, "ephemeral": self.ephemeral}


def create_schedule(
    identity: Identity,
    assistant_id: UUID,
    body: CreateSchedule,
    once: Once | None = None,
    besides: LikeLangGraph | None = None,
    schedule_id: UUID | None = None,
) -> Schedule:
    """Let an active assistant run by itself; `schedule_id` is a new id, if its maker has one.

    Raises NotFound, Forbidden (who may not make runs, or another user than the caller's), AssistantNotActive,
    SessionClosed, Conflict (as many schedules as a workspace may have), Invalid, Replayed for a request sent again.
    """
    refuse_who_makes_no_runs(identity)
    schedule = Schedule(
        id=schedule_id or new_id(),
        workspace_id=identity.workspace_id,
        assistant_id=assistant_id,
        created_by=identity.actor,
        **{**body.model_dump(), **({} if besides is None else besides.given)},
    )
    with transaction.atomic():
        claim(once, schedule.id).run()
        targets.require_active(identity, assistant_id)
        most = settings.MAX_SCHEDULES
        refused = f"The workspace has {most} schedules, as many as it may have (AGENT_SERVER_MAX_SCHEDULES)."
        refuse_one_too_many(identity, of_workspace(identity, Schedule.objects.all()), most, refused)
        _refuse_contradiction(schedule)
        _check_run(identity, schedule)
        _set_times(schedule, queries.now().run(), counted_anew=True)
        schedule.save(force_insert=True)
        audit.record(identity, "created", "schedule", schedule.id, name=schedule.name, assistant_id=str(assistant_id))
        return queries.schedule(identity, schedule.id)


def change_schedule(
    identity: Identity, schedule_id: UUID, body: ChangeSchedule, besides: LikeLangGraph | None = None
) -> Schedule:
    """Change what is given. A change of its times counts the next slot anew from now; another leaves it.

    Raises NotFound, Forbidden (who may not make runs, or another user), SessionClosed, Conflict, Invalid.
    """
    refuse_who_makes_no_runs(identity)
    given = {**body.given, **({} if besides is None else besides.given)}
    with transaction.atomic():
        schedule = queries.locked_schedule(identity, schedule_id)
        before = {name: getattr(schedule, name) for name in given.keys() | {*_TIMES, *_RUN}}
        _take_over(schedule, given)
        _refuse_contradiction(schedule)
        if any(getattr(schedule, name) != before[name] for name in _RUN):
            _check_run(identity, schedule)
        changed = {name for name, value in before.items() if getattr(schedule, name) != value}
        now = queries.now().run()
        if changed & {*_TIMES}:
            _set_times(schedule, now, counted_anew=bool(changed & {*RULE}))
        elif "enabled" in changed:
            _begin_or_pause(schedule, now)
        if changed:
            schedule.updated_at = now
            schedule.save(force_update=True)
            audit.record(identity, "updated", "schedule", schedule.id, changed=sorted(changed))
        return queries.schedule(identity, schedule_id)


def pause_schedule(identity: Identity, schedule_id: UUID) -> Schedule:
    """Start no more slots; again without effect. Runs go on. Raises NotFound."""
    return _switch(identity, schedule_id, enabled=False)


def resume_schedule(identity: Identity, schedule_id: UUID) -> Schedule:
    """Go on with the slots from now on; again without effect. What came while it was paused is not made up for.

    Raises NotFound, Forbidden (who may not make runs), Conflict where no slot is left.
    """
    refuse_who_makes_no_runs(identity)
    return _switch(identity, schedule_id, enabled=True)


def trigger_schedule(identity: Identity, schedule_id: UUID, once: Once | None = None) -> UUID:
    """Start a run of the schedule at once; gives its firing's id. As `firing.start_now`, and raises Forbidden, too."""
    refuse_who_makes_no_runs(identity)
    firing_id: UUID = start_now(identity, schedule_id, once)["id"]
    return firing_id


def _switch(identity: Identity, schedule_id: UUID, *, enabled: bool) -> Schedule:
    with transaction.atomic():
        schedule = queries.locked_schedule(identity, schedule_id)
        if schedule.enabled != enabled:
            schedule.enabled, now = enabled, queries.now().run()
            _begin_or_pause(schedule, now)
            schedule.updated_at = now
            schedule.save(force_update=True)
            audit.record(identity, "resumed" if enabled else "paused", "schedule", schedule_id)
        return queries.schedule(identity, schedule_id)


def delete_schedule(identity: Identity, schedule_id: UUID) -> None:
    """Delete a schedule with the history of its slots; its runs stay, and those under way go on. Raises NotFound."""
    with transaction.atomic():
        schedule = queries.locked_schedule(identity, schedule_id)
        name = schedule.name
        schedule.delete()
        # Nothing is there any more that could succeed.
        resolve_alert(identity.workspace_id, Kind.SCHEDULE_FAILED, str(schedule_id)).run()
        audit.record(identity, "deleted", "schedule", schedule_id, name=name)


def refuse_who_makes_no_runs(identity: Identity) -> None:
    """Raise Forbidden for a caller who may not make a run by hand: nor may it by a schedule."""
    identity.require("runs:write")


def _refuse_contradiction(schedule: Schedule) -> None:
    if schedule.skip_if_running and schedule.max_active_runs > 1:
        raise Invalid.at("max_active_runs", message="With skip_if_running there is one at most: set that to false.")


# -- what runs ---------------------------------------------------------------------------------------------------------


def _take_over(schedule: Schedule, given: dict[str, Any]) -> None:
    """Set what is given, and what follows from it: one rule, and one target."""
    if given.keys() & {*RULE}:
        schedule.cron = schedule.interval_s = schedule.at = None
    targets.take_over(schedule, given)


def _check_run(identity: Identity, schedule: Schedule) -> None:
    """Raise what a run by the schedule would be refused with now, and set whose the schedule is."""
    version = targets.settle(identity, schedule)
    check_input(schedule.input, run_defaults(schedule.assistant_id, version).run())


# -- when --------------------------------------------------------------------------------------------------------------


def _set_times(schedule: Schedule, now: datetime, *, counted_anew: bool) -> None:
    """Read the rule and set what follows from now on. Raises Invalid with the reason, also where it is nothing.

    `counted_anew`: an interval begins now.
    """
    rule = read_rule(
        cron=schedule.cron,
        interval_s=schedule.interval_s,
        at=schedule.at,
        timezone=schedule.timezone,
        anchor=now if counted_anew else schedule.anchor,
    )
    schedule.anchor = None if schedule.interval_s is None else rule.anchor
    if schedule.end_time is not None and schedule.end_time <= now:
        raise Invalid.at("end_time", message="It must lie in the future.")
    first = next_slot(rule, now)
    if first is None:
        place = next(name for name in RULE if getattr(schedule, name) is not None)
        raise Invalid.at(place, message="It must lie in the future." if schedule.at else "It would never run.")
    if not plan(schedule, now):
        raise Invalid.at("end_time", message=f"It would never run: its first slot is {isoformat(first)}.")
    if not schedule.enabled:
        _clear(schedule)


def _begin_or_pause(schedule: Schedule, now: datetime) -> None:
    if not schedule.enabled:
        _clear(schedule)
    elif not plan(schedule, now):
        raise Conflict("It has no slot left: give it another rule or end.")


def _clear(schedule: Schedule) -> None:
    schedule.next_slot = schedule.next_run_at = None
