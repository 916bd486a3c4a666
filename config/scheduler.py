"""Beat's scheduler: what people change in the admin stays, and schedules of ours fire at their second."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler
from kombu.exceptions import OperationalError

from scheduling.firing import anything_to_do
from scheduling.tasks import fire

log = logging.getLogger(__name__)

LOOK_S = 1.0
SHORTEST_S = 0.02


class Scheduler(DatabaseScheduler):  # type: ignore[misc]  # it is untyped
    """Makes the periodic tasks of `CELERY_BEAT_SCHEDULE`, and Celery's own, where they are missing, and leaves them as
    they are from then on: disabled, at another interval, with other options.

    The library would write the defaults over the rows of these names at each start. A default that changes comes to
    servers that have the row by a migration, which can see whether the row is as it was made.

    Once a second it looks whether a schedule of ours has something to do, and only then asks a worker: a periodic task
    of every second would have the library go through its tables, and a worker wake, each time. Without Redis it fires
    by itself.
    """

    _next_tick = 0.0

    def update_from_dict(self, mapping: Mapping[str, Any]) -> None:
        there = set(self.Model.objects.filter(name__in=list(mapping)).values_list("name", flat=True))
        super().update_from_dict({name: entry for name, entry in mapping.items() if name not in there})

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One round of the loop; gives the seconds until the next one. Raises what Django does in an outage."""
        if time.monotonic() >= self._next_tick:
            wait: float = super().tick(*args, **kwargs)
            if wait == 0:
                # It has sent something, and more may be due.
                return 0.0
            # Less than nothing is its drift: not yet. Until it is time it would read its tables again and again.
            self._next_tick = time.monotonic() + max(wait, SHORTEST_S)
        if anything_to_do().run():
            self._fire()
        return max(0.0, min(LOOK_S, self._next_tick - time.monotonic()))

    def _fire(self) -> None:
        try:
            self.app.tasks[fire.name].apply_async(retry=False)
        except (OperationalError, OSError) as error:
            log.warning("No worker can be asked to fire what is due, so beat does: %s", error)
            fire()
