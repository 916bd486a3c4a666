"""Pools: which runs a worker may carry out. Those of its types whose labels it has.

Type and labels are the assistant's, of its current version: changing the labels moves the runs that wait, too.
"""

from dataclasses import dataclass
from typing import Any

# The workspaces that have claimable runs, by a loose index scan that does not read the runs. The last row is null.
WAITING = """waiting AS (
    (SELECT workspace_id FROM runs WHERE status = 'pending' AND ready ORDER BY workspace_id LIMIT 1)
    UNION ALL
    SELECT (SELECT r.workspace_id FROM runs r WHERE r.status = 'pending' AND r.ready
                AND r.workspace_id > w.workspace_id ORDER BY r.workspace_id LIMIT 1)
    FROM waiting w WHERE w.workspace_id IS NOT NULL
)"""

# The assistants whose runs are not for the pool. Where none has labels and the pool takes all types, nothing is read.
BARRED = """
SELECT id FROM assistants WHERE labels <> '{}' AND NOT labels <@ %(labels)s::varchar[]
UNION ALL
SELECT id FROM assistants WHERE %(types)s::varchar[] IS NOT NULL AND type <> ALL(%(types)s::varchar[])
"""


@dataclass(frozen=True, slots=True)
class Pool:
    """The part of the work that a worker takes. `types`: runs of these only, None for all. `labels`: what it has."""

    types: tuple[str, ...] | None = None
    labels: tuple[str, ...] = ()

    @property
    def parameters(self) -> dict[str, Any]:
        """What `BARRED` takes."""
        return {"types": None if self.types is None else list(self.types), "labels": list(self.labels)}


# What a worker without options takes: all runs but those that need a label.
COMMON = Pool()
