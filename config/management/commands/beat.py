"""`manage.py beat`: says when it is time, for schedules and housekeeping."""

from typing import Any

from django.core.management.base import BaseCommand

from config.celery import app
from config.env import ENV
from config.logs import configure_logging


class Command(BaseCommand):
    help = "Run the beat role (the clock of schedules and housekeeping)."
    requires_system_checks = []

    def handle(self, **_: Any) -> None:
        configure_logging("beat")
        # No pid file: a stale one would keep it from starting, and a second beat does no harm.
        app.Beat(loglevel=ENV.log_level, quiet=True, schedule=str(ENV.data_dir / "beat-schedule")).run()
