"""The JSON shapes of runs, steps and events: one function each, over plain rows, for every door."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from core.db import Row
from core.documents import moment, text
from runs.lifecycle import TERMINAL, Status
from sessions.documents import message_document

RUN_COLUMNS = (
    "id, number, session_id, assistant_id, assistant_version, user_id, parent_run_id, schedule_id, status, attempt, "
    "priority, error, interrupt, interrupt_expires_at, input_tokens, output_tokens, cost_usd, metadata, durability, "
    "multitask_strategy, lease_owner, checkpoint_id, cancel_requested_at, next_attempt_at, created_at, queued_at, "
    "claimed_at, started_at, finished_at, last_seq, workspace_id, last_worker_id, webhook"
)


def has_ended(row: Row) -> bool:
    """Whether a wait for the run is over: it has ended, or it waits for a person."""
    return row["status"] in TERMINAL or row["status"] == Status.INTERRUPTED


def run_summary(row: Row) -> dict[str, Any]:
    """A run as lists show it: without input, output and steps."""
    asks = row["status"] == Status.INTERRUPTED
    return {
        "id": str(row["id"]),
        "number": row["number"],
        "session_id": str(row["session_id"]),
        "assistant_id": str(row["assistant_id"]),
        "assistant_version": row["assistant_version"],
        "user_id": row["user_id"],
        "parent_run_id": text(row["parent_run_id"]),
        "schedule_id": text(row["schedule_id"]),
        "status": row["status"],
        "attempt": row["attempt"],
        "priority": row["priority"],
        "error": row["error"],
        "interrupt": row["interrupt"] if asks else None,
        "interrupt_expires_at": moment(row["interrupt_expires_at"]) if asks else None,
        "usage": usage(row),
        "metadata": row["metadata"],
        "durability": row["durability"],
        "multitask_strategy": row["multitask_strategy"],
        "webhook": row["webhook"],
        "worker_id": text(row["lease_owner"] or row["last_worker_id"]),
        "checkpoint_id": text(row["checkpoint_id"]),
        "cancel_requested_at": moment(row["cancel_requested_at"]),
        "next_attempt_at": moment(row["next_attempt_at"]),
        "created_at": moment(row["created_at"]),
        "queued_at": moment(row["queued_at"]),
        "claimed_at": moment(row["claimed_at"]),
        "started_at": moment(row["started_at"]),
        "finished_at": moment(row["finished_at"]),
    }


def run_document(row: Row) -> dict[str, Any]:
    """A whole run; `row` also holds `input`, `output` and `steps` (rows of `run_steps`)."""
    return {
        **run_summary(row),
        "input": row["input"],
        "output": row["output"],
        "steps": [step_document(step) for step in row["steps"] or ()],
    }


def state_document(
    messages: Iterable[Row], values: dict[str, Any], context: dict[str, Any], interrupt: Any, checkpoint_id: UUID | None
) -> dict[str, Any]:
    """What a session stands at, or stood at as of a checkpoint."""
    return {
        "messages": [message_document(message) for message in messages],
        "todos": values.get("todos", []),
        "metadata": context,
        "interrupt": interrupt,
        "checkpoint_id": text(checkpoint_id),
    }


def usage(row: Row) -> dict[str, Any]:
    cost = row["cost_usd"]
    return {
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "total_tokens": row["input_tokens"] + row["output_tokens"],
        "cost_usd": None if cost is None else float(cost),
    }


def step_document(step: Row) -> dict[str, Any]:
    return {
        "index": step["index"],
        "kind": step["kind"],
        "status": step["status"],
        "attempt": step["attempt"],
        "started_at": moment(step["started_at"]),
        "duration_ms": step["duration_ms"],
        "model": step["model"],
        "tool_calls": step["tool_calls"],
    }


def artifact_document(row: Row) -> dict[str, Any]:
    """What there is to know of an artifact without what is in it."""
    return {
        "id": str(row["id"]),
        "run_id": str(row["run_id"]),
        "call_id": row["call_id"],
        "name": row["name"],
        "mime_type": row["mime_type"],
        "size": row["size"],
        "created_at": moment(row["created_at"]),
    }


def worker_document(row: Row) -> dict[str, Any]:
    """A worker; `shown` is its state as of now, whether or not anybody has declared it lost yet."""
    return {
        "id": str(row["id"]),
        "host": row["host"],
        "pid": row["pid"],
        "slots": row["slots"],
        "used": row["used"],
        "labels": row["labels"],
        "types": row["types"],
        "state": row["shown"],
        "heartbeat_at": moment(row["heartbeat_at"]),
    }
