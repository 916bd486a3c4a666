"""What follows from an attempt: delivered, tried again and when, or given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from webhooks.dispatch.exchange import Exchange
from webhooks.models import DeliveryStatus

GONE, TOO_MANY, UNAVAILABLE = 410, 429, 503
# A later attempt comes up to so much later, so that those that failed together do not come back together.
JITTER = 0.2
LONGEST_WISH_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`retry_in_s` is set while it is pending. `gone`: the receiver wants nothing any more."""

    status: DeliveryStatus
    reason: str = ""
    retry_in_s: float | None = None
    gone: bool = False


def verdict(
    exchange: Exchange, *, attempts: int, most: int, delays_s: Sequence[int], chance: float, now: datetime
) -> Verdict:
    """`attempts`: how many there were with this one, of `most`. `delays_s`: before the second one, the third...

    `chance` (0 to 1) spreads the delay; `now` is what a date in Retry-After is compared with.
    """
    status = exchange.status
    if status is not None and 200 <= status < 300:
        return Verdict(DeliveryStatus.DELIVERED)
    reason = exchange.error or _reason(status)
    if status == GONE:
        return Verdict(DeliveryStatus.DEAD, reason, gone=True)
    if attempts >= most:
        return Verdict(DeliveryStatus.DEAD, reason)
    delay = delays_s[min(attempts, len(delays_s)) - 1] * (1 + JITTER * chance) if delays_s else 0.0
    if status in (TOO_MANY, UNAVAILABLE):
        delay = max(delay, wish_s(exchange.headers.get("retry-after", ""), now))
    return Verdict(DeliveryStatus.PENDING, reason, retry_in_s=delay)


def wish_s(retry_after: str, now: datetime) -> float:
    """The seconds of a `Retry-After` (RFC 9110, 10.2.3: seconds or a date), at most a day; 0 for what is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_WISH_S)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return min(max((date - now).total_seconds(), 0.0), LONGEST_WISH_S)


def _reason(status: int | None) -> str:
    if status == GONE:
        return "The receiver wants no more of it (410)."
    if status is not None and 300 <= status < 400:
        return f"It answered {status}: redirects are not followed."
    return f"It answered {status}."
