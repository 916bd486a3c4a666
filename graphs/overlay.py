"""What a run has handed over to be stored and may not have been stored yet: its graph reads it all the same."""

from collections.abc import Iterator
from typing import Any

from core.db import Row
from runtime.graph_rows import GraphRows
from sessions.graph_queries import CheckpointKey, GraphPage, ValueKey, in_order


class Overlay:
    """Rows by their places."""

    def __init__(self) -> None:
        self.checkpoints: dict[CheckpointKey, Row] = {}
        self.values: dict[ValueKey, tuple[Any, str | None]] = {}
        self.writes: dict[CheckpointKey, dict[tuple[str, int], Row]] = {}

    def add(self, rows: GraphRows) -> None:
        """Take these over: of writes at one place the first stays, unless they stand in for each other."""
        for checkpoint in rows.checkpoints:
            self.checkpoints[checkpoint["namespace"], checkpoint["checkpoint_id"]] = checkpoint
        for value in rows.values:
            self.values.setdefault(_value_key(value), (value["value"], value.get("base")))
        for write in rows.writes:
            _put(self.writes.setdefault((write["namespace"], write["checkpoint_id"]), {}), write)

    def drop(self, rows: GraphRows) -> None:
        """These are stored: they are read from there."""
        for checkpoint in rows.checkpoints:
            self.checkpoints.pop((checkpoint["namespace"], checkpoint["checkpoint_id"]), None)
        for value in rows.values:
            self.values.pop(_value_key(value), None)
        for write in rows.writes:
            at = write["namespace"], write["checkpoint_id"]
            held = self.writes.get(at, {})
            # A later one may have taken its place.
            if held.get((write["task_id"], write["index"])) is write:
                del held[write["task_id"], write["index"]]
            if not held:
                self.writes.pop(at, None)

    def matching(
        self, namespace: str | None, checkpoint_id: str | None, before: str | None, metadata: dict[str, Any] | None
    ) -> dict[CheckpointKey, Row]:
        """The checkpoints that `read_graph` would find if they were stored."""
        return {
            key: row
            for key, row in self.checkpoints.items()
            if (namespace is None or key[0] == namespace)
            and (checkpoint_id is None or key[1] == checkpoint_id)
            and (before is None or key[1] < before)
            and all(row["metadata"].get(name) == value for name, value in (metadata or {}).items())
        }

    def missing(self, checkpoints: dict[CheckpointKey, Row]) -> Iterator[ValueKey]:
        """The values that these name, or that are gone on from, and that are not here."""
        for (namespace, _), row in checkpoints.items():
            for channel, named in row["document"]["channel_versions"].items():
                version: str | None = str(named)
                while version is not None and (held := self.values.get((namespace, channel, version))):
                    version = held[1]
                if version is not None:
                    yield namespace, channel, version

    def lay_over(self, page: GraphPage, checkpoints: dict[CheckpointKey, Row], limit: int | None) -> None:
        """Add what is here to what was read, in its order; `limit` holds for both together."""
        together = {**page.checkpoints, **checkpoints}
        latest = sorted(together, key=lambda key: key[1], reverse=True)[:limit]
        page.checkpoints = {key: together[key] for key in latest}
        page.values.update(self.values)
        for key, ours in self.writes.items():
            held = {(write["task_id"], write["index"]): write for write in page.writes.get(key, ())}
            for write in ours.values():
                _put(held, write)
            page.writes[key] = sorted(held.values(), key=in_order)


def _value_key(value: Row) -> ValueKey:
    return value["namespace"], value["channel"], value["version"]


def _put(held: dict[tuple[str, int], Row], write: Row) -> None:
    place = write["task_id"], write["index"]
    if write["index"] < 0 or place not in held:
        held[place] = write
