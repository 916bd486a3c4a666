"""What LangGraph streams of tasks and checkpoints, as its server shows it: with errors and places as documents."""

from collections.abc import Mapping
from typing import Any

from graphs.rendering import Json, render

_PLACE = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")


def task_shown(task: Mapping[str, Any]) -> Json:
    """A piece of the mode `tasks`: that a task begins, or what it gave."""
    error = task.get("error")
    shown: dict[str, Json] = render(task)
    if isinstance(error, BaseException):
        shown["error"] = {"error": type(error).__name__, "message": render(str(error))}
    return shown


def checkpoint_shown(checkpoint: Mapping[str, Any]) -> Json:
    """A piece of the mode `checkpoints`."""
    shown: dict[str, Json] = render(checkpoint)
    shown["tasks"] = [task_shown(task) for task in checkpoint["tasks"]]
    return shown


def debug_shown(piece: Mapping[str, Any]) -> Json:
    """A piece of the mode `debug`: one of those, and of a checkpoint its place as clients send it back."""
    payload = piece["payload"]
    if piece["type"] != "checkpoint":
        return {**render({**piece, "payload": None}), "payload": task_shown(payload)}
    shown = checkpoint_shown(payload)
    shown["checkpoint"], shown["parent_checkpoint"] = _place(shown["config"]), _place(shown["parent_config"])
    for task in shown["tasks"]:
        if task.get("state"):
            # Of a subgraph that it runs; what the subgraph holds is not looked up here.
            task["checkpoint"] = _place(task.pop("state"))
    return {**render({**piece, "payload": None}), "payload": shown}


def _place(config: Json) -> Json:
    if config is None:
        return None
    return {name: config["configurable"][name] for name in _PLACE if name in config["configurable"]}
