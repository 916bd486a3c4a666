"""What beat does beside its schedule, each on a thread of its own: it must go on where no worker is alive."""

import logging
import threading
import time
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connection

from runs.watching import Watch
from webhooks.mail import mail_alerts

log = logging.getLogger(__name__)

LOOK_S = 10.0
MAIL_S = 5.0


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
            except (DatabaseError, InterfaceError) as error:
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
    ]
