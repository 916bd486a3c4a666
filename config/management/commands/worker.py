"""`manage.py worker`: carries out runs, and the background tasks."""

import sys
import warnings
from typing import Any

from celery.exceptions import SecurityWarning
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from pydantic import TypeAdapter, ValidationError

from assistants.config.blocks import Label
from config.celery import app
from config.checks import refuse_start
from config.env import ENV
from config.logs import configure_logging
from config.serve.limits import raise_open_files_limit
from runs.pools import Pool
from runtime.registry import agent_names

TASK_THREADS = 4
RUNS, TASKS, WEBHOOKS = "runs", "tasks", "webhooks"
# What a worker may take -> the queues of Celery that it listens to for it.
TAKES = {RUNS: (), TASKS: (settings.CELERY_TASK_DEFAULT_QUEUE,), WEBHOOKS: (settings.WEBHOOK_QUEUE,)}
# Celery wants one; nobody sends anything there.
NOTHING = f"{settings.CELERY_TASK_DEFAULT_QUEUE}.none"


class Command(BaseCommand):
    help = "Run the worker role (runs, background tasks and webhooks)."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--types", metavar="A,B", help="only runs of assistants of these types")
        parser.add_argument("--labels", metavar="a,b", help="also runs that need these labels or some of them")
        parser.add_argument(
            "--queues", metavar="A,B", default=",".join(TAKES), help="only these of: runs, tasks, webhooks"
        )

    def handle(self, *args: Any, types: str | None, labels: str | None, queues: str, **options: Any) -> None:
        takes = _takes(queues)
        if RUNS not in takes and (types is not None or labels is not None):
            raise CommandError("--types and --labels say which runs a worker takes, and --queues that it takes none.")
        runs = Pool(types=None if types is None else _types(types), labels=() if labels is None else _labels(labels))
        refuse_start()
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
            runs=runs if RUNS in takes else None,
            queues=[queue for name in takes for queue in TAKES[name]] or [NOTHING],
        )
        worker.start()
        sys.exit(worker.exitcode)


def _items(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item.strip() for item in text.split(",")))


def _takes(text: str) -> tuple[str, ...]:
    names = _items(text)
    for name in names:
        if name not in TAKES:
            raise CommandError(f"--queues: There is no {name!r}, only {', '.join(TAKES)}.")
    return names


def _types(text: str) -> tuple[str, ...]:
    names = _items(text)
    for name in names:
        if name not in agent_names():
            raise CommandError(f"--types: There is no assistant type {name!r}, only {', '.join(agent_names())}.")
    return names


def _labels(text: str) -> tuple[str, ...]:
    labels = _items(text)
    for label in labels:
        try:
            TypeAdapter(Label).validate_python(label)
        except ValidationError:
            what = "up to 64 letters, digits, dots, hyphens and underscores, the first a letter or digit"
            raise CommandError(f"--labels: {label!r} is not a label: {what}.") from None
    return labels
