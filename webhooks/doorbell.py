"""The doorbell of deliveries: see `core.doorbell`. Beat looks at the table, too."""

from celery import current_app
from django.conf import settings
from kombu import Producer

from core.doorbell import Doorbell

# The task of `webhooks.tasks`, by name: it rings itself, and is imported by workers only.
TASK = "webhooks.deliver"


def _send(producer: Producer) -> None:
    current_app.send_task(TASK, producer=producer, retry=False)


# Each is a task of Celery: many events at once need few of them.
_doorbell = Doorbell("webhook doorbell", lambda: settings.WEBHOOK_QUEUE, _send, rest_s=0.05)


def ring() -> None:
    """Have what is due delivered; returns at once. Call it after the commit."""
    _doorbell.ring()
