"""What a hosted graph that has stopped waits for: people's answers (`interrupt()`), or only leave to go on.

Imports nothing of langgraph: it reads what a graph's `aget_state` gives.
"""

from collections.abc import Iterator
from typing import Any

from graphs.rendering import render
from runtime.contract import Json


def asked_by(snapshot: Any) -> dict[str, Json] | None:
    """The form in which a run asks; None where the graph has nothing more to do.

    `interrupts` are empty where it stopped at a breakpoint (`interrupt_before`, `interrupt_after`); `ns` is the path of
    the subgraph that asks, `task_id` the task of the graph itself in which it does.
    """
    if not (snapshot.next or snapshot.interrupts):
        return None
    interrupts = [
        _interrupt(interrupt, task.id, _place(task, interrupt.id))
        for task in snapshot.tasks
        for interrupt in task.interrupts
    ]
    return {"type": "custom", "value": {"interrupts": interrupts, "next": list(snapshot.next)}}


def _interrupt(interrupt: Any, task_id: str, namespace: str) -> dict[str, Json]:
    document = {"id": interrupt.id, "value": render(interrupt.value), "task_id": task_id}
    document["ns"] = namespace.split("|") if namespace else []
    if (schema := getattr(interrupt, "response_schema", None)) is not None:
        document["response_schema"] = render(schema)
    return document


def _place(task: Any, interrupt_id: str) -> str:
    """The namespace of the deepest subgraph below the task that asks this."""
    deepest: str = ""
    for snapshot in _below(task):
        if any(interrupt.id == interrupt_id for inner in snapshot.tasks for interrupt in inner.interrupts):
            deepest = snapshot.config["configurable"].get("checkpoint_ns") or deepest
    return deepest


def _below(task: Any) -> Iterator[Any]:
    # Without `subgraphs` it is a config, and no snapshot.
    if hasattr(task.state, "tasks"):
        yield task.state
        for inner in task.state.tasks:
            yield from _below(inner)
