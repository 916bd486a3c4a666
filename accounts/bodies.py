"""The bodies that these routes take."""

from datetime import UTC, datetime
from typing import Annotated, Any

from django.conf import settings
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

from accounts.identity import SCOPES
from accounts.limits import LARGEST
from accounts.models import Role as Roles
from accounts.vault import LONGEST, MOST_HOSTS
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


DEFAULT_OVERLAP_S = 86_400.0
MAX_OVERLAP_S = 7 * 86_400.0


def within_calendar(moment: datetime) -> datetime:
    """The moment in UTC; raises `ValueError` for one that cannot be stored."""
    # PostgreSQL keeps what is beyond the year 9999 in UTC, and nothing here could read it again.
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is beyond the calendar") from None


Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_only_text), AfterValidator(within_calendar)]

Role = Annotated[Roles, Field(strict=False)]


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


class RotateApiKey(Body):
    """A new key in the place of one."""

    overlap_s: Annotated[float, Field(ge=0, le=MAX_OVERLAP_S)] = DEFAULT_OVERLAP_S
    expires_at: Moment | None = None


class AddMember(Body):
    """A person who is to belong to the workspace."""

    username: Annotated[str, StringConstraints(min_length=1, max_length=150)]
    role: Role = Roles.MEMBER
    email: Annotated[str, StringConstraints(min_length=1, max_length=254)] | None = None


class ChangeMember(Body):
    """Another role."""

    role: Role


class PutSecret(Body):
    """A secret's value, which no answer shows, and where it may be sent."""

    value: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
    hosts: Annotated[list[str], Field(min_length=1, max_length=MOST_HOSTS)] = Field(
        description="`host` or `host:port`, as they stand in URLs."
    )


def _own(path: Any) -> Any:
    # As a page opens it, or as it is described.
    return path.removeprefix(settings.MOUNT_PREFIX) if isinstance(path, str) else path


class CreateWsTicket(Body):
    """A ticket for one websocket."""

    path: Annotated[
        str, StringConstraints(max_length=500, pattern=r"^/(ws|langgraph/threads)/[^?#\s]+$"), BeforeValidator(_own)
    ]
