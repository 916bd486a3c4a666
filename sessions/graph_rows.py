"""The rows of hosted graphs (`runtime.graph_rows`): written, copied, taken out. Statements, for any caller.

A worker writes them in the fenced transaction of its steps, a client that changes a graph's state in one of its own.
Documents and values are `json`, which stays as it was written: its keys in their order, its numbers in their form.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Json

from core.db import Operation, Query, Row
from runtime.graph_rows import GraphRows

# Where the graph of `%s`, a session, stands; and where it stood at a checkpoint `c` of the session: NULL where nobody
# knows, or where that is gone.
STANDS_AT = """(SELECT checkpoint_id FROM graph_checkpoints WHERE session_id = %s AND namespace = ''
    ORDER BY checkpoint_id DESC LIMIT 1)"""
STOOD_AT = """(SELECT checkpoint_id FROM graph_checkpoints WHERE session_id = c.session_id AND namespace = ''
    AND checkpoint_id = c.graph_checkpoint_id)"""

TABLES = ("graph_writes", "graph_values", "graph_checkpoints")

_CHECKPOINT = "namespace text, checkpoint_id uuid, parent_id uuid, document json, metadata jsonb"
_VALUE = "namespace text, channel text, version text, base text, value json"
_WRITE = "namespace text, checkpoint_id uuid, task_id text, index int, task_path text, channel text, value json"


def written(rows: Any) -> Json:
    """Rows as a parameter of these statements."""
    return Json(rows, dumps=orjson.dumps)


def insertion(fence: str = "") -> str:
    """The statement that writes `%(graphs)s`, which is `written` of a list of `batch`es, one a session.

    `fence` is a join on `g`, whose row has what the batch was given: a batch that it leaves out is not written.
    A checkpoint that is there is replaced, a value never; of a write `graphs.saver` says it.
    """
    return f"""
WITH given AS (
    SELECT g.session_id, g.id AS run_id, g.checkpoints, g.channel_values, g.writes
    FROM json_to_recordset(%(graphs)s) AS g(id uuid, epoch int, status text, base_seq int, session_id uuid,
        checkpoints json, channel_values json, writes json)
    {fence}
), checkpoints_written AS (
    INSERT INTO graph_checkpoints (session_id, namespace, checkpoint_id, parent_id, run_id, document, metadata)
    SELECT given.session_id, c.namespace, c.checkpoint_id, c.parent_id, given.run_id, c.document, c.metadata
    FROM given CROSS JOIN LATERAL json_to_recordset(given.checkpoints) AS c({_CHECKPOINT})
    ON CONFLICT (session_id, namespace, checkpoint_id) DO UPDATE
        SET document = excluded.document, metadata = excluded.metadata
), values_written AS (
    INSERT INTO graph_values (session_id, namespace, channel, version, base, value)
    SELECT given.session_id, v.namespace, v.channel, v.version, v.base, v.value
    FROM given CROSS JOIN LATERAL json_to_recordset(given.channel_values) AS v({_VALUE})
    ON CONFLICT (session_id, namespace, channel, version) DO NOTHING
)
INSERT INTO graph_writes AS there (session_id, namespace, checkpoint_id, task_id, index, task_path, run_id, channel,
    value)
SELECT given.session_id, w.namespace, w.checkpoint_id, w.task_id, w.index, w.task_path, given.run_id, w.channel, w.value
FROM given CROSS JOIN LATERAL json_to_recordset(given.writes) AS w({_WRITE})
ON CONFLICT (session_id, namespace, checkpoint_id, task_id, index) DO UPDATE
    SET channel = excluded.channel, value = excluded.value, task_path = excluded.task_path, run_id = excluded.run_id
    WHERE there.index < 0
