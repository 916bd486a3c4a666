"""Children: runs that carry something out for a tool call of another run, each in a session of its own.

They are made in the transaction of the step that delegates, under its fence. From then on the parent waits without a
slot; `runs.family` says when it goes on, and its next claim brings the results.

A child that cannot begin, because its assistant cannot be used or because it would stand too deep, ends at once with
the reason: for the parent it is a child that failed.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings

from core.db import Query, Row, jsonb
from core.ids import new_id
from core.text import clean
from runtime.contract import ChildResult, ChildRun

STARTED = "subagent_started"  # the event that names a child
MAX_DEPTH = 5  # so many runs may stand above one another's children

# The run `r` is ours to write as `g` says.
FENCE = """
r.id = g.id AND r.lease_owner = %(worker)s AND r.epoch = g.epoch AND r.status = 'running' AND r.last_seq = g.base_seq
AND (r.cancel_requested_at IS NULL OR g.status IS NULL OR g.status IN ('pending', 'cancelled', 'interrupted'))
"""

# A parent that is to be cancelled delegates nothing: it is ready at once, and whoever claims it ends it. All children
# of a step have one moment, by which they are told from those of earlier steps. What agents noted of the parent's
# session is what the child's begins with.
_SPAWN = f"""
WITH RECURSIVE asked AS (
    SELECT g.*, r.workspace_id, r.session_id AS parent_session, r.user_id, r.api_key_id, r.priority, r.durability,
        r.retry_policy, r.timeout_s, r.metadata, r.assistant_id, r.assistant_version
    FROM jsonb_to_recordset(%(children)s) AS g(id uuid, epoch int, base_seq int, status text, child uuid, session uuid,
        checkpoint uuid, call_id text, subagent text, other uuid, version int, tag text, title text, input jsonb)
    JOIN runs r ON {FENCE} AND r.cancel_requested_at IS NULL
), above AS (
    SELECT r.id AS parent, r.parent_run_id AS next, 1 AS depth FROM runs r WHERE r.id IN (SELECT id FROM asked)
    UNION ALL
    SELECT above.parent, r.parent_run_id, above.depth + 1 FROM above JOIN runs r ON r.id = above.next
), deepest AS (
    SELECT parent, max(depth) AS depth FROM above GROUP BY parent
), found AS (
    SELECT asked.*, v.number, v.config, CASE
        WHEN deepest.depth > {MAX_DEPTH} THEN 'Sub-agents may stand {MAX_DEPTH} deep, and no deeper.'
        WHEN asked.other IS NULL THEN NULL
        WHEN a.id IS NULL THEN 'There is no such assistant.'
        WHEN a.status <> 'active' THEN 'The assistant is ' || a.status || '; only an active one takes runs.'
        WHEN v.number IS NULL THEN 'The assistant has no such version.' END AS fault
    FROM asked JOIN deepest ON deepest.parent = asked.id
    LEFT JOIN assistants a ON a.id = asked.other AND a.workspace_id = asked.workspace_id
    LEFT JOIN assistant_tags t ON t.assistant_id = a.id AND t.name = asked.tag
    LEFT JOIN assistant_versions v ON v.assistant_id = a.id
        AND v.number = CASE WHEN asked.tag IS NOT NULL THEN t.version ELSE coalesce(asked.version, a.version) END
), born AS (
    SELECT found.*,
        CASE WHEN fault IS NULL THEN coalesce(other, assistant_id) ELSE assistant_id END AS its_assistant,
        CASE WHEN fault IS NULL THEN coalesce(number, assistant_version) ELSE assistant_version END AS its_version,
        CASE WHEN config IS NOT NULL THEN least((config->>'run_timeout_s')::float8, %(longest_s)s) END AS its_timeout_s,
        CASE WHEN fault IS NOT NULL THEN jsonb_build_object('type', 'SubagentRefused', 'code', 'subagent_refused',
            'message', fault, 'retryable', false) END AS error
    FROM found
), sessions_made AS (
    INSERT INTO sessions (id, workspace_id, assistant_id, assistant_version, parent_id, user_id, title, metadata,
        context, state, step, checkpoint_id, head_run_id, activity, run_count)
    SELECT b.session, b.workspace_id, b.its_assistant, b.its_version, b.parent_session, s.user_id, left(b.title, 200),
        s.metadata, s.context,
        CASE WHEN s.context = '{{}}' THEN s.context ELSE jsonb_build_object('metadata', s.context) END,
        CASE WHEN s.context = '{{}}' THEN 0 ELSE 1 END, CASE WHEN s.context <> '{{}}' THEN b.checkpoint END,
        CASE WHEN b.fault IS NULL THEN b.child END,
        CASE WHEN b.fault IS NULL THEN 'idle' ELSE 'error' END, CASE WHEN b.fault IS NULL THEN 0 ELSE 1 END
    FROM born b JOIN sessions s ON s.id = b.parent_session
), noted AS (
    INSERT INTO checkpoints (id, session_id, step, source, next, message_count, changes, removed)
    SELECT b.checkpoint, b.session, 1, 'update', '[]', 0, jsonb_build_object('metadata', s.context), '[]'
    FROM born b JOIN sessions s ON s.id = b.parent_session WHERE s.context <> '{{}}'
), runs_made AS (
    INSERT INTO runs (id, workspace_id, session_id, assistant_id, assistant_version, user_id, api_key_id, parent_run_id,
        parent_call_id, subagent, status, ready, priority, durability, multitask_strategy, retry_policy, timeout_s,
        metadata, created_at, queued_at, error, finished_at, number, last_seq)
    SELECT child, workspace_id, session, its_assistant, its_version, user_id, api_key_id, id, call_id,
        CASE WHEN other IS NULL THEN left(subagent, 100) ELSE '' END,
        CASE WHEN fault IS NULL THEN 'pending' ELSE 'error' END, fault IS NULL, priority, durability, 'enqueue',
        coalesce(config->'retry_policy', retry_policy), coalesce(its_timeout_s, timeout_s), metadata,
        statement_timestamp(), statement_timestamp(), error, CASE WHEN fault IS NOT NULL THEN clock_timestamp() END,
        CASE WHEN fault IS NOT NULL THEN 1 END, CASE WHEN fault IS NULL THEN 0 ELSE 1 END
    FROM born
), payloads_made AS (
    INSERT INTO run_payloads (run_id, input) SELECT child, input FROM born
), told AS (
    INSERT INTO run_events (run_id, seq, event, data, ts)
    SELECT child, 1, 'end', jsonb_build_object('status', 'error', 'output', NULL, 'error', error, 'usage',
        jsonb_build_object('input_tokens', 0, 'output_tokens', 0, 'total_tokens', 0, 'cost_usd', NULL)),
        clock_timestamp()
    FROM born WHERE fault IS NOT NULL
)
UPDATE runs SET waiting = true, delegated_at = statement_timestamp() WHERE id IN (SELECT id FROM asked)
"""  # noqa: S608 - constants

_RESULTS = """
SELECT c.id, c.parent_run_id, c.parent_call_id, c.status, c.error, payload.output
FROM runs p JOIN runs c ON c.parent_run_id = p.id AND c.created_at = p.delegated_at
JOIN run_payloads payload ON payload.run_id = c.id
WHERE p.id = ANY(%(parents)s) AND c.finished_at IS NOT NULL
"""


def child_row(call_id: str, child: ChildRun) -> dict[str, Any]:
    """The child as `spawn` takes it, with ids of its own."""
    return {
        "child": str(new_id()),
        "session": str(new_id()),
        "checkpoint": str(new_id()),
        "call_id": call_id,
        "subagent": child.subagent,
        "other": child.assistant_id,
        "version": child.version,
        "tag": child.tag,
        "title": clean(child.title),
        "input": clean(child.input),
    }


def announced(row: dict[str, Any]) -> dict[str, Any]:
    """What the parent's event tells of a child that begins."""
    return {
        "tool_call_id": row["call_id"],
        "run_id": row["child"],
        "session_id": row["session"],
        "subagent": row["subagent"],
    }


def spawn(worker: UUID, children: Sequence[dict[str, Any]]) -> Query:
    """Make the children of parents that are still the worker's, and have these wait.

    Each is a `child_row` with what the fence asks of its parent: `id`, `epoch`, `base_seq`, `status`. The caller has
    locked the parents' sessions.
    """
    return Query(
        _SPAWN,
        {
            "worker": worker,
            "children": jsonb(children),
            "longest_s": float(settings.LONGEST_RUN_S),
        },
    )


async def add_children(conn: psycopg.AsyncConnection[Row], claims: Sequence[Row]) -> None:
    """Add to each claimed run the results that it has yet to take; one query, and none where nobody has any."""
    for claim in claims:
        claim["children"] = {}
    delegated = {claim["id"]: claim for claim in claims if claim["delegated_at"] is not None}
    if not delegated:
        return
    cursor = await conn.execute(_RESULTS, {"parents": list(delegated)})
    async for row in cursor:
        result = ChildResult(str(row["id"]), row["status"], row["output"], row["error"])
        delegated[row["parent_run_id"]]["children"][row["parent_call_id"]] = result
