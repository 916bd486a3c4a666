"""What an attempt leaves behind: its row in the log, the delivery's next state, the endpoint's health, an alert.

One transaction, and nothing at all where the delivery is no longer its owner's. The endpoint's row is locked first, as
whoever deletes an endpoint does.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from core.db import Operation, Query, Row, jsonb, operation
from core.ids import new_id
from webhooks.alerts import raise_alert, resolve_alert
from webhooks.dispatch.exchange import Exchange
from webhooks.dispatch.verdict import Verdict
from webhooks.kinds import Kind
from webhooks.models import DeliveryStatus

# After a failure the endpoint is left alone for so long, twice as long each time.
FIRST_REST_S, LONGEST_REST_S = 5, 300
# It is switched off after so many failures in a row, if nothing has arrived for a day.
MOST_FAILURES, DAYS = 50, 1
SWITCHED_OFF = f"Switched off after {MOST_FAILURES} failures in a row."
# Nobody is told that it could not be told.
_UNTOLD = (Kind.DELIVERY_DEAD, Kind.TEST)
_SUBJECT = 64

_LOCK = "SELECT id FROM webhook_endpoints WHERE id = %(endpoint)s FOR NO KEY UPDATE"

# Who asked for it while this attempt was under way gets one more.
_DELIVERY = """
UPDATE webhook_deliveries SET status = %(status)s, attempt_count = attempt_count + 1,
    manual = manual AND NOT (%(manual)s OR %(over)s),
    next_attempt_at = clock_timestamp() + CASE WHEN manual AND NOT (%(manual)s OR %(over)s) THEN interval '0'
        ELSE make_interval(secs => %(retry_in_s)s) END, lease_owner = NULL,
    lease_expires_at = NULL, last_status_code = %(code)s, last_error = left(%(reason)s, 1000),
    finished_at = CASE WHEN %(over)s THEN clock_timestamp() END
WHERE id = %(id)s AND lease_owner = %(owner)s AND status = 'pending' RETURNING attempt_count
"""

_ATTEMPT = """
INSERT INTO webhook_attempts (id, delivery_id, number, manual, started_at, duration_ms, request_headers, status_code,
    response_headers, response_body, error)
VALUES (%(id)s, %(delivery)s, %(number)s, %(manual)s, %(started_at)s, %(duration_ms)s, %(request_headers)s, %(code)s,
    %(response_headers)s, %(response_body)s, left(%(error)s, 1000))
"""

_ARRIVED = """
UPDATE webhook_endpoints SET failures = 0, not_before = NULL, last_success_at = clock_timestamp()
WHERE id = %(endpoint)s
"""

# Those that were under way together fail together: while it is left alone nothing is counted.
_FAILED = """
UPDATE webhook_endpoints e SET last_failure_at = clock_timestamp(),
    failures = CASE WHEN resting THEN e.failures ELSE e.failures + 1 END,
    not_before = CASE WHEN resting THEN e.not_before
        ELSE clock_timestamp() + make_interval(secs => least(%(longest)s, %(first)s * 2 ^ least(e.failures, 30))) END,
    enabled = e.enabled AND NOT off,
    disabled_reason = CASE WHEN e.enabled AND off THEN left(%(why)s, 500) ELSE e.disabled_reason END
FROM (
    SELECT id, coalesce(not_before > clock_timestamp(), false) AS resting,
        %(gone)s OR (failures + 1 >= %(most)s AND coalesce(last_success_at, created_at)
            < clock_timestamp() - make_interval(days => %(days)s)) AS off
    FROM webhook_endpoints WHERE id = %(endpoint)s) now
WHERE e.id = now.id RETURNING off
"""

_CANCEL = """
UPDATE webhook_deliveries SET status = 'cancelled', lease_owner = NULL, lease_expires_at = NULL,
    next_attempt_at = NULL, finished_at = clock_timestamp()
