"""A thread's state as LangGraph's clients have it, whoever made it: a hosted graph or a native assistant."""

from collections.abc import Collection, Mapping
from typing import Any

from core.errors import Invalid

PARTS = ("values", "next", "tasks", "checkpoint", "metadata", "created_at", "parent_checkpoint", "interrupts")


def place(thread_id: Any, checkpoint_id: Any, namespace: str = "") -> dict[str, Any]:
    """A checkpoint by its place."""
    return {"checkpoint_id": str(checkpoint_id), "thread_id": str(thread_id), "checkpoint_ns": namespace}


def nothing(checkpoint: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The state of a thread to which nothing has happened, or at a checkpoint that there is not."""
    return {
        "values": {},
        "next": [],
        "tasks": [],
        "metadata": None,
        "created_at": None,
        "checkpoint": checkpoint,
        "parent_checkpoint": None,
        "interrupts": [],
        "checkpoint_id": checkpoint and checkpoint["checkpoint_id"],
        "parent_checkpoint_id": None,
    }


def updated(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The answer to a change of the state."""
    return {"checkpoint": checkpoint, "configurable": checkpoint, "checkpoint_id": checkpoint["checkpoint_id"]}


def check_selected(select: Collection[str] | None) -> None:
    """Raises Invalid for what is no part of a state: `values`, `values.<key>` ..."""
    for name in select or ():
        if name not in PARTS and not name.startswith("values."):
            raise Invalid(f"select: {name!r} is none of {', '.join(PARTS)} or values.<key>.")


def selected(state: dict[str, Any], select: Collection[str] | None) -> dict[str, Any]:
    """The parts that are asked for, all without; `values.<key>` is one key of the values."""
    if not select:
        return state
    keys = {name.removeprefix("values.") for name in select if name.startswith("values.")}
    shown = {name: part for name, part in state.items() if name in select}
    if keys and "values" not in select:
        values = state["values"]
        shown["values"] = {key: values[key] for key in values if key in keys} if isinstance(values, dict) else values
    return shown
