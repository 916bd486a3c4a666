"""How a step ended, as one value; and what a failure means for the run."""

import random
from dataclasses import dataclass
from typing import Any

from runtime.contract import Step
from runtime.errors import AgentError


@dataclass(slots=True, frozen=True)
class Finished:
    """The step was carried out."""

    step: Step


@dataclass(slots=True, frozen=True)
class Failed:
    """The step failed."""

    error: AgentError


@dataclass(slots=True, frozen=True)
class TimedOut:
    """The run took longer than it may."""


@dataclass(slots=True, frozen=True)
class Cancelled:
    """Somebody asked to stop the run; `superseded`, for a newer one of its session."""

    superseded: bool = False


@dataclass(slots=True, frozen=True)
class HandedBack:
    """This worker is leaving; the run goes on elsewhere and is charged nothing."""


@dataclass(slots=True, frozen=True)
class Postponed:
    """A provider takes no more calls; the run leaves its slot for `delay_s` seconds and is charged nothing."""

    delay_s: float


Outcome = Finished | Failed | TimedOut | Cancelled | HandedBack | Postponed


class StepTimeout(AgentError):
    """The step took longer than it may."""

    code, kind, retryable = "step_timeout", "timeout", True


class UnexpectedError(AgentError):
    """The agent's own code raised something that is not an AgentError."""

    code = "agent_error"


def retry_delay_s(policy: dict[str, Any], error: AgentError, failures: int) -> float | None:
    """Seconds until the next try, or None where there is none.

    `failures` counts this one too. Exponential backoff doubles from the initial interval to the maximum, with up to
    a quarter of random extra so that runs that failed together do not return together. What the other side asked
    for (Retry-After) is a floor.
    """
    if not error.retryable or error.kind not in policy["retry_on"] or failures >= policy["max_attempts"]:
        return None
    delay = float(policy["initial_interval_s"])
    if policy["backoff"] == "exponential":
        delay *= 2.0 ** min(failures - 1, 30)
    delay = min(delay, float(policy["max_interval_s"]))
    delay += delay * random.random() / 4  # noqa: S311 - jitter, not a secret
    return max(delay, error.retry_after_s or 0.0)


def error_document(error: AgentError, *, retryable: bool) -> dict[str, Any]:
    """The `error` of a run or event."""
    return {
        "type": error.type_name,
        "code": error.code,
        "message": error.message[:4_000],
        "retryable": retryable,
    }
