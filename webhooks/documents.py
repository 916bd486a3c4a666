"""The JSON shapes of webhooks, deliveries and alerts."""

from collections.abc import Iterable
from typing import Any

from webhooks.models import Alert, Attempt, Delivery, Endpoint


def endpoint_document(endpoint: Endpoint) -> dict[str, Any]:
    """A webhook as it may be shown: never its secret."""
    return {
        "id": endpoint.id,
        "name": endpoint.name,
        "url": endpoint.url,
        "events": endpoint.events,
        "headers": endpoint.headers,
        "retry_delays_s": endpoint.retry_delays_s,
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
        "failures": endpoint.failures,
        "last_success_at": endpoint.last_success_at,
        "last_failure_at": endpoint.last_failure_at,
        "previous_secret_until": endpoint.previous_until,
        "created_by": endpoint.created_by,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
    }


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    """An event on its way to one receiver; the delivery comes with its event."""
    return {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "webhook_id": delivery.endpoint_id,
        "run_id": delivery.event.run_id,
        "event": delivery.kind,
        "url": delivery.url,
        "status": delivery.status,
        "attempt_count": delivery.attempt_count,
        "max_attempts": delivery.max_attempts,
        "next_attempt_at": delivery.next_attempt_at,
        "last_status_code": delivery.last_status_code,
        "last_error": delivery.last_error,
        "created_at": delivery.created_at,
        "finished_at": delivery.finished_at,
    }


def delivery_log_document(delivery: Delivery, attempts: Iterable[Attempt]) -> dict[str, Any]:
    """The same with what was sent, and what came back at these attempts."""
    told = [_attempt_document(attempt) for attempt in attempts]
    return {**delivery_document(delivery), "body": delivery.event.body, "attempts": told}


def _attempt_document(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "manual": attempt.manual,
        "started_at": attempt.started_at,
        "duration_ms": attempt.duration_ms,
        "request_headers": attempt.request_headers,
        "status_code": attempt.status_code,
        "response_headers": attempt.response_headers,
        "response_body": attempt.response_body,
        "error": attempt.error,
    }


def alert_document(alert: Alert) -> dict[str, Any]:
    """Something that is, or was, wrong."""
    return {
        "id": alert.id,
        "kind": alert.kind,
        "subject": alert.subject,
        "message": alert.message,
        "opened_at": alert.opened_at,
        "resolved_at": alert.resolved_at,
    }
