"""Housekeeping that beat drives."""

import logging

from celery import shared_task
from django.conf import settings

from runs.announce import announce, look_after_now
from runs.doorbell import doorbell
from runs.forgetting import forget
from runs.pruning import prune_idle_sessions
from runs.removing import end_times_to_live
from runs.retention import delete_ended_sessions
from runs.services import end_unanswered
from runs.services import sweep as sweep_runs

log = logging.getLogger(__name__)


@shared_task(name="runs.sweep", expires=60)
def sweep() -> None:
    """End what waited too long, delete what is over for good, and wake a worker in case a doorbell was lost."""
    for run in end_unanswered().run():
        announce(run["session_id"], run["id"])
    if sweep_runs():
        doorbell.ring()
    look_after_now()
    end_times_to_live()
    forget()


@shared_task(name="runs.delete_ended_sessions", expires=3_600)
def delete_ended() -> None:
    """Delete the sessions that ended longer ago than they are kept."""
    if gone := delete_ended_sessions(settings.SESSION_RETENTION_DAYS):
        log.info("deleted %d sessions that ended more than %d days ago", gone, settings.SESSION_RETENTION_DAYS)


@shared_task(name="runs.prune_idle_sessions", expires=3_600)
def prune_idle() -> None:
    """Thin out the sessions that have not been used for as long as their past is kept."""
    if thinned := prune_idle_sessions(settings.KEEP_LATEST_DAYS):
        log.info("kept the latest of %d sessions that were not used for %d days", thinned, settings.KEEP_LATEST_DAYS)
