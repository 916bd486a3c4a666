"""What model and tool calls were, for the steps of a run. Part of `runtime.contract`."""

from dataclasses import dataclass
from typing import Any, Literal

from runtime.said import Json, ToolCall, Usage


@dataclass(slots=True)
class ModelRecord:
    """What one model call was, for the run's steps."""

    provider: str
    model: str
    usage: Usage
    finish_reason: str | None = None

    def document(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "model": self.model,
            "usage": self.usage.document(),
            "finish_reason": self.finish_reason,
        }


@dataclass(slots=True)
class ToolRecord:
    """What one tool call was, for the run's steps. `cached`: the tool was not called, its earlier result is given.

    `artifact_id`: the result was too large, and is kept there. `decision`: what a person decided about the call, None
    where nobody was asked; after `edit` the call is the edited one, and after `respond` the result is what they said.
    """

    call: ToolCall
    status: Literal["ok", "error", "rejected", "cancelled"]
    result: Json = None
    error: str | None = None
    duration_ms: float = 0.0
    cached: bool = False
    artifact_id: str | None = None
    decision: Literal["approve", "edit", "reject", "respond"] | None = None

    def document(self) -> dict[str, Any]:
        return {
            **self.call.document(),
            "status": self.status,
            "result": self.result,
            "error": self.error,
            "duration_ms": round(self.duration_ms, 3),
            "cached": self.cached,
            "artifact_id": self.artifact_id,
            "decision": self.decision,
        }
