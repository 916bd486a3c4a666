"""Housekeeping that beat drives."""

from celery import shared_task
from django.core.management import call_command

from accounts.idempotency import forget_old_keys
from accounts.rates import forget_counts
from accounts.services import forget_expired_tickets


@shared_task(name="accounts.forget_expired", expires=3_600)
def forget_expired() -> None:
    """Delete the tickets, idempotency keys, counted requests and logins that have ended."""
    forget_expired_tickets()
    forget_old_keys().run()
    forget_counts().run()
    call_command("clearsessions")
