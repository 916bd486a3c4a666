"""`manage.py beat`: says when it is time, for schedules and housekeeping."""

import logging
import time
from typing import Any

from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError

from config.beat import chores
from config.celery import app
from config.checks import refuse_start
from config.env import ENV
from config.logs import configure_logging

log = logging.getLogger(__name__)

OUTAGE_PAUSE_S = 1.0


class Command(BaseCommand):
    help = "Run the beat role (the clock of schedules and housekeeping)."
    requires_system_checks = []

    def handle(self, **_: Any) -> None:
        refuse_start()
        configure_logging("beat")
        for chore in chores():
            chore.start()
        while True:
            try:
                # No pid file: a stale one would keep it from starting, and a second beat does no harm.
                app.Beat(loglevel=ENV.log_level, quiet=True, schedule=str(ENV.data_dir / "beat-schedule")).run()
                return
            except (OperationalError, InterfaceError) as error:
                # Most of what it asks of the schedule's tables passes over an outage, and not all.
                log.warning("Beat waits for PostgreSQL: %s", error)
                time.sleep(OUTAGE_PAUSE_S)
