"""Schedules as rows, whose slots have come when a test says so."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from core.ids import new_id
from runs.lifecycle import TERMINAL
from runs.models import Run
from scheduling.models import Firing, Schedule
from tests.runs.worker import Tenant

HOUR = 3_600


def make_schedule(tenant: Tenant, *, ago_s: float = 1, every_s: int = HOUR, **fields: Any) -> Schedule:
    """A schedule whose first slot came so many seconds ago, and that has one every so many."""
    slot = timezone.now() - timedelta(seconds=ago_s)
    fields = {"interval_s": every_s, "anchor": slot, "input": {"message": "hi"}, "name": f"s {new_id()}", **fields}
    return Schedule.objects.create(
        workspace_id=tenant.identity.workspace_id,
        assistant_id=tenant.assistant,
        next_slot=slot,
        next_run_at=slot,
        created_by="key:test",
        **fields,
    )


def due_again(schedule: Schedule) -> None:
    """Its next slot comes now."""
    now = datetime.now(UTC)
    Schedule.objects.filter(id=schedule.id).update(anchor=now, next_slot=now, next_run_at=now)


def outcomes(schedule: Schedule) -> list[str]:
    """What became of its slots, the oldest first; those without a slot last."""
    return list(Firing.objects.filter(schedule=schedule).order_by("slot", "id").values_list("outcome", flat=True))


def runs_of(schedule: Schedule) -> list[Run]:
    return list(Run.objects.filter(schedule_id=schedule.id).order_by("id"))


def end_run(run_id: UUID, status: str, error: dict[str, Any] | None = None) -> None:
    """As a worker does, as far as schedules see it."""
    assert status in TERMINAL
    Run.objects.filter(id=run_id).update(status=status, error=error, finished_at=timezone.now(), lease_owner=None)


def end_runs(schedule: Schedule, status: str = "success") -> None:
    for run in Run.objects.filter(schedule_id=schedule.id, finished_at=None):
        end_run(run.id, status)
