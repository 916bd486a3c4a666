"""Stored checkpoints as LangGraph has them: live values, pending writes, configs."""

from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointTuple, PendingWrite

from core.db import Row
from graphs.serde import load
from sessions.graph_queries import CheckpointKey, GraphPage, ValueKey


def config_of(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """The config that names a checkpoint."""
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}


def pending(write: Row) -> PendingWrite:
    """A row of a task's write as LangGraph has it."""
    return write["task_id"], write["channel"], load(write["value"])


class Tuples:
    """Tuples of a page's checkpoints. What their lists have in common is built once."""

    def __init__(self, session_id: UUID, page: GraphPage) -> None:
        self._thread_id, self._page = str(session_id), page
        self._lists: dict[ValueKey, list[Any]] = {}

    def of(self, key: CheckpointKey) -> CheckpointTuple:
        """The checkpoint at this place of the page, with its values and what was written after it."""
        row, (namespace, checkpoint_id) = self._page.checkpoints[key], key
        parent = row["parent_id"] and config_of(self._thread_id, namespace, row["parent_id"])
        checkpoint: Checkpoint = load(row["document"])
        checkpoint["channel_values"] = self._channels(namespace, checkpoint["channel_versions"])
        return CheckpointTuple(
            config_of(self._thread_id, namespace, checkpoint_id),
            checkpoint,
            row["metadata"],
            parent,
            [pending(write) for write in self._page.writes.get(key, ())],
        )

    def _channels(self, namespace: str, versions: dict[str, Any]) -> dict[str, Any]:
        keys = {channel: (namespace, channel, str(version)) for channel, version in versions.items()}
        values = self._page.values
        return {channel: self._value(key) for channel, key in keys.items() if values.get(key, _NONE)[0] is not None}

    def _value(self, key: ValueKey) -> Any:
        stored = self._page.values[key][0]
        # A list of its own for each checkpoint: a graph may add to it.
        return list(self._list(key)) if isinstance(stored, list) else load(stored)

    def _list(self, key: ValueKey) -> list[Any]:
        if key not in self._lists:
            stored, base = self._page.values[key]
            before = () if base is None else self._list((*key[:2], base))
            self._lists[key] = [*before, *load(stored)]
        return self._lists[key]


_NONE = (None, None)