WHERE id = %(id)s AND lease_owner = %(owner)s AND status = 'pending'
"""


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt: of which claimed delivery, when, with which headers as the log shows them."""

    delivery: Row
    owner: UUID
    started_at: datetime
    headers: dict[str, str]
    exchange: Exchange


@operation(atomic=True)
def record(attempted: Attempted, verdict: Verdict) -> Operation[bool]:
    """Keep the attempt and what follows from it; gives whether the delivery was still its owner's."""
    delivery, exchange = attempted.delivery, attempted.exchange
    endpoint = {"endpoint": delivery["endpoint_id"]}
    if delivery["endpoint_id"] is not None:
        yield Query(_LOCK, endpoint)
    kept = yield Query(
        _DELIVERY,
        {
            "id": delivery["id"],
            "owner": attempted.owner,
            "status": str(verdict.status),
            "over": verdict.status != DeliveryStatus.PENDING,
            "manual": delivery["manual"],
            "retry_in_s": verdict.retry_in_s,
            "code": exchange.status,
            "reason": verdict.reason,
        },
    )
    if not kept:
        return False
    yield Query(_ATTEMPT, _logged(attempted, verdict, kept[0]["attempt_count"]))
    subject = delivery["destination"][:_SUBJECT]
    if verdict.status == DeliveryStatus.DELIVERED:
        yield Query(_ARRIVED, endpoint)
        yield from resolve_alert(delivery["workspace_id"], Kind.DELIVERY_DEAD, subject).start()
        return True
    why = verdict.reason if verdict.gone else SWITCHED_OFF
    rest = {"first": FIRST_REST_S, "longest": LONGEST_REST_S, "most": MOST_FAILURES, "days": DAYS}
    health = yield Query(_FAILED, {**endpoint, **rest, "gone": verdict.gone, "why": why})
    off = bool(health and health[0]["off"])
    if off or (verdict.status == DeliveryStatus.DEAD and delivery["kind"] not in _UNTOLD):
        yield from raise_alert(
            delivery["workspace_id"],
            Kind.DELIVERY_DEAD,
            subject,
            _message(delivery, verdict, kept[0]["attempt_count"], off),
            _told(delivery, verdict, exchange, kept[0]["attempt_count"]),
        )
    return True


@operation()
def cancel(delivery_id: UUID, owner: UUID) -> Operation[None]:
    """There is nobody to send it to any more: its endpoint was deleted."""
    yield Query(_CANCEL, {"id": delivery_id, "owner": owner})


def _logged(attempted: Attempted, verdict: Verdict, number: int) -> dict[str, Any]:
    exchange = attempted.exchange
    return {
        "id": new_id(),
        "delivery": attempted.delivery["id"],
        "number": number,
        "manual": attempted.delivery["manual"],
        "started_at": attempted.started_at,
        "duration_ms": exchange.duration_ms,
        "request_headers": jsonb(attempted.headers),
        "code": exchange.status,
        "response_headers": jsonb(exchange.headers),
        "response_body": exchange.body,
        "error": verdict.reason,
    }


def _message(delivery: Row, verdict: Verdict, attempts: int, off: bool) -> str:
    parts = urlsplit(delivery["url"])
    # Without the query: it may hold a token.
    where = delivery["endpoint_name"] or f"{parts.scheme}://{parts.netloc}{parts.path}"
    tries = "at the first attempt" if attempts == 1 else f"in {attempts} attempts"
    said = f"{delivery['kind']} could not be delivered to {where} {tries}. {verdict.reason}"
    return f"{said} The webhook is switched off." if off else said


def _told(delivery: Row, verdict: Verdict, exchange: Exchange, attempts: int) -> dict[str, Any]:
    return {
        "delivery_id": str(delivery["id"]),
        "webhook_id": None if delivery["endpoint_id"] is None else str(delivery["endpoint_id"]),
        "run_id": None if delivery["run_id"] is None else str(delivery["run_id"]),
        "event_id": str(delivery["event_id"]),
        "event": delivery["kind"],
        "attempts": attempts,
        "last_status_code": exchange.status,
        "last_error": verdict.reason,
    }
