"""What a hosted graph leaves to be stored with a step: rows of its checkpoints, their values, and tasks' writes."""

from dataclasses import dataclass, field
from typing import Any

Rows = list[dict[str, Any]]


@dataclass(slots=True)
class GraphRows:
    """Rows for the tables of these names (`sessions.models`), but for their session and run, in the order of writing.

    - `checkpoints`: `namespace`, `checkpoint_id`, `parent_id`, `document`, `metadata`
    - `values`: `namespace`, `channel`, `version`, `value`; `base` where the value goes on from another one's list
    - `writes`: `namespace`, `checkpoint_id`, `task_id`, `index`, `task_path`, `channel`, `value`
    """

    checkpoints: Rows = field(default_factory=list)
    values: Rows = field(default_factory=list)
    writes: Rows = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.checkpoints or self.values or self.writes)

    def add(self, other: "GraphRows") -> None:
        """Take over what comes after."""
        self.checkpoints += other.checkpoints
        self.values += other.values
        self.writes += other.writes
