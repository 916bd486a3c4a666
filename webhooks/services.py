"""Every write that somebody asks for: webhooks, their secrets, a delivery that is sent again, an alert's end."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, Value, When

from accounts import audit
from accounts.bounds import refuse_one_too_many
from accounts.identity import Identity
from core.clock import ClockTimestamp
from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.ids import new_id
from core.url_guard import BlockedUrl
from runtime.configuration import current
from webhooks import alerts, queries, signing
from webhooks.bodies import ChangeWebhook, CreateWebhook
from webhooks.doorbell import ring
from webhooks.kinds import Kind
from webhooks.models import Alert, Delivery, DeliveryStatus, Endpoint, Event

MOST_ENDPOINTS = 100
# What is new about a receiver: nothing that is known of it holds any more.
_AS_NEW: dict[str, Any] = {"failures": 0, "not_before": None, "disabled_reason": ""}


@transaction.atomic
def create_endpoint(
    identity: Identity, body: CreateWebhook, *, endpoint_id: UUID | None = None
) -> tuple[Endpoint, str]:
    """A new webhook and its signing secret, which no other answer shows.

    Raises `Forbidden` (bound to a user), `Conflict` (there are no webhooks here, or too many) and `Invalid` (the URL).
    """
    found = queries.endpoints(identity)
    _refuse_where_off()
    _check_url(body.url)
    refuse_one_too_many(identity, found, MOST_ENDPOINTS, f"A workspace has at most {MOST_ENDPOINTS} webhooks.")
    its_id, secret = endpoint_id or new_id(), body.secret or signing.new_secret()
    endpoint = Endpoint.objects.create(
        id=its_id,
        workspace_id=identity.workspace_id,
        sealed_secret=signing.seal(identity.workspace_id, its_id, secret),
        created_by=identity.actor,
        **body.model_dump(exclude={"secret"}),
    )
    _record(identity, "created", endpoint)
    return endpoint, secret


@transaction.atomic
def change_endpoint(identity: Identity, endpoint_id: UUID, body: ChangeWebhook) -> Endpoint:
    """Change what the body has; the next attempts of what is on its way go by it, to another URL too.

    Switched on again, or at another URL, it counts as one that never failed. Raises `NotFound`, `Forbidden`,
    `Conflict` (switched on where there are no webhooks) and `Invalid`.
    """
    former = _locked(identity, endpoint_id)
    wanted = body.model_dump(exclude_unset=True)
    changed = {name: value for name, value in wanted.items() if getattr(former, name) != value}
    if not changed:
        return former
    if "url" in changed:
        _check_url(changed["url"])
    if changed.get("enabled"):
        _refuse_where_off()
    as_new = _AS_NEW if "url" in changed or changed.get("enabled") else {}
    Endpoint.objects.filter(id=former.pk).update(**changed, **as_new, updated_at=ClockTimestamp())
    endpoint = queries.get_endpoint(identity, endpoint_id)
    if "url" in changed:
        # The log says where each one went, or will go.
        _waiting(endpoint).update(url=endpoint.url)
    _record(identity, "updated", endpoint, changed=sorted(changed))
    if as_new:
        transaction.on_commit(ring)
    return endpoint


@transaction.atomic
def delete_endpoint(identity: Identity, endpoint_id: UUID) -> None:
    """Forget the webhook. What is on its way to it is cancelled; the log stays. Raises `NotFound` and `Forbidden`."""
    # Whoever tells it something holds the row until their commit: what they have queued is seen below.
    endpoint = _locked(identity, endpoint_id, for_key=True)
    cancelled = _waiting(endpoint).update(
        status=DeliveryStatus.CANCELLED,
        next_attempt_at=None,
        lease_owner=None,
        lease_expires_at=None,
        finished_at=ClockTimestamp(),
    )
    Endpoint.objects.filter(id=endpoint.pk).delete()
    # Nothing will ever arrive there, which is what would have resolved it.
    alerts.resolve_alert(identity.workspace_id, Kind.DELIVERY_DEAD, str(endpoint.pk)).run()
    _record(identity, "deleted", endpoint, cancelled=cancelled)


@transaction.atomic
def rotate_secret(identity: Identity, endpoint_id: UUID, overlap_s: float) -> tuple[Endpoint, str]:
    """A new secret; the one before signs beside it for `overlap_s` seconds more, and one before that no longer.

    Raises `NotFound` and `Forbidden`.
    """
    former, secret = _locked(identity, endpoint_id), signing.new_secret()
    signing.replace_secret(former.workspace_id, former.pk, secret, overlap_s)
    endpoint = queries.get_endpoint(identity, endpoint_id)
    _record(identity, "rotated", endpoint, overlap_s=overlap_s)
    return endpoint, secret


@transaction.atomic
def send_test(identity: Identity, endpoint_id: UUID) -> Delivery:
    """Queue an event of the kind `test` for this webhook alone, to be tried once; gives the delivery.

    It is sent to one that is switched off, too. Raises `NotFound`, `Forbidden` and `Conflict`.
    """
    endpoint = _locked(identity, endpoint_id)
    _refuse_where_off()
    event = Event.objects.create(
        workspace_id=endpoint.workspace_id,
        kind=Kind.TEST,
        data={"webhook": {"id": str(endpoint.pk), "name": endpoint.name}},
    )
    delivery = Delivery.objects.create(
        workspace_id=endpoint.workspace_id,
        event=event,
        endpoint=endpoint,
        kind=Kind.TEST,
        url=endpoint.url,
        destination=str(endpoint.pk),
        max_attempts=1,
        next_attempt_at=ClockTimestamp(),
        manual=True,
    )
    _record(identity, "tested", endpoint)
    transaction.on_commit(ring)
    return queries.get_delivery(identity, delivery.pk)


@transaction.atomic
def redeliver(identity: Identity, delivery_id: UUID) -> Delivery:
    """Try the delivery once more, now; gives it as it is then.

    One that has ended gets this one attempt, and ends again with it; one that waits goes on as before if it fails.
    Raises `NotFound`, `Forbidden` and `Conflict` (its webhook is deleted, or there are no webhooks here).
    """
    delivery = queries.get_delivery(identity, delivery_id)
    _refuse_where_off()
    # The endpoint first, as who deletes one does.
    endpoint = _lock(identity, delivery.endpoint_id) if delivery.endpoint_id else None
    if delivery.endpoint_id and endpoint is None:
        raise Conflict("The webhook is deleted.")
    waits = Q(status=DeliveryStatus.PENDING)
    asked = Delivery.objects.filter(id=delivery_id).exclude(status=DeliveryStatus.CANCELLED)
    asked.update(
        status=DeliveryStatus.PENDING,
        # It goes where the webhook is now.
        url=endpoint.url if endpoint else delivery.url,
        manual=True,
        next_attempt_at=ClockTimestamp(),
        finished_at=None,
        max_attempts=Case(When(waits, then=F("max_attempts")), default=F("attempt_count") + Value(1)),
    )
    audit.record(identity, "redelivered", "delivery", delivery_id, event=delivery.kind, url=delivery.url)
    transaction.on_commit(ring)
    return queries.get_delivery(identity, delivery_id)


@transaction.atomic
def close_alert(identity: Identity, alert_id: UUID) -> Alert:
    """Resolve the alert by hand; one that is resolved stays as it is. Raises `NotFound` and `Forbidden`."""
    alert = queries.get_alert(identity, alert_id)
    if alert.workspace_id is None:
        raise Forbidden("This alert is the server's: it is resolved when all is well again.")
    if alerts.resolve_one(alert.pk).run():
        audit.record(identity, "resolved", "alert", alert.pk, kind=alert.kind, subject=alert.subject)
    return queries.get_alert(identity, alert_id)


def _locked(identity: Identity, endpoint_id: UUID, *, for_key: bool = False) -> Endpoint:
    endpoint = _lock(identity, endpoint_id, for_key=for_key)
    if endpoint is None:
        raise NotFound
    return endpoint


def _lock(identity: Identity, endpoint_id: UUID, *, for_key: bool = False) -> Endpoint | None:
    return queries.endpoints(identity).select_for_update(no_key=not for_key).filter(id=endpoint_id).first()


def _waiting(endpoint: Endpoint) -> QuerySet[Delivery]:
    # By the destination there is an index of those that wait.
    waiting = Delivery.objects.filter(destination=str(endpoint.pk), status=DeliveryStatus.PENDING)
    return waiting.filter(endpoint_id=endpoint.pk)


def _refuse_where_off() -> None:
    if not settings.WEBHOOKS:
        raise Conflict("Webhooks are switched off on this server.")


def _check_url(url: str) -> None:
    try:
        current().guard.check(url)
    except BlockedUrl as error:
        raise Invalid.at("url", message=error.message) from None


def _record(identity: Identity, action: str, endpoint: Endpoint, **details: Any) -> None:
    told = {"name": endpoint.name, "url": endpoint.url, "events": endpoint.events}
    audit.record(identity, action, "webhook", endpoint.pk, **told, **details)
