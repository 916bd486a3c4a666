"""The states of a run and the moves between them: the one place that names them.

Every status change is a guarded UPDATE whose guard is `sources(new)`: of two racing callers one wins.
"""

from django.db import models


class Status(models.TextChoices):
    """Where a run is."""

    PENDING = "pending"  # accepted, waits for a worker, its turn in the session, its next attempt, or its children
    RUNNING = "running"  # a worker holds its lease
    INTERRUPTED = "interrupted"  # waits for a person; holds no slot, still heads its session
    SUCCESS = "success"  # the agent finished
    ERROR = "error"  # the agent failed for good
    TIMEOUT = "timeout"  # it took, or waited, too long
    CANCELLED = "cancelled"  # somebody stopped it


TERMINAL: tuple[str, ...] = (Status.SUCCESS, Status.ERROR, Status.TIMEOUT, Status.CANCELLED)
ACTIVE: tuple[str, ...] = (Status.PENDING, Status.RUNNING, Status.INTERRUPTED)

# new status -> the statuses it may come from
TRANSITIONS: dict[str, tuple[str, ...]] = {
    Status.PENDING: (Status.RUNNING, Status.INTERRUPTED),
    Status.RUNNING: (Status.PENDING,),
    # A pending run that waits for its children asks what they ask.
    Status.INTERRUPTED: (Status.RUNNING, Status.PENDING),
    # Whoever goes on in LangGraph's way does so with a new run: the one that asked is over then.
    Status.SUCCESS: (Status.RUNNING, Status.INTERRUPTED),
    Status.ERROR: (Status.RUNNING,),
    Status.TIMEOUT: (Status.RUNNING, Status.PENDING),
    Status.CANCELLED: (Status.RUNNING, Status.PENDING, Status.INTERRUPTED),
}


def sources(new: str) -> list[str]:
    """The statuses that a run may leave for `new`, as the parameter of a guarded UPDATE."""
    return [str(status) for status in TRANSITIONS[new]]
