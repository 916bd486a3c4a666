"""Housekeeping that beat drives."""

import logging

from celery import shared_task

from memory.services import sweep

log = logging.getLogger(__name__)


@shared_task(name="memory.sweep", expires=60)
def sweep_store() -> None:
    """Delete the store's documents whose time has run out."""
    if gone := sweep():
        log.info("deleted %d documents of the store whose time had run out", gone)
