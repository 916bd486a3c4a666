"""`manage.py serve`: everything on this machine, by one command."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from config.checks import refuse_start
from config.env import ENV
from config.logs import configure_logging
from config.serve.errors import ServeError
from config.serve.output import Output
from config.serve.supervisor import Supervisor


class Command(BaseCommand):
    help = "Run everything: PostgreSQL and Redis (unless their URLs are set), web, workers and beat."
    requires_system_checks = []

    def handle(self, **_: Any) -> None:
        refuse_start()
        configure_logging("serve")
        output = Output(named=not ENV.log_json)
        try:
            Supervisor(ENV, output).run()
        except ServeError as error:
            output.close()
            sys.exit(f"agent-server: {error}")
        output.close()
