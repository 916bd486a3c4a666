"""What may be told: the kinds of events, as subscriptions name them."""

from django.db import models


class Kind(models.TextChoices):
    """`type` in a webhook's body."""

    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    RUN_TIMED_OUT = "run.timed_out"
    RUN_INTERRUPTED = "run.interrupted"  # it asks a person
    SCHEDULE_FAILED = "schedule.failed"  # once per streak of failures
    DELIVERY_DEAD = "delivery.dead"  # a delivery is given up
    QUEUE_STUCK = "queue.stuck"  # a run of the workspace could begin, and none does
    WORKERS_MISSING = "workers.missing"  # no worker is alive
    TEST = "test"  # asked for by hand, for one endpoint


# A subscription names some of these; a test goes to the endpoint that it tests.
SUBSCRIBABLE: tuple[str, ...] = tuple(kind for kind in Kind.values if kind != Kind.TEST)

# A run's status -> what is told of it.
KIND_OF_STATUS: dict[str, str] = {
    "success": Kind.RUN_SUCCEEDED,
    "error": Kind.RUN_FAILED,
    "cancelled": Kind.RUN_CANCELLED,
    "timeout": Kind.RUN_TIMED_OUT,
    "interrupted": Kind.RUN_INTERRUPTED,
}
RUN_KINDS: tuple[str, ...] = tuple(KIND_OF_STATUS.values())
# What opens alerts.
ALERTED: tuple[str, ...] = (Kind.SCHEDULE_FAILED, Kind.DELIVERY_DEAD, Kind.QUEUE_STUCK, Kind.WORKERS_MISSING)
