"""How the tests of the admin read pages and fill in forms."""

import html
import json
import re
from typing import Any

from django.test import Client

from assistants.models import Assistant

LIST = "/admin/assistants/assistant/"


def page_of(assistant: Assistant, page: str = "change") -> str:
    """The address of a page about the assistant."""
    return f"{LIST}{assistant.id}/{page}/"


def shown(answer: Any) -> str:
    """The page beside its menu, as it is read: without elements, blanks and entities as one sees them."""
    assert answer.status_code == 200, answer.content
    page = answer.content.decode().partition('<div id="main"')[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def post(admin: Client, address: str, **fields: Any) -> str:
    """What is shown after a form was sent."""
    return shown(admin.post(address, fields, follow=True))


def save(admin: Client, assistant: Assistant, configuration: Any, version: int | None = None, note: str = "") -> str:
    """What is shown after a new version was saved that was made from `version`, the current one unless given."""
    text = configuration if isinstance(configuration, str) else json.dumps(configuration)
    based_on = version or Assistant.objects.get(id=assistant.id).version
    fields = {"configuration": text, "expected_version": based_on, "change_note": note}
    return post(admin, page_of(assistant, "new-version"), **fields)
