"""How much an operator lets through to a provider, as `AGENT_SERVER_PROVIDER_LIMITS` says it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from runtime.providers import provider_names


@dataclass(frozen=True, slots=True)
class Limit:
    """What all calls under one name may take together; None is without a limit."""

    concurrent_calls: int | None = None
    calls_per_minute: int | None = None
    tokens_per_minute: int | None = None


_KINDS = tuple(field.name for field in fields(Limit))


def read_limits(text: str) -> dict[str, Limit]:
    """The limits by the name of a provider, or of one of its models: `openai`, `openai:gpt-4o`.

    Raises ValueError, whose message says what is wrong.
    """
    if not text.strip():
        return {}
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"It is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise ValueError('It must be an object, as in {"openai": {"concurrent_calls": 50}}.')
    return {name: _limit(name, given) for name, given in document.items()}


def limits_for(limits: Mapping[str, Limit], provider: str, model: str) -> list[str]:
    """The names of the limits that a call must keep to."""
    return [name for name in (provider, f"{provider}:{model}") if name in limits]


def _limit(name: str, given: Any) -> Limit:
    provider, colon, model = name.partition(":")
    if provider not in provider_names() or (colon and not model):
        names = ", ".join(provider_names())
        raise ValueError(f"There is no provider {name!r}; there are {names}, and their models as in openai:gpt-4o.")
    if not isinstance(given, dict) or not given:
        raise ValueError(f"{name!r} must have at least one of {', '.join(_KINDS)}.")
    for kind, value in given.items():
        if kind not in _KINDS:
            raise ValueError(f"{name!r} has {kind!r}; it takes {', '.join(_KINDS)}.")
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**53:
            raise ValueError(f"{kind} of {name!r} must be a whole number of at least 1, not {json.dumps(value)}.")
    return Limit(**given)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("It has the same key twice.")
    return members
