"""Reads of a workspace's webhooks, their deliveries, and its alerts.

What is delivered holds what any user of the workspace said: who is bound to one of them sees none of it.
"""

from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet

from accounts.identity import Identity
from accounts.scoping import of_workspace, of_workspace_or_server
from core.db import Row
from core.errors import NotFound
from webhooks.models import Alert, Attempt, Delivery, Endpoint

# Of more attempts, which were asked for by hand, the latest are shown.
MOST_ATTEMPTS = 50
_UNBOUND = "no webhooks"
DELIVERY_COLUMNS = (
    "id",
    "event_id",
    "endpoint_id",
    "kind",
    "url",
    "status",
    "attempt_count",
    "max_attempts",
    "next_attempt_at",
    "last_status_code",
    "last_error",
    "created_at",
    "finished_at",
)


def endpoints(identity: Identity) -> QuerySet[Endpoint]:
    """The workspace's webhooks, without their secrets. Raises `Forbidden` for a caller who is bound to a user."""
    identity.require_unbound(_UNBOUND)
    return of_workspace(identity, Endpoint.objects.defer("sealed_secret", "previous_secret"))


def get_endpoint(identity: Identity, endpoint_id: UUID) -> Endpoint:
    """Raises `NotFound`, also for another workspace's, and `Forbidden`."""
    endpoint = endpoints(identity).filter(id=endpoint_id).first()
    if endpoint is None:
        raise NotFound
    return endpoint


def deliveries(identity: Identity) -> QuerySet[Delivery, Row]:
    """The rows of the workspace's deliveries, each with its event's `run_id`. Raises `Forbidden`, as `endpoints`."""
    identity.require_unbound(_UNBOUND)
    found = of_workspace(identity, Delivery.objects.all())
    rows: QuerySet[Delivery, Any] = found.values(*DELIVERY_COLUMNS, run_id=F("event__run_id"))
    return rows


def get_delivery(identity: Identity, delivery_id: UUID) -> Row:
    """One of them. Raises `NotFound` and `Forbidden`."""
    return _found(deliveries(identity).filter(id=delivery_id).first())


def get_delivery_log(identity: Identity, delivery_id: UUID) -> Row:
    """One of them with its event's `body`, and its latest `attempts`, the first one first. Raises as `get_delivery`."""
    wanted = deliveries(identity).filter(id=delivery_id).values(*DELIVERY_COLUMNS, "run_id", body=F("event__body"))
    row = _found(wanted.first())
    latest = Attempt.objects.filter(delivery_id=delivery_id).order_by("-number")[:MOST_ATTEMPTS]
    return {**row, "attempts": list(latest)[::-1]}


def alerts(identity: Identity) -> QuerySet[Alert]:
    """The workspace's alerts and the server's, which concern everybody. Raises `Forbidden`, as `endpoints`."""
    identity.require_unbound("no alerts")
    return of_workspace_or_server(identity, Alert.objects.all())


def get_alert(identity: Identity, alert_id: UUID) -> Alert:
    """One of them. Raises `NotFound` and `Forbidden`."""
    alert = alerts(identity).filter(id=alert_id).first()
    if alert is None:
        raise NotFound
    return alert


def _found(row: Row | None) -> Row:
    if row is None:
        raise NotFound
    return row
