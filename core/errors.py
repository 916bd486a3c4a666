"""What can go wrong, once: a service raises one of these, and one place maps it to HTTP, websocket or gRPC."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.redaction import everywhere


@dataclass(frozen=True)
class FieldError:
    """A fault at one place of a body (`["llm", "temperature"]`) or a query (`["query", "limit"]`)."""

    loc: tuple[str | int, ...]
    message: str

    def document(self) -> dict[str, Any]:
        return {"loc": list(self.loc), "message": everywhere.text(self.message)}


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit that a request met: how much it allows, and in how many whole seconds it may allow more."""

    allowed: int
    reset_s: int


class AppError(Exception):
    """The request could not be carried out.

    `retry_after` (seconds) says when it may be; a `limit` says that by itself.
    """

    code = "internal"
    status = 500

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        retry_after: float | None = None,
        limit: Limit | None = None,
    ):
        self.detail = detail or (type(self).__doc__ or "").split("\n")[0]
        self.errors = list(errors)
        self.retry_after = retry_after if limit is None else limit.reset_s
        self.limit = limit
        super().__init__(self.detail)

    def document(self, request_id: str) -> dict[str, Any]:
        """The one error body of the native API."""
        return {
            "detail": everywhere.text(self.detail),
            "code": self.code,
            "request_id": request_id,
            "errors": [error.document() for error in self.errors],
        }


class BadRequest(AppError):
    """The request could not be read."""

    code, status = "bad_request", 400


class Unauthenticated(AppError):
    """A valid API key or login is needed."""

    code, status = "unauthenticated", 401


class Forbidden(AppError):
    """Your key or role does not allow this."""

    code, status = "forbidden", 403


class NotFound(AppError):
    """Not found."""

    code, status = "not_found", 404


class MethodNotAllowed(AppError):
    """This method is not allowed here."""

    code, status = "method_not_allowed", 405


class Conflict(AppError):
    """The resource is not in a state that allows this."""

    code, status = "conflict", 409


class AlreadyExists(Conflict):
    """It exists already."""

    code = "already_exists"


class VersionConflict(Conflict):
    """Somebody else changed it in the meantime."""

    code = "version_conflict"


class AssistantNotActive(Conflict):
    """The assistant is not active."""

    code = "assistant_not_active"


class SessionClosed(Conflict):
    """The session is closed or expired."""

    code = "session_closed"


class SessionBusy(Conflict):
    """The session has a run that has not ended."""

    code = "session_busy"


class RunFinished(Conflict):
    """The run has ended."""

    code = "run_finished"


class NotInterrupted(Conflict):
    """The run does not wait for a person."""

    code = "not_interrupted"


class IdempotencyMismatch(Conflict):
    """This Idempotency-Key was used with another body."""

    code = "idempotency_mismatch"


class TooLarge(AppError):
    """The request is too large."""

    code, status = "too_large", 413


class UnsupportedMediaType(AppError):
    """The body must be application/json without a Content-Encoding."""

    code, status = "unsupported_media_type", 415


class Invalid(AppError):
    """The request is well-formed but not valid."""

    code, status = "invalid", 422

    @classmethod
    def at(cls, *loc: str | int, message: str) -> "Invalid":
        """One fault at one place."""
        return cls(message, errors=[FieldError(loc, message)])

    @classmethod
    def of(cls, faults: list[FieldError]) -> "Invalid":
        """All of these; the first one is what a person reads."""
        where = ".".join(str(part) for part in faults[0].loc) if faults else ""
        detail = f"{where}: {faults[0].message}" if where else faults[0].message if faults else ""
        return cls(detail, errors=faults)


class RateLimited(AppError):
    """Too many requests."""

    code, status = "rate_limited", 429


class QuotaExceeded(AppError):
    """The day's quota is used up."""

    code, status = "quota_exceeded", 429


class Internal(AppError):
    """The server failed; the request id finds the reason in its log."""


class Unavailable(AppError):
    """The server cannot reach its database; try again."""

    code, status = "unavailable", 503
