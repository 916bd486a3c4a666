"""What beat drives."""

import logging
from typing import Any

from celery import Task, shared_task
from django.conf import settings

from core.errors import NotFound
from core.ids import path_id
from scheduling.firing import fire_due, start_by_clock
from scheduling.retention import forget_calls, forget_firings
from scheduling.settling import resolve_orphans, settle

log = logging.getLogger(__name__)


# Beat asks for it while there is something to do (`config.scheduler`): what waits for a worker is of no use once others
# have come after it. It says so by beat's clock to a worker's: a minute, so that these may differ.
@shared_task(name="scheduling.fire_due", expires=60)
def fire() -> None:
    """Count the runs of schedules that have ended, and start what is due."""
    settle()
    fire_due()


class _InPlace(Task):  # type: ignore[type-arg]  # it is generic in its stubs only
    """Carried out where it is asked for, by beat or in its admin: a message that names a schedule could be forged."""

    def apply_async(self, args: Any = None, kwargs: Any = None, *_: Any, **options: Any) -> Any:
        """Start the run of the schedule that the keyword arguments name; where there is none that is logged."""
        schedule_id = (kwargs or {}).get("schedule_id")
        try:
            start_by_clock(path_id(str(schedule_id)))
        except NotFound:
            log.warning("A periodic task starts the schedule %s, and there is none.", schedule_id)


@shared_task(name="scheduling.start", base=_InPlace)
def start() -> None:
    """Start a schedule's run: for periodic tasks that somebody makes in the admin, with clocks that schedules lack."""


@shared_task(name="scheduling.forget_firings", expires=3_600)
def forget() -> None:
    """Delete the firings, and triggers' calls, that are older than they are kept, and close alerts of what is gone."""
    resolve_orphans().run()
    days = settings.SCHEDULE_HISTORY_DAYS
    if gone := forget_firings(days) + forget_calls(days):
        log.info("deleted %d firings and calls of more than %d days ago", gone, days)
