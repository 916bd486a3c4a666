"""Runs as LangGraph's clients have them, and what a finished one answers."""

from collections.abc import Collection, Mapping
from typing import Any

from core.db import Row
from core.documents import moment
from graphs.configs import run_config
from protocols.langgraph.interrupts import interrupts_of
from protocols.langgraph.messages import langchain_messages
from runs.lifecycle import Status

# To LangGraph a run that asks a person is over, and went well: it is the thread that is interrupted.
_STATUS = {Status.INTERRUPTED: "success", Status.CANCELLED: "interrupted"}
_CHANGES = ("created_at", "queued_at", "claimed_at", "interrupted_at", "finished_at")
FIELDS = (
    "run_id",
    "thread_id",
    "assistant_id",
    "created_at",
    "updated_at",
    "status",
    "metadata",
    "kwargs",
    "multitask_strategy",
    "langsmith_session_name",
)


def status_of(status: str) -> str:
    """A run's status in LangGraph's words."""
    return _STATUS.get(Status(status), status)


def statuses_of(wanted: str) -> list[str]:
    """The statuses of ours that are shown as this one."""
    return [str(status) for status in Status if status_of(status) == wanted]


def run_document(row: Mapping[str, Any], fields: Collection[str] = FIELDS) -> dict[str, Any]:
    """A run, or these fields of it; `row` holds `input` and `kwargs` where those are wanted."""
    document = {
        "run_id": str(row["id"]),
        "thread_id": str(row["session_id"]),
        "assistant_id": str(row["assistant_id"]),
        "created_at": moment(row["created_at"]),
        "updated_at": moment(max(row[name] for name in _CHANGES if row[name] is not None)),
        "status": status_of(row["status"]),
        "metadata": row["metadata"],
        "multitask_strategy": row["multitask_strategy"],
        "langsmith_session_name": None,
    }
    if "kwargs" in fields:
        document["kwargs"] = kwargs_document(row)
    return {name: document[name] for name in FIELDS if name in fields}


def kwargs_document(row: Mapping[str, Any]) -> dict[str, Any]:
    """The request behind a run, under the names that LangGraph gives its parts; of a native run what there is of it."""
    kwargs = row["kwargs"] or {}
    document = {
        "input": row["input"],
        "command": kwargs.get("command"),
        "config": _config_of(row, kwargs.get("config") or {}),
        "context": kwargs.get("context") or {},
        "stream_mode": kwargs.get("stream_mode") or ["values"],
        "interrupt_before": kwargs.get("interrupt_before"),
        "interrupt_after": kwargs.get("interrupt_after"),
        "webhook": kwargs.get("webhook"),
        "feedback_keys": None,
        "temporary": kwargs.get("temporary", False),
        "subgraphs": kwargs.get("stream_subgraphs", False),
        "resumable": kwargs.get("stream_resumable", False),
        "checkpoint_during": row["durability"] != "exit",
        "durability": row["durability"],
    }
    return document | {name: kwargs[name] for name in ("checkpoint",) if name in kwargs}


def _config_of(row: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The config as the graph has it, without its assistant's."""
    if row["kwargs"] is None:
        return {}
    place = {
        "assistant_id": str(row["assistant_id"]),
        "graph_id": row["metadata"].get("graph_id"),
        "run_id": str(row["id"]),
        "thread_id": str(row["session_id"]),
    }
    return run_config(asked, place, row["user_id"], row["metadata"], row["attempt"])


def error_of(error: Mapping[str, Any]) -> dict[str, Any]:
    """Why a run failed: the class of what was raised, and what it said."""
    return {"error": error["type"], "message": error["message"]}


NOT_FOUND = {"__error__": {"error": "HTTPException", "message": "404: Run not found"}}


def answer_of(row: Row | None) -> Any:
    """What waiting for a run gives: the values of its thread; why it failed; None in the row's place: it is gone.

    `row` is of `protocols.langgraph.run_rows.get_answer`.
    """
    if row is None or row["discarded"]:
        return NOT_FOUND
    if row["error"] is not None and row["status"] in {Status.ERROR, Status.TIMEOUT}:
        return {"__error__": error_of(row["error"])}
    values = values_of(row)
    if row["status"] == Status.INTERRUPTED and isinstance(values, dict):
        asked = interrupts_of(row["id"], row["interrupt"], row["checkpoint_id"])
        # A breakpoint asks nothing.
        if asked:
            shown = [{"value": one["value"], "id": one["id"], **_schema_of(one)} for one in asked]
            return {**values, "__interrupt__": shown}
    return values


def values_of(row: Row) -> Any:
    """The values of the run's thread: a graph's as it left them, of a native assistant what was said."""
    if row["messages"] is not None or not row["hosted"]:
        return {**row["state"], "messages": langchain_messages(row["messages"] or [])}
    if row["status"] == Status.SUCCESS and row["output"] is not None:
        return row["output"].get("structured")
    return row["state"]


def _schema_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {"response_schema": asked.get("response_schema")}
