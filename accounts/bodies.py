"""The bodies that these routes take."""

from typing import Annotated, Any

from django.conf import settings
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

from accounts.identity import SCOPES
from accounts.limits import LARGEST
from core.validation import Body, UserId


def _only_text(value: Any) -> Any:
    # Pydantic would take a number for a moment too.
    if value is not None and not isinstance(value, str):
        raise ValueError("Must be a moment like 2026-01-31T12:00:00Z.")
    return value


def _known_scope(scope: str) -> str:
    if scope not in SCOPES:
        raise ValueError("Not a scope: <family>:<read|write> or *.")
    return scope


Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_only_text)]


def _absent() -> Any:
    # A limit is there or not; null is no way to say so.
    return Field(default_factory=lambda: None)


AtMost = Annotated[int, Field(ge=1, le=LARGEST)]


class KeyLimits(Body):
    """What the key may take at most; what is left out has no limit of the key's own."""

    requests_per_minute: AtMost = _absent()
    concurrent_runs: AtMost = _absent()
    streams: AtMost = _absent()
    runs_per_day: AtMost = _absent()
    tokens_per_day: AtMost = _absent()


class CreateApiKey(Body):
    """A new key."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    scopes: Annotated[list[Annotated[str, AfterValidator(_known_scope)]], Field(min_length=1, max_length=20)]
    user_id: UserId | None = None
    expires_at: Moment | None = None
    limits: KeyLimits = Field(default_factory=KeyLimits)


def _own(path: Any) -> Any:
    # As a page opens it, or as it is described.
    return path.removeprefix(settings.MOUNT_PREFIX) if isinstance(path, str) else path


class CreateWsTicket(Body):
    """A ticket for one websocket."""

    path: Annotated[str, StringConstraints(max_length=500, pattern=r"^/ws/[^?#\s]+$"), BeforeValidator(_own)]
