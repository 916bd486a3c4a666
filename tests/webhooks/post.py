"""Endpoints, deliveries and a dispatcher on the test database, without a worker around them."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from accounts.models import Workspace
from core.db import Operation, operation
from core.ids import new_id
from tests.stubs.receiver import Receiver
from webhooks.dispatch.dispatcher import Bounds, Dispatcher, never
from webhooks.kinds import Kind
from webhooks.models import Attempt, Delivery, Endpoint, Event
from webhooks.outbox import tell
from webhooks.signing import seal

SECRET = "whsec_" + "c2VjcmV0" * 4
SOON = Bounds(look_s=0.02, leave_s=0.1)
# For receivers that hang, and tests that wait for the end of it.
QUICK = Bounds(timeout_s=0.4)


@operation(atomic=True)
def _tell(workspace_id: UUID, kind: Kind, data: dict[str, Any]) -> Operation[int]:
    return (yield from tell(workspace_id, kind, data))


class Post:
    def __init__(self, workspace: Workspace, receiver: Receiver) -> None:
        self.workspace, self.receiver = workspace, receiver

    def endpoint(self, path: str = "/200/ok", **fields: Any) -> Endpoint:
        """One that hears of failed schedules."""
        made = new_id()
        fields = {"events": [Kind.SCHEDULE_FAILED], "sealed_secret": seal(self.workspace.id, made, SECRET)} | fields
        fields.setdefault("url", self.receiver.url + path)
        return Endpoint.objects.create(id=made, workspace=self.workspace, name="ours", created_by="tests", **fields)

    def tell(self, kind: Kind = Kind.SCHEDULE_FAILED, **data: Any) -> int:
        """To all endpoints that hear of it."""
        return _tell(self.workspace.id, kind, data).run()

    def own(self, path: str = "/200/own", **fields: Any) -> Delivery:
        """A delivery to the address that a run has named itself."""
        event = Event.objects.create(workspace=self.workspace, kind=Kind.SCHEDULE_FAILED, run_id=new_id(), data={})
        return Delivery.objects.create(
            workspace=self.workspace,
            event=event,
            kind=event.kind,
            url=self.receiver.url + path,
            destination=self.receiver.url,
            max_attempts=7,
            next_attempt_at=timezone.now() - timedelta(seconds=5),
            **fields,
        )

    def send(self, bounds: Bounds = SOON, leaving: Callable[[], bool] = never) -> None:
        """What is due."""
        asyncio.run(Dispatcher(bounds, leaving).run())

    def pass_time(self, **by: float) -> None:
        """All that is to come comes sooner by this, for deliveries and endpoints."""
        gone = timedelta(**by)
        Delivery.objects.update(
            next_attempt_at=F("next_attempt_at") - gone, lease_expires_at=F("lease_expires_at") - gone
        )
        Endpoint.objects.update(not_before=F("not_before") - gone)

    def delivery(self) -> Delivery:
        """The only one."""
        return Delivery.objects.get()

    def attempts(self) -> list[Attempt]:
        return list(Attempt.objects.order_by("started_at"))
