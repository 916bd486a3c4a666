"""`manage.py worker`: carries out runs, and the background tasks."""

import sys
import warnings
from argparse import ArgumentParser
from typing import Any

from celery.exceptions import SecurityWarning
from django.core.management.base import BaseCommand

from config.celery import app
from config.env import ENV
from config.logs import configure_logging
from config.serve.limits import raise_open_files_limit

TASK_THREADS = 4


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


class Command(BaseCommand):
    help = "Run the worker role (runs and background tasks)."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--labels", type=_words, default=[], help="a,b: take runs that ask for these labels or for none"
        )
        parser.add_argument("--types", type=_words, default=[], help="a,b: take runs of these assistant types only")

    def handle(self, *, labels: list[str], types: list[str], **_: Any) -> None:
        configure_logging()
        raise_open_files_limit()
        # The runner, a step of the Celery worker, reads them there.
        app.conf.update(agent_worker_labels=labels, agent_worker_types=types)
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
