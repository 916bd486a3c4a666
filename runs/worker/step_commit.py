"""A step's rows, and what the statements of `runs.worker.commit` take of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.db import jsonb
from runs.lifecycle import TERMINAL, Status
from runs.worker.artifacts import NewArtifact
from runs.worker.branching import Branch
from runtime.graph_rows import GraphRows
from sessions.models import Activity

_ACTIVITY_AFTER = {
    Status.SUCCESS: Activity.IDLE,
    Status.CANCELLED: Activity.IDLE,
    Status.ERROR: Activity.ERROR,
    Status.TIMEOUT: Activity.ERROR,
    Status.PENDING: Activity.RUNNING,
    Status.INTERRUPTED: Activity.INTERRUPTED,
}


@dataclass(slots=True)
class StepCommit:
    """The rows of a step, or of several, ready to be written; `status` moves the run on, None leaves it running.

    `run` holds the run's new totals and `base_seq`, its last event before them; `retry_in_s` (seconds) is for a run
    that goes back to pending, `interrupt_timeout_s` for one that asks a person. `answered`: a step took what a person
    had answered. `branch`: these are the first rows of a run that begins at an earlier checkpoint. `files`: those
    shared with other sessions, by owner and path. `graph`: what a hosted graph's checkpointer stores, where the run is
    `hosted`. `children` are what it waits for from here on; `took`: a step took the results of those before.
    """

    run_id: str
    session_id: str
    epoch: int
    run: dict[str, Any]
    session: dict[str, Any]
    status: Status | None = None
    retry_in_s: float | None = None
    error: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    interrupt: dict[str, Any] | None = None
    interrupt_timeout_s: float | None = None
    answered: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    branch: Branch | None = None
    files: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[NewArtifact] = field(default_factory=list)
    graph: GraphRows = field(default_factory=GraphRows)
    hosted: bool = False
    children: list[dict[str, Any]] = field(default_factory=list)
    took: bool = False

    def run_row(self) -> dict[str, Any]:
        return {
            **self.run,
            "id": self.run_id,
            "epoch": self.epoch,
            "status": self.status,
            "error": self.error,
            "interrupt": self.interrupt,
            "retry_in_s": self.retry_in_s,
            "interrupt_timeout_s": self.interrupt_timeout_s,
            "took": self.took,
        }

    def session_row(self) -> dict[str, Any]:
        changes, removed = _changed(self.checkpoints)
        return {
            **self.session,
            "changes": changes if changes or removed else None,
            "removed": removed,
            "id": self.session_id,
            "run_id": self.run_id,
            "activity": None if self.status is None else _ACTIVITY_AFTER[self.status],
            "ended": self.status in TERMINAL,
        }

    def fenced(self) -> dict[str, Any]:
        """What the fence asks of the run that a row is of."""
        return {"id": self.run_id, "epoch": self.epoch, "status": self.status, "base_seq": self.run["base_seq"]}

    def move_rows(self) -> Iterator[dict[str, Any]]:
        """Where the session's line is moved to, if it is."""
        if self.branch is not None:
            yield {
                **self.fenced(),
                "checkpoint": self.branch.checkpoint_id,
                "step": self.checkpoints[0]["step"],
                "copies": [{"id": copy, "original": original} for original, copy in self.branch.copies.items()],
            }

    def artifact_columns(self) -> dict[str, Any]:
        return {
            "run": jsonb([self.fenced()]),
            "ids": [artifact.id for artifact in self.artifacts],
            "call_ids": [artifact.call_id for artifact in self.artifacts],
            "names": [artifact.name for artifact in self.artifacts],
            "mime_types": [artifact.mime_type for artifact in self.artifacts],
            "contents": [artifact.content for artifact in self.artifacts],
        }

    def child_rows(self) -> Iterator[dict[str, Any]]:
        return ({**self.fenced(), **child} for child in self.children)

    def file_rows(self, nth: int) -> Iterator[dict[str, Any]]:
        """`nth`: the commit's place among those that are written at once."""
        return ({**self.fenced(), "nth": nth, **file} for file in self.files.values())

    def event_rows(self) -> Iterator[dict[str, Any]]:
        """The events without the output of a run, which is stored with that (`runs.events.event_from_row`)."""
        for event in self.events:
            if event["event"] == "end":
                yield {**event, "data": {name: value for name, value in event["data"].items() if name != "output"}}
            else:
                yield event


def _changed(checkpoints: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """The state's keys that these checkpoints set, one after the other, and those that they delete."""
    changes: dict[str, Any] = {}
    removed: set[str] = set()
    for checkpoint in checkpoints:
        gone = checkpoint["removed"]
        changes = {key: value for key, value in changes.items() if key not in gone} | checkpoint["changes"]
        removed = {*removed, *gone} - changes.keys()
    return changes, sorted(removed)
