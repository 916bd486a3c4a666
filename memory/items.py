"""What is put into the store and asked of it, and how large that may be."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import BadRequest, Invalid

Namespace = Sequence[str]

MAX_LABELS = 32
# Namespace and key stand in one index, whose entries have an end.
MAX_NAME_BYTES = 1_024
MAX_VALUE_BYTES = 1_048_576
# Whole years that a moment of PostgreSQL can hold.
MAX_TTL_MINUTES = 525_600 * 100
# What is LangGraph's own, as its stores have it.
RESERVED = "langgraph"
ANY = "*"


@dataclass(frozen=True, slots=True)
class Put:
    """A document under its name. It is kept for `ttl_minutes` after it was written or, if so asked, read; None: for
    good."""

    namespace: Namespace
    key: str
    value: dict[str, Any]
    ttl_minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """Items whose namespace begins with `prefix`, those changed last first.

    `filter` maps keys of the value to what they must be: a value, or operators (`$eq`, `$ne`, `$gt`, `$gte`, `$lt`,
    `$lte`) with one each, at any depth. An item that lacks the key does not match.
    """

    prefix: Namespace = ()
    filter: dict[str, Any] = field(default_factory=dict)
    limit: int = 10
    offset: int = 0
    refresh_ttl: bool = True


@dataclass(frozen=True, slots=True)
class Listing:
    """Namespaces that begin with `prefix` and end with `suffix`, where "*" stands for any label, cut off after
    `max_depth` labels."""

    prefix: Namespace = ()
    suffix: Namespace = ()
    max_depth: int | None = None
    limit: int = 100
    offset: int = 0


def check_labels(labels: Namespace) -> None:
    """Raise `Invalid` for a label that no namespace has."""
    for label in labels:
        if not label or "." in label:
            raise Invalid(f"Namespace label '{label}' must be a non-empty string without periods")


def check_name(namespace: Namespace, key: str) -> None:
    """Raise `BadRequest` and `Invalid` for a name that no item may have."""
    check_labels(namespace)
    if not namespace:
        raise BadRequest("Namespace cannot be empty.")
    if namespace[0] == RESERVED:
        raise BadRequest(f'Root label for namespace cannot be "{RESERVED}". Got: {tuple(namespace)!r}')
    if len(namespace) > MAX_LABELS:
        raise Invalid(f"A namespace has {MAX_LABELS} labels at most.")
    if sum(len(part.encode(errors="replace")) for part in (*namespace, key)) > MAX_NAME_BYTES:
        raise Invalid(f"Namespace and key together have {MAX_NAME_BYTES} bytes at most.")
