"""`manage.py worker`: carries out runs, and the background tasks."""

import sys
import warnings
from typing import Any

from celery.exceptions import SecurityWarning
from django.core.management.base import BaseCommand

from config.celery import app
from config.env import ENV
from config.logs import configure_logging
from config.serve.limits import raise_open_files_limit

TASK_THREADS = 4


class Command(BaseCommand):
    help = "Run the worker role (runs and background tasks)."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        configure_logging("worker")
        raise_open_files_limit()
        # It warns of root because of pickled messages, which we never accept.
        warnings.simplefilter("ignore", SecurityWarning)
        # Runs live in the runner's event loop; the pool's threads are for the small tasks beside it.
        # Workers know of each other through PostgreSQL, not through Celery's gossip.
        worker = app.Worker(
            pool_cls="threads",
            concurrency=TASK_THREADS,
            loglevel=ENV.log_level,
            quiet=True,
            without_gossip=True,
            without_heartbeat=True,
            without_mingle=True,
        )
        worker.start()
        sys.exit(worker.exitcode)
