"""Reading the rows of hosted graphs: checkpoints with what their channels hold and what tasks wrote after them.

The caller has made sure that the session may be seen. What is stored is plain JSON with marks (`graphs.serde`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from core.db import Operation, Query, Row, jsonb, operation

# Where a value is kept: namespace, channel, version. And a checkpoint, or what was written after it: namespace, id.
ValueKey = tuple[str, str, str]
CheckpointKey = tuple[str, str]


@dataclass(slots=True)
class GraphPage:
    """Checkpoints, the latest first, with all that they name.

    - `checkpoints`: `namespace`, `checkpoint_id`, `parent_id`, `document`, `metadata`; ids are text
    - `values`: the value, or what comes behind the list of another version, and then that version
    - `writes`: in the order in which a step takes them; `task_id`, `index`, `task_path`, `channel`, `value`
    """

    checkpoints: dict[CheckpointKey, Row] = field(default_factory=dict)
    values: dict[ValueKey, tuple[Any, str | None]] = field(default_factory=dict)
    writes: dict[CheckpointKey, list[Row]] = field(default_factory=dict)

    def value(self, key: ValueKey) -> Any:
        """What is stored of a channel at a version, whole; None where it is empty or not known."""
        value, base = self.values.get(key, (None, None))
        if base is None:
            return value
        pieces = [value]
        while base is not None:
            value, base = self.values[(*key[:2], base)]
            pieces.append(value)
        return [item for piece in reversed(pieces) for item in piece]


# The values of all of them, each once, with those that they go on from. `OFFSET 0` has each place looked up by the
# index: joined, all values and writes of a long session would be read for a few of them, and how depends on statistics.
_READ = """
WITH RECURSIVE found AS MATERIALIZED (
    SELECT namespace, checkpoint_id, parent_id, document, metadata FROM graph_checkpoints
    WHERE session_id = %(session)s {conditions}
    ORDER BY checkpoint_id DESC LIMIT {limit}
), named AS (
    SELECT found.namespace, v.key AS channel, v.value AS version
    FROM found CROSS JOIN LATERAL json_each_text(found.document->'channel_versions') v
    UNION
    SELECT w.item->>0, w.item->>1, w.item->>2 FROM jsonb_array_elements(%(values)s) w(item)
), chain AS (
    SELECT named.namespace, named.channel, named.version, g.base FROM named CROSS JOIN LATERAL (
        SELECT base FROM graph_values WHERE session_id = %(session)s AND namespace = named.namespace
            AND channel = named.channel AND version = named.version OFFSET 0) g
    UNION
    SELECT chain.namespace, chain.channel, chain.base, g.base FROM chain CROSS JOIN LATERAL (
        SELECT base FROM graph_values WHERE session_id = %(session)s AND namespace = chain.namespace
            AND channel = chain.channel AND version = chain.base OFFSET 0) g
), after AS (
    SELECT namespace, checkpoint_id FROM found
    UNION
    SELECT w.item->>0, (w.item->>1)::uuid FROM jsonb_array_elements(%(writes)s) w(item)
)
SELECT
    (SELECT json_agg(row_to_json(found)) FROM found) AS checkpoints,
    (SELECT json_agg(json_build_array(chain.namespace, chain.channel, chain.version, g.value, chain.base)) FROM chain
        CROSS JOIN LATERAL (SELECT value FROM graph_values WHERE session_id = %(session)s
            AND namespace = chain.namespace AND channel = chain.channel AND version = chain.version OFFSET 0) g
    ) AS channel_values,
    (SELECT json_agg(json_build_array(w.namespace, w.checkpoint_id, w.task_id, w.index, w.task_path, w.channel,
        w.value)) FROM after CROSS JOIN LATERAL (SELECT * FROM graph_writes WHERE session_id = %(session)s
            AND namespace = after.namespace AND checkpoint_id = after.checkpoint_id OFFSET 0) w) AS writes
