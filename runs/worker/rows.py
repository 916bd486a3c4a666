"""Rows of what a run has done."""

from collections.abc import Sequence
from typing import Any

from core.db import Row
from core.text import clean
from runtime.contract import ModelRecord, ToolRecord


def step_row(
    claim: Row,
    index: int,
    kind: str,
    status: str,
    started: str,
    duration_ms: float,
    *,
    model: ModelRecord | None = None,
    tool_calls: Sequence[ToolRecord] = (),
) -> dict[str, Any]:
    """A step of a claimed run."""
    return {
        "run_id": str(claim["id"]),
        "index": index,
        "kind": kind,
        "status": status,
        "attempt": claim["attempt"],
        "started_at": started,
        "duration_ms": round(duration_ms, 3),
        "model": model and model.document(),
        "tool_calls": clean([record.document() for record in tool_calls]),
    }


def told(record: ToolRecord) -> dict[str, Any]:
    """The result of a tool call as its event has it."""
    document = record.document()
    if record.decision != "edit":
        # They stand with the call that the model made.
        del document["args"]
    return document
