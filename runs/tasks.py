"""The doorbell's far end, and housekeeping that beat drives."""

from celery import shared_task

from core.redis import client, key
from runs.doorbell import FLAG
from runs.services import sweep as sweep_runs
from runs.worker.bootstep import wake


@shared_task(name="runs.ring", acks_late=False)
def ring() -> None:
    """Somebody queued runs: look. The flag falls first, so that whoever queues from now on rings again."""
    client().delete(key(FLAG))
    wake()


@shared_task(name="runs.sweep")
def sweep() -> None:
    """End what waited too long, and wake a worker in case a doorbell was lost."""
    if sweep_runs():
        ring.delay()
