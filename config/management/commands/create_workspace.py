"""`manage.py create_workspace`: a tenant and its first key, for scripts."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.documents import workspace_document
from accounts.identity import EVERYTHING, Identity
from accounts.services import create_workspace, grant_api_key
from core.errors import AppError

ACTOR = "command:create_workspace"


class Command(BaseCommand):
    help = "Make a workspace and a key that may do everything in it; print both as one line of JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", help="its short name, which no other workspace has")
        parser.add_argument("--name", help="what people call it (default: the slug)")
        parser.add_argument("--key-name", default="admin", help="what the key is called (default: admin)")

    def handle(self, slug: str, *, name: str | None, key_name: str, **_: Any) -> None:
        try:
            with transaction.atomic():
                workspace = create_workspace(name or slug, slug, actor=ACTOR)
                operator = Identity(workspace.id, frozenset({EVERYTHING}), ACTOR)
                stored, key = grant_api_key(operator, key_name, [EVERYTHING])
        except AppError as fault:
            raise CommandError(fault.detail) from None
        made = {"workspace": workspace_document(workspace), "api_key_id": stored.id, "api_key": key}
        self.stdout.write(json.dumps(made, default=str))
