"""What beat does beside its schedule, each on a thread of its own: it must go on where no worker is alive."""

import logging
import threading
import time
from collections.abc import Callable

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from runs.watching import Watch
from webhooks.dispatch.claim import anything_due
from webhooks.dispatch.process import deliver
from webhooks.mail import mail_alerts

log = logging.getLogger(__name__)

LOOK_S = 10.0
MAIL_S = 5.0
DELIVER_S = 5.0


class Chore(threading.Thread):
    """Does something every few seconds for as long as the process lives; an outage of PostgreSQL is waited out."""

    def __init__(self, name: str, every_s: float, do: Callable[[], object]) -> None:
        super().__init__(name=name, daemon=True)
        self._every_s, self._do = every_s, do
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self._do()
            except (DatabaseError, InterfaceError, psycopg.OperationalError) as error:
                log.warning("%s waits for PostgreSQL: %s", self.name, error)
            finally:
                # Back into the pool, which looks whether it still works.
                connection.close()

    def end(self) -> None:
        """Do it no more. Returns at once."""
        self._ended.set()


def chores() -> list[Chore]:
    """What is to be started with beat."""
    watch = Watch()
    return [
        Chore("watch", LOOK_S, lambda: watch.look(time.monotonic())),
        Chore("mail", MAIL_S, mail_alerts),
        Chore("deliver", DELIVER_S, lambda: deliver_alone(watch)),
    ]


def deliver_alone(watch: Watch) -> None:
    """Send webhooks as long as no worker is there to do it: one of them may tell just that."""
    if watch.is_missing and settings.WEBHOOKS and anything_due().run():
        deliver(leaving=lambda: not watch.is_missing)
