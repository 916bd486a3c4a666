"""Housekeeping that beat drives."""

from celery import shared_task

from runs.doorbell import doorbell
from runs.services import sweep as sweep_runs


@shared_task(name="runs.sweep")
def sweep() -> None:
    """End what waited too long, and wake a worker in case a doorbell was lost."""
    if sweep_runs():
        doorbell.ring()
