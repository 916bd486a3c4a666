"""Failed HTTP calls as our errors, alike for every provider."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from runtime.errors import ModelError, ModelRateLimited, ModelServerError, ModelTimeout


def by_status(status: int, message: str, retry_after_s: float | None = None) -> ModelError:
    """The error for an answer with HTTP status `status`."""
    if status == 429:
        return ModelRateLimited(message, retry_after_s=retry_after_s)
    if status == 408:
        return ModelTimeout(message, retry_after_s=retry_after_s)
    if status >= 500:
        return ModelServerError(message, retry_after_s=retry_after_s)
    return ModelError(message)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How many seconds the other side wants us to wait: `retry-after-ms`, or `Retry-After` in either form."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        return max(0.0, float(headers["retry-after"]))
    except KeyError:
        return None
    except ValueError:
        return _seconds_until(headers["retry-after"]) if "retry-after" in headers else None


def _seconds_until(date: str) -> float | None:
    try:
        return max(0.0, (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
