"""Reading schedules and what became of them: inside a workspace, and for who is bound to a user, that user's only."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Case, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from accounts.identity import Identity
from accounts.scoping import of_user
from assistants.queries import require_assistant
from core.clock import ClockTimestamp
from core.db import Operation, Query, operation
from core.errors import NotFound
from runs.models import Run
from scheduling.models import Firing, Schedule

# Where what never runs again is sorted.
NEVER = datetime(9999, 12, 31, tzinfo=UTC)


def schedules(identity: Identity) -> QuerySet[Schedule]:
    """The schedules that the caller may see, as `scheduling.documents` takes them; `due` sorts by `next_run_at`."""
    grace = timedelta(seconds=settings.SCHEDULE_GRACE_S)
    is_late = Q(enabled=True, next_run_at__lt=ClockTimestamp() - grace)
    return of_user(identity, Schedule.objects.all()).annotate(
        late=Case(When(is_late, then=Value(True)), default=Value(False)), due=Coalesce("next_run_at", Value(NEVER))
    )


def schedules_of_assistant(identity: Identity, assistant_id: UUID) -> QuerySet[Schedule]:
    """Those of one assistant; raises NotFound, for a stranger's too."""
    require_assistant(identity, assistant_id)
    return schedules(identity).filter(assistant_id=assistant_id)


def schedule(identity: Identity, schedule_id: UUID) -> Schedule:
    """One of them; raises NotFound, for a stranger's too."""
    return _found(schedules(identity).filter(id=schedule_id).first())


def locked_schedule(identity: Identity, schedule_id: UUID) -> Schedule:
    """One of them, locked until the end of the caller's transaction; raises NotFound.

    Whoever starts its slots holds the same lock, so that no slot is started by a rule that has been changed.
    """
    return _found(of_user(identity, Schedule.objects.select_for_update()).filter(id=schedule_id).first())


def _found(schedule: Schedule | None) -> Schedule:
    if schedule is None:
        raise NotFound("There is no such schedule.")
    return schedule


def firings(identity: Identity, schedule_id: UUID) -> QuerySet[Firing]:
    """What became of the schedule's slots, as `scheduling.documents` takes it; raises NotFound.

    `status`: how the run ended, or where it is.
    """
    schedule(identity, schedule_id)
    return _with_status(Firing.objects.filter(schedule_id=schedule_id))


def firing(identity: Identity, schedule_id: UUID, firing_id: UUID) -> Firing:
    """One of them; raises NotFound."""
    found = firings(identity, schedule_id).filter(id=firing_id).first()
    if found is None:
        raise NotFound("There is no such firing.")
    return found


def _with_status(rows: QuerySet[Firing]) -> QuerySet[Firing]:
    now = Subquery(Run.objects.filter(id=OuterRef("run_id")).values("status"))
    return rows.annotate(status=Coalesce(F("run_status"), now))


@operation()
def now() -> Operation[datetime]:
    """PostgreSQL's clock."""
    moment: datetime = (yield Query("SELECT clock_timestamp() AS now"))[0]["now"]
    return moment