"""

# As `WHERE` has them; each counts where its parameter is given.
_CONDITIONS = {
    "namespace": "namespace = %(namespace)s",
    "checkpoint": "checkpoint_id = %(checkpoint)s",
    "before": "checkpoint_id < %(before)s",
    "metadata": "metadata @> %(metadata)s",
}


@operation()
def read_graph(
    session_id: UUID,
    *,
    namespace: str | None = None,
    checkpoint_id: str | None = None,
    before: str | None = None,
    metadata: dict[str, Any] | None = None,
    limit: int | None = None,
    values: Iterable[ValueKey] = (),
    writes: Iterable[CheckpointKey] = (),
) -> Operation[GraphPage]:
    """Checkpoints of the session's graph, the latest first, in one query.

    `namespace`: of that graph or subgraph only ("" is the graph itself). `checkpoint_id`: that one. `before`: only
    those before that one. `metadata`: those that have this in theirs. `limit`: so many at most. `values` and `writes`
    are read besides those that the checkpoints name.
    """
    given = {"namespace": namespace, "checkpoint": checkpoint_id, "before": before, "metadata": metadata or None}
    conditions = [_CONDITIONS[name] for name, condition in given.items() if condition is not None]
    parameters = {
        **given,
        "metadata": jsonb(metadata),
        "session": session_id,
        "limit": limit,
        "values": jsonb([list(key) for key in values]),
        "writes": jsonb([list(key) for key in writes]),
    }
    statement = _READ.format(
        conditions="".join(f" AND {condition}" for condition in conditions),
        # The one that is asked for all the time is planned as such.
        limit="1" if limit == 1 else "%(limit)s",
    )
    (row,) = yield Query(statement, parameters)
    page = GraphPage({(c["namespace"], c["checkpoint_id"]): c for c in row["checkpoints"] or ()})
    for space, channel, version, value, base in row["channel_values"] or ():
        page.values[space, channel, version] = (value, base)
    for space, checkpoint, *write in row["writes"] or ():
        page.writes.setdefault((space, checkpoint), []).append(dict(zip(_WRITE, write, strict=True)))
    for held in page.writes.values():
        held.sort(key=in_order)
    return page


_WRITE = ("task_id", "index", "task_path", "channel", "value")


def in_order(write: Row) -> tuple[str, str, int]:
    """A step takes writes in this order (`langgraph.checkpoint.base.writes_sort_key`)."""
    return write["task_path"], write["task_id"], write["index"]


# From the parent of the checkpoint back to where all of these channels have been found with a value. `open` are those
# that have none there, nor later; `asked` those that had none later.
_DELTAS = """
WITH RECURSIVE chain AS (
    SELECT checkpoint_id, parent_id, 0 AS nth, '{}'::text[] AS asked, %(channels)s::text[] AS open, document
    FROM (SELECT * FROM graph_checkpoints WHERE session_id = %(session)s AND namespace = %(namespace)s
        AND (%(checkpoint)s::uuid IS NULL OR checkpoint_id = %(checkpoint)s)
        ORDER BY checkpoint_id DESC LIMIT 1) target
    UNION ALL
    SELECT c.checkpoint_id, c.parent_id, chain.nth + 1, chain.open, ARRAY(
        SELECT d FROM unnest(chain.open) d WHERE NOT EXISTS (
            SELECT FROM graph_values v WHERE v.session_id = %(session)s AND v.namespace = %(namespace)s
                AND v.channel = d AND v.version = c.document->'channel_versions'->>d AND v.value IS NOT NULL)
    ), c.document
    FROM chain JOIN graph_checkpoints c ON c.session_id = %(session)s AND c.namespace = %(namespace)s
        AND c.checkpoint_id = chain.parent_id
    WHERE cardinality(chain.open) > 0
)
SELECT
    (SELECT json_agg(json_build_array(%(namespace)s::text, d, chain.document->'channel_versions'->>d))
        FROM unnest(chain.asked) d WHERE d <> ALL(chain.open)) AS seeds,
    (SELECT json_agg(json_build_array(w.task_id, w.index, w.task_path, w.channel, w.value)) FROM graph_writes w
        WHERE w.session_id = %(session)s AND w.namespace = %(namespace)s AND w.checkpoint_id = chain.checkpoint_id
        AND w.channel = ANY(chain.asked)) AS writes
FROM chain WHERE nth > 0 ORDER BY nth
"""


@operation()
def read_deltas(
    session_id: UUID, namespace: str, checkpoint_id: str | None, channels: Sequence[str]
) -> Operation[tuple[dict[str, Any], list[Row]]]:
    """What delta channels are made of at a checkpoint (the latest without one).

    Gives what is stored of each at the nearest checkpoint before it that holds a value of it, and what was written to
    them from there on, the first first.
    """
    rows = yield Query(
        _DELTAS,
        {"session": session_id, "namespace": namespace, "checkpoint": checkpoint_id, "channels": list(channels)},
    )
    keys: list[ValueKey] = [(key[0], key[1], key[2]) for row in rows for key in row["seeds"] or ()]
    page = GraphPage()
    if keys:
        page = yield from read_graph(session_id, limit=0, values=keys).start()
    written = [
        write
        for row in reversed(rows)
        for write in sorted((dict(zip(_WRITE, held, strict=True)) for held in row["writes"] or ()), key=in_order)
    ]
    return {key[1]: page.value(key) for key in keys}, written
