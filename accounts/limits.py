"""What a key and a workspace may take at most. No database and no Django: the settings read their part with it too.

Who carries the limits out: `accounts.rates` the requests, `accounts.streams` the streams, `runs.limits` the runs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal
from uuid import UUID

from core.errors import Limit

# What JSON numbers and Redis' scripts hold exactly.
LARGEST = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Each is a whole number of at least 1; None is no limit.

    `concurrent_runs` counts runs that wait for a worker or are carried out, `streams` open event streams and
    websockets. A day begins at midnight UTC.
    """

    requests_per_minute: int | None = None
    concurrent_runs: int | None = None
    streams: int | None = None
    runs_per_day: int | None = None
    tokens_per_day: int | None = None

    @property
    def of_runs(self) -> bool:
        """Whether any of them is about accepting runs."""
        return any(limit is not None for limit in (self.concurrent_runs, self.runs_per_day, self.tokens_per_day))

    def document(self) -> dict[str, int]:
        """As JSON: the limits that there are."""
        return {name: value for name in NAMES if (value := getattr(self, name)) is not None}

    def beyond(self, other: "Limits") -> str | None:
        """The name of a limit that is larger here than there, or missing here; None where all are within."""
        for name, bound in other.document().items():
            own = getattr(self, name)
            if own is None or own > bound:
                return name
        return None


NAMES = tuple(field.name for field in fields(Limits))


@dataclass(frozen=True, slots=True)
class Holder:
    """A key or a workspace that has limits."""

    kind: Literal["key", "workspace"]
    id: UUID
    limits: Limits


def holders(
    workspace_id: UUID,
    of_workspace: Mapping[str, int],
    default: Limits,
    key_id: UUID | None = None,
    of_key: Mapping[str, int] | None = None,
) -> tuple[Holder, ...]:
    """Who of a caller's key and workspace has limits, the key first.

    What the workspace does not set itself is as `default` says (`AGENT_SERVER_WORKSPACE_LIMITS`).
    """
    found: list[Holder] = []
    if key_id is not None and of_key:
        found.append(Holder("key", key_id, Limits(**of_key)))
    whole = {**default.document(), **of_workspace}
    if whole:
        found.append(Holder("workspace", workspace_id, Limits(**whole)))
    return tuple(found)


def holder_document(holder: Holder) -> dict[str, Any]:
    """As JSON, for a ticket that stands for the caller."""
    return {"kind": holder.kind, "id": str(holder.id), "limits": holder.limits.document()}


def holder_from(document: Mapping[str, Any]) -> Holder:
    """What `holder_document` made."""
    return Holder(document["kind"], UUID(document["id"]), Limits(**document["limits"]))


def read_limits(text: str) -> Limits:
    """Limits as an operator writes them: `requests_per_minute=6000,streams=1000`; nothing for none.

    Raises ValueError, whose message says what is wrong.
    """
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in NAMES:
            raise ValueError(f"there is no limit {name!r}; there are {', '.join(NAMES)}")
        if name in found:
            raise ValueError(f"{name} is given twice")
        if not equals or not value.isascii() or not value.isdigit() or not 1 <= int(value[:17]) <= LARGEST:
            raise ValueError(f"{name} must be a whole number of at least 1, as in {name}=100, not {value!r}")
        found[name] = int(value)
    return Limits(**found)


# -- what the refused are told -----------------------------------------------------------------------------------------


def reached(allowed: int, left_s: float) -> Limit:
    """The limit that a request met, which may allow more in so many seconds."""
    return Limit(allowed, max(1, math.ceil(left_s)))


def counted(number: int, unit: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{number} {unit}{'' if number == 1 else 's'}"
