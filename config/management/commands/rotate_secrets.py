"""`manage.py rotate_secrets`: encrypt all secrets by the first of the server's keys."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import services as accounts
from scheduling import trigger_secrets as triggers
from webhooks import signing as webhooks

# Each room encrypts what it keeps, and tells how many rows that are, and which ones it cannot read.
ROOMS = (accounts.rotate_secrets, webhooks.rotate_secrets, triggers.rotate_secrets)


class Command(BaseCommand):
    """Run it once the new key stands first in AGENT_SERVER_ENCRYPTION_KEYS of all processes; then drop the old one."""

    help = "Encrypt all secrets, those of webhooks and triggers too, by the first key of AGENT_SERVER_ENCRYPTION_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        told = [rotate() for rotate in ROOMS]
        unreadable = [name for room in told for name in room.unreadable]
        self.stdout.write(f"{sum(room.done for room in told)} secrets are encrypted by the first key.")
        if unreadable:
            raise CommandError(f"No key of this server opens {len(unreadable)} secrets: {', '.join(unreadable)}.")
