"""`manage.py rotate_secrets`: encrypt all secrets by the first of the server's keys."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.services import rotate_secrets


class Command(BaseCommand):
    """Run it once the new key stands first in AGENT_SERVER_ENCRYPTION_KEYS of all processes; then drop the old one."""

    help = "Encrypt every workspace's secrets by the first key of AGENT_SERVER_ENCRYPTION_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        done, unreadable = rotate_secrets()
        self.stdout.write(f"{done} secrets are encrypted by the first key.")
        if unreadable:
            raise CommandError(f"No key of this server opens {len(unreadable)} secrets: {', '.join(unreadable)}.")