"""  # noqa: S608 - constants


def batch(session_id: UUID | str, run_id: UUID | str | None, rows: GraphRows) -> Row:
    """Rows of one session, and of one run if any, ready to be written: each once, as if one came after the other."""
    values = {(value["namespace"], value["channel"], value["version"]): value for value in reversed(rows.values)}
    return {
        "id": None if run_id is None else str(run_id),
        "session_id": str(session_id),
        "checkpoints": list({(c["namespace"], c["checkpoint_id"]): c for c in rows.checkpoints}.values()),
        "channel_values": list(values.values()),
        "writes": _once(rows.writes),
    }


def _once(writes: Sequence[Row]) -> list[Row]:
    """Of several writes at one place: the last one where they stand in for each other, else the first."""
    kept: dict[tuple[Any, ...], Row] = {}
    for write in writes:
        place = (write["namespace"], write["checkpoint_id"], write["task_id"], write["index"])
        if write["index"] < 0 or place not in kept:
            kept[place] = write
    return list(kept.values())


_INSERT = insertion()


def insert_rows(session_id: UUID, run_id: UUID | None, rows: GraphRows) -> Operation[None]:
    """Write these inside the caller's transaction. The rows of a worker's steps pass its fence with `insertion`."""
    yield Query(_INSERT, {"graphs": written([batch(session_id, run_id, rows)])})


# -- taking out ------------------------------------------------------------------------------------------------------

# What runs have written in their sessions: writes go first.
TAKE_OUT = (
    "DELETE FROM graph_writes w USING runs r, graph_checkpoints c WHERE r.id = ANY(%(runs)s) AND c.run_id = r.id "
    "AND c.session_id = r.session_id AND w.session_id = c.session_id AND w.namespace = c.namespace "
    "AND w.checkpoint_id = c.checkpoint_id",
    "DELETE FROM graph_writes w USING runs r WHERE r.id = ANY(%(runs)s) AND w.session_id = r.session_id "
    "AND w.run_id = r.id",
    "DELETE FROM graph_checkpoints c USING runs r WHERE r.id = ANY(%(runs)s) AND c.run_id = r.id "
    "AND c.session_id = r.session_id RETURNING c.session_id",
)

# By what the checkpoints themselves say, whoever made them.
_FORGET = """
WITH gone AS (
    DELETE FROM graph_checkpoints WHERE metadata->>'run_id' = ANY(%(runs)s)
        AND (%(session)s::uuid IS NULL OR session_id = %(session)s)
    RETURNING session_id, namespace, checkpoint_id
), unwritten AS (
    DELETE FROM graph_writes w USING gone WHERE w.session_id = gone.session_id AND w.namespace = gone.namespace
        AND w.checkpoint_id = gone.checkpoint_id
)
SELECT DISTINCT session_id FROM gone
"""

# Values that no checkpoint names, and that none goes on from which is named.
_COLLECT = """
WITH RECURSIVE named AS (
    SELECT DISTINCT c.session_id, c.namespace, v.key AS channel, v.value AS version
    FROM graph_checkpoints c CROSS JOIN LATERAL json_each_text(c.document->'channel_versions') v
    WHERE c.session_id = ANY(%(sessions)s)
), kept AS (
    SELECT g.session_id, g.namespace, g.channel, g.version, g.base
    FROM named JOIN graph_values g USING (session_id, namespace, channel, version)
    UNION
    SELECT g.session_id, g.namespace, g.channel, g.version, g.base FROM kept JOIN graph_values g
        ON g.session_id = kept.session_id AND g.namespace = kept.namespace AND g.channel = kept.channel
        AND g.version = kept.base
)
DELETE FROM graph_values g WHERE g.session_id = ANY(%(sessions)s) AND NOT EXISTS (
    SELECT FROM kept WHERE kept.session_id = g.session_id AND kept.namespace = g.namespace
        AND kept.channel = g.channel AND kept.version = g.version)
