"""`manage.py doctor`: what is right and wrong with this deployment."""

import json
import logging
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from config.doctor import machine, postgres, service
from config.doctor.findings import State, make


class Command(BaseCommand):
    help = "Look the deployment over: a line for each check, and what to do. Exit code 1 if anything is broken."
    # It looks at these itself, and goes on when they fail.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *, as_json: bool, **_: Any) -> None:
        # Findings are told once, in their lines.
        logging.disable(logging.CRITICAL)
        try:
            findings = make([*postgres.CHECKS, *service.CHECKS, *machine.CHECKS])
        finally:
            logging.disable(logging.NOTSET)
        broken = any(finding.state == State.FAILED for finding in findings)
        if as_json:
            self.stdout.write(json.dumps({"ok": not broken, "checks": [each.document() for each in findings]}))
        else:
            for finding in findings:
                self.stdout.write(finding.line)
        if broken:
            sys.exit(1)
