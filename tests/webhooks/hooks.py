"""Webhooks as a key makes them, and what is told to them."""

from typing import Any
from uuid import UUID

import pytest

from core.db import Operation, operation
from tests.api import Api
from webhooks.kinds import Kind
from webhooks.models import Delivery
from webhooks.outbox import tell

URL = "https://example.com/hooks"


class Hooks:
    """The webhooks of a workspace."""

    def __init__(self, api: Api):
        self.api = api

    def make(self, **body: Any) -> Any:
        """A webhook's document, with its secret."""
        answer = self.api.post("/webhooks", {"name": "ops", "url": URL, "events": ["run.failed"], **body})
        assert answer.status_code == 201, answer.content
        return answer.json()

    def tell(self, kind: Kind = Kind.RUN_FAILED, **data: Any) -> list[Delivery]:
        """Let something have happened; gives what is on its way now, the newest first."""
        tell_now(self.api.workspace.id, kind, data).run()
        return list(Delivery.objects.order_by("-created_at"))


@operation(atomic=True)
def tell_now(workspace_id: UUID, kind: Kind, data: dict[str, Any]) -> Operation[int]:
    return (yield from tell(workspace_id, kind, data))


@pytest.fixture
def hooks(api: Api) -> Hooks:
    return Hooks(api)