"""

# Of each namespace the latest checkpoint stays. A delta channel that has no value there is made of what was written
# since its last one: for it those before stay too, as far back as that.
_KEEP_LATEST = """
WITH RECURSIVE latest AS (
    SELECT DISTINCT ON (session_id, namespace) session_id, namespace, checkpoint_id, parent_id, document, metadata
    FROM graph_checkpoints WHERE session_id = ANY(%(sessions)s)
    ORDER BY session_id, namespace, checkpoint_id DESC
), kept AS (
    SELECT session_id, namespace, checkpoint_id, parent_id, ARRAY(
        SELECT d FROM jsonb_object_keys(metadata->'counters_since_delta_snapshot') d WHERE NOT EXISTS (
            SELECT FROM graph_values v WHERE v.session_id = latest.session_id AND v.namespace = latest.namespace
                AND v.channel = d AND v.version = latest.document->'channel_versions'->>d AND v.value IS NOT NULL)
    ) AS open FROM latest
    UNION ALL
    SELECT c.session_id, c.namespace, c.checkpoint_id, c.parent_id, ARRAY(
        SELECT d FROM unnest(kept.open) d WHERE NOT EXISTS (
            SELECT FROM graph_values v WHERE v.session_id = c.session_id AND v.namespace = c.namespace
                AND v.channel = d AND v.version = c.document->'channel_versions'->>d AND v.value IS NOT NULL)
    ) FROM kept JOIN graph_checkpoints c ON c.session_id = kept.session_id AND c.namespace = kept.namespace
        AND c.checkpoint_id = kept.parent_id
    WHERE cardinality(kept.open) > 0
), gone AS (
    DELETE FROM graph_checkpoints c WHERE c.session_id = ANY(%(sessions)s) AND NOT EXISTS (
        SELECT FROM kept WHERE kept.session_id = c.session_id AND kept.namespace = c.namespace
            AND kept.checkpoint_id = c.checkpoint_id)
    RETURNING c.session_id, c.namespace, c.checkpoint_id
), orphans AS (
    UPDATE graph_checkpoints c SET parent_id = NULL FROM gone, kept
    WHERE c.session_id = kept.session_id AND c.namespace = kept.namespace AND c.checkpoint_id = kept.checkpoint_id
        AND gone.session_id = c.session_id AND gone.namespace = c.namespace AND gone.checkpoint_id = c.parent_id
)
DELETE FROM graph_writes w USING gone WHERE w.session_id = gone.session_id AND w.namespace = gone.namespace
    AND w.checkpoint_id = gone.checkpoint_id
"""

# In the order in which they are to be carried out, of `%(sessions)s`.
THIN_OUT = (_KEEP_LATEST, _COLLECT)
DELETE = tuple(f"DELETE FROM {table} WHERE session_id = ANY(%(sessions)s)" for table in TABLES)  # noqa: S608


def take_out_graphs(runs: Sequence[UUID]) -> Operation[None]:
    """Delete what these runs have written of graphs, inside the caller's transaction."""
    gone: list[Row] = []
    for statement in TAKE_OUT:
        gone = yield Query(statement, {"runs": list(runs)})
    if gone:
        yield Query(_COLLECT, {"sessions": list({row["session_id"] for row in gone})})


def forget_runs(runs: Sequence[str], session_id: UUID | None) -> Operation[None]:
    """Delete the checkpoints that say that these runs have made them, of one session or of all."""
    gone = yield Query(_FORGET, {"runs": list(runs), "session": session_id})
    if gone:
        yield Query(_COLLECT, {"sessions": [row["session_id"] for row in gone]})


def thin_out_graphs(sessions: Sequence[UUID]) -> Operation[None]:
    """Leave the latest checkpoint of each graph and subgraph of these sessions, inside the caller's transaction."""
    for statement in THIN_OUT:
        yield Query(statement, {"sessions": list(sessions)})


def delete_graphs(sessions: Sequence[UUID]) -> Operation[None]:
    """Delete all that these sessions have of graphs, inside the caller's transaction; the sessions stay."""
    for statement in DELETE:
        yield Query(statement, {"sessions": list(sessions)})


# -- copies ------------------------------------------------------------------------------------------------------------

# One statement, so that what is copied is of one moment. The runs are the other session's.
_COPY = """
WITH checkpoints_copied AS (
    INSERT INTO graph_checkpoints (session_id, namespace, checkpoint_id, parent_id, document, metadata, created_at)
    SELECT %(to)s, namespace, checkpoint_id, parent_id, document, metadata, created_at
    FROM graph_checkpoints WHERE session_id = %(from)s
), values_copied AS (
    INSERT INTO graph_values (session_id, namespace, channel, version, base, value)
    SELECT %(to)s, namespace, channel, version, base, value FROM graph_values WHERE session_id = %(from)s
)
INSERT INTO graph_writes (session_id, namespace, checkpoint_id, task_id, index, task_path, channel, value)
SELECT %(to)s, namespace, checkpoint_id, task_id, index, task_path, channel, value
FROM graph_writes WHERE session_id = %(from)s
"""


def copy_graphs(source: UUID, target: UUID) -> Operation[None]:
    """Give the session `target`, which has none, all that `source` has of graphs, inside the caller's transaction."""
    yield Query(_COPY, {"from": source, "to": target})
