"""One slot of a schedule becomes a firing: its row, and the run that is accepted in the row's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.identity import Identity
from accounts.limits import Holder, holders
from core.db import Operation, Query, Row, operation
from core.errors import AppError
from core.ids import new_id
from core.validation import validate
from runs.accepting import Besides, NewSession, accept, accept_with_session
from runs.announce import announce_accepted_after_commit
from runs.bodies import CreateRun, CreateStatelessRun
from scheduling.models import Outcome, Schedule
from scheduling.settling import count_ends

_ACTIVE = """
SELECT count(*) AS active FROM runs
WHERE schedule_id = %(schedule)s AND status IN ('pending', 'running', 'interrupted')
"""

_KEEP = """
INSERT INTO schedule_firings (id, schedule_id, slot, outcome, reason, run_id, settled)
SELECT each.id, %(schedule)s, each.slot, %(outcome)s, each.reason, %(run)s::uuid, %(settled)s
FROM unnest(%(ids)s::uuid[], %(slots)s::timestamptz[], %(reasons)s::text[]) AS each(id, slot, reason)
ON CONFLICT (schedule_id, slot) DO NOTHING RETURNING *
"""

_FAIL = """
UPDATE schedule_firings SET outcome = 'failed', reason = left(%(reason)s, 1000), run_id = NULL WHERE id = %(firing)s
"""


class Slots:
    """Fires slots of a schedule that is locked, inside the caller's transaction.

    `made` counts the firings; `started` says whether one of them started a run.
    """

    def __init__(self, schedule: Schedule, workspace_limits: dict[str, int]) -> None:
        self._schedule = schedule
        self._limits = holders(schedule.workspace_id, workspace_limits, settings.WORKSPACE_LIMITS)
        self._most = 1 if schedule.skip_if_running else schedule.max_active_runs
        self._active = _active_runs(schedule.id).run()
        self.made, self.started = 0, False

    @property
    def room(self) -> bool:
        """Whether the schedule may have another run."""
        return self._active < self._most

    def fire(self, slot: datetime | None) -> None:
        """Start a run for the slot (None: for no slot of its own); where there is no room it is skipped.

        One that has its firing stays as it is.
        """
        if not self.room:
            before = "The run before it has" if self._active == 1 else f"{self._active} runs before it have"
            self._kept(Outcome.SKIPPED, slot, f"{before} not ended.")
            return
        run_id = new_id()
        firing = self._kept(Outcome.STARTED, slot, "", run_id)
        if firing is None:
            return
        try:
            with transaction.atomic():
                run = accept_run(self._schedule, run_id, self._limits).run()
        except AppError as refused:
            _fail(self._schedule.id, firing["id"], refused.detail).run()
            return
        self._active, self.started = self._active + 1, True
        announce_accepted_after_commit(run)

    def _kept(self, outcome: Outcome, slot: datetime | None, reason: str, run_id: UUID | None = None) -> Row | None:
        kept = keep(self._schedule.id, outcome, [(new_id(), slot, reason)], run_id).run()
        self.made += len(kept)
        return kept[0] if kept else None


@operation()
def accept_run(schedule: Schedule, run_id: UUID, limits: tuple[Holder, ...]) -> Operation[Row]:
    """Accept a run of the schedule, inside the caller's transaction; gives its row, as `runs.accepting.accept`.

    `limits`: whose it counts for. Raises what accepting it by hand does.
    """
    identity = Identity(
        schedule.workspace_id,
        frozenset({"runs:write", "sessions:write"}),
        f"schedule:{schedule.name}",
        user_id=schedule.user_id,
        limits=limits,
    )
    given = {"input": schedule.input, "metadata": schedule.metadata}
    if schedule.kwargs is not None:
        return (yield from _accept_as_langgraph(schedule, run_id, identity, given, schedule.kwargs))
    if settings.WEBHOOKS and schedule.webhook is not None:
        given["webhook"] = schedule.webhook
    if schedule.session_id is not None:
        return (yield from accept(identity, schedule.session_id, validate(CreateRun, given), run_id, schedule.id))
    session = {"assistant_id": str(schedule.assistant_id), "version": schedule.version, "tag": schedule.tag}
    body = validate(CreateStatelessRun, {**given, **session, "user_id": schedule.user_id})
    return (yield from accept_with_session(identity, schedule.assistant_id, body, run_id, schedule.id))


def _accept_as_langgraph(
    schedule: Schedule, run_id: UUID, identity: Identity, given: dict[str, Any], asked: dict[str, Any]
) -> Operation[Row]:
    """`accept_run` of what `scheduling.services.LikeLangGraph` says."""
    body = validate(
        CreateRun,
        {**given, "multitask_strategy": asked["multitask_strategy"], "durability": asked["durability"]},
    )
    session_id, session = schedule.session_id, None
    if session_id is None:
        session_id = new_id()
        session = NewSession(session_id, schedule.metadata, ephemeral=schedule.ephemeral)
    webhook = schedule.webhook if settings.WEBHOOKS else None
    besides = Besides(schedule.assistant_id, asked["run"], webhook, session)
    return (yield from accept(identity, session_id, body, run_id, schedule.id, besides))


@operation()
def keep(
    schedule_id: UUID, outcome: Outcome, slots: Sequence[tuple[UUID, datetime | None, str]], run_id: UUID | None = None
) -> Operation[list[Row]]:
    """Keep what became of slots (a new id, the slot, the reason); gives the rows of those that had no firing yet."""
    columns = {
        "ids": [firing_id for firing_id, _, _ in slots],
        "slots": [slot for _, slot, _ in slots],
        "reasons": [reason for _, _, reason in slots],
    }
    # What started or failed is counted by `settling`.
    settled = outcome in {Outcome.SKIPPED, Outcome.MISSED}
    told = {"schedule": schedule_id, "outcome": str(outcome), "run": run_id, "settled": settled}
    return (yield Query(_KEEP, {**told, **columns}))


@operation()
def _active_runs(schedule_id: UUID) -> Operation[int]:
    return int((yield Query(_ACTIVE, {"schedule": schedule_id}))[0]["active"])


@operation()
def _fail(schedule_id: UUID, firing_id: UUID, reason: str) -> Operation[None]:
    """Say that the slot's run could not be started, and count it."""
    yield Query(_FAIL, {"firing": firing_id, "reason": reason})
    yield from count_ends(schedule_id, [firing_id])
