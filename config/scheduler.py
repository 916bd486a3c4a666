"""Beat's scheduler: as django-celery-beat's, and what people change in the admin stays."""

from collections.abc import Mapping
from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler


class Scheduler(DatabaseScheduler):  # type: ignore[misc]  # it is untyped
    """Makes the periodic tasks of `CELERY_BEAT_SCHEDULE`, and Celery's own, where they are missing, and leaves them as
    they are from then on: disabled, at another interval, with other options.

    The library would write the defaults over the rows of these names at each start. A default that changes comes to
    servers that have the row by a migration, which can see whether the row is as it was made.
    """

    def update_from_dict(self, mapping: Mapping[str, Any]) -> None:
        there = set(self.Model.objects.filter(name__in=list(mapping)).values_list("name", flat=True))
        super().update_from_dict({name: entry for name, entry in mapping.items() if name not in there})
