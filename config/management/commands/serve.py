"""`manage.py serve`: everything on this machine, by one command."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from config.checks import refuse_start
from config.env import ENV, BadEnvironment
from config.logs import configure_logging
from config.serve.errors import ServeError
from config.serve.output import Output
from config.serve.supervisor import Supervisor


class Command(BaseCommand):
    help = "Run everything: PostgreSQL and Redis (unless their URLs are set), web, workers and beat."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--reload", action="store_true", help="start web, workers and beat again when their code has changed"
        )

    def handle(self, *, reload: bool, **_: Any) -> None:
        refuse_start()
        if reload and ENV.production:
            raise BadEnvironment("--reload is for development: leave it out while AGENT_SERVER_ENV is production.")
        configure_logging("serve")
        output = Output(named=not ENV.log_json)
        try:
            Supervisor(ENV, output, reload=reload).run()
        except ServeError as error:
            output.close()
            sys.exit(f"agent-server: {error}")
        output.close()
