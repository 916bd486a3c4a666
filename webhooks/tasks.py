"""Deliveries and their housekeeping, as Celery drives them."""

import logging

import psycopg
from celery import shared_task
from celery.worker import state
from django.conf import settings

from webhooks.dispatch.claim import anything_due
from webhooks.dispatch.dispatcher import Bounds
from webhooks.dispatch.process import deliver as deliver_due
from webhooks.dispatch.retention import forget_old as forget_older
from webhooks.doorbell import ring

log = logging.getLogger(__name__)


def _leaving() -> bool:
    # Celery's own marks of a worker that was told to end; 0 is an exit code.
    marks: tuple[object, ...] = (state.should_stop, state.should_terminate)
    return any(mark is not None and mark is not False for mark in marks)


# Acknowledged as it comes: it is a doorbell, and one that waited for the end would ring again in the middle.
@shared_task(name="webhooks.deliver", acks_late=False)
def deliver() -> None:
    """Send what is due, unless this process does so already."""
    if not settings.WEBHOOKS:
        return
    try:
        deliver_due(bounds=Bounds(lease_s=settings.WEBHOOK_LEASE_S), leaving=_leaving)
    except psycopg.OperationalError as error:
        log.warning("Deliveries wait for PostgreSQL: %s", error)
    if _leaving():
        ring()


@shared_task(name="webhooks.sweep", expires=60)
def sweep() -> None:
    """Wake a dispatcher where something is due: retries, and what nobody rang for."""
    if settings.WEBHOOKS and anything_due().run():
        ring()


@shared_task(name="webhooks.forget_old", expires=3_600)
def forget_old() -> None:
    """Delete what happened longer ago than the log is kept."""
    if gone := forget_older(settings.WEBHOOK_LOG_DAYS):
        log.info("deleted %d events of webhooks that are older than %d days", gone, settings.WEBHOOK_LOG_DAYS)
