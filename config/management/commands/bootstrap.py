"""`manage.py bootstrap`: a database that is ready to serve. Harmless to repeat, and to run twice at once."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection

from config.bootstrap import bootstrap

_LOCK = 0x61_67_65_6E_74_00  # of this act, among PostgreSQL's advisory locks


class Command(BaseCommand):
    help = "Migrate the database; make the first workspace, admin, API key and assistant where there are none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="print the credentials as one JSON object"
        )

    def handle(self, *, as_json: bool, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            try:
                call_command("migrate", interactive=False, verbosity=0)
                credentials = bootstrap()
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
        self._print(dict(credentials), as_json=as_json)

    def _print(self, credentials: dict[str, str | None], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(credentials))
        else:
            for name, value in credentials.items():
                self.stdout.write(f"{name:<16}{value}")
