"""Reads of a workspace's webhooks, their deliveries, and its alerts.

What is delivered holds what any user of the workspace said: who is bound to one of them sees none of it.
"""

from uuid import UUID

from django.db.models import QuerySet

from accounts.identity import Identity
from accounts.scoping import of_workspace, of_workspace_or_server
from core.errors import NotFound
from webhooks.models import Alert, Attempt, Delivery, Endpoint

# Of more attempts, which were asked for by hand, the latest are shown.
MOST_ATTEMPTS = 50
_UNBOUND = "no webhooks"


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


def deliveries(identity: Identity) -> QuerySet[Delivery]:
    """The workspace's deliveries, each with its `event`, of which the run is read and not what it says.

    Raises `Forbidden`, as `endpoints`.
    """
    identity.require_unbound(_UNBOUND)
    found = of_workspace(identity, Delivery.objects.select_related("event"))
    return found.defer("event__data", "event__body")


def get_delivery(identity: Identity, delivery_id: UUID) -> Delivery:
    """One of them. Raises `NotFound` and `Forbidden`."""
    delivery = deliveries(identity).filter(id=delivery_id).first()
    if delivery is None:
        raise NotFound
    return delivery


def latest_attempts(delivery: Delivery) -> list[Attempt]:
    """Those at a delivery that the caller may see, the first one first."""
    return list(Attempt.objects.filter(delivery_id=delivery.pk).order_by("-number")[:MOST_ATTEMPTS])[::-1]


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
