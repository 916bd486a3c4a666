"""Committing steps: all that is ready at the same moment goes to disk in one transaction.

1. The sessions are locked, in the order of their ids, before any run: the lock order of `runs.services`.
2. The fence: a run is written only where this worker still holds its lease and epoch and has seen all of its log.
   Late ones drop out here; of the others all is written: messages, checkpoints, steps, events, sessions, outputs.
   So does a run that is to be cancelled and would end otherwise: its worker is told, and ends it so.
   Before that, under the same fence: where a run begins at an earlier checkpoint, its session's line is moved there;
   files that it shares with other sessions are written, and what hosted graphs' checkpointers store; the children of
   those that delegate are made.
3. What runs that are rolled back have written is taken out.
4. Who wants to hear of runs that ended, or ask a person, is told; sessions whose run ended hand their head to the next
   waiting run.
5. A run that asks a person, and that nobody is to wait for, ends (see `runs.ending`).
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from core.db import After, Row, jsonb
from runs.ending import conclude, end_unwanted, take_out, take_out_hosted
from runs.lifecycle import TERMINAL, Status
from runs.worker.children import FENCE, spawn
from runs.worker.outcomes import Cancelled
from runs.worker.step_commit import StepCommit
from sessions.graph_rows import STANDS_AT, batch, insertion
from sessions.graph_rows import written as json_rows
from sessions.shared_files import FILE_COLUMNS, SET_FILES, TAKE_OUT_FILES
from webhooks.doorbell import ring

_LOCK_SESSIONS = "SELECT id FROM sessions WHERE id = ANY(%(sessions)s) ORDER BY id FOR UPDATE"

# What the checkpoint does not see is dropped, always the end of the line; what it sees and is dropped already is there
# again as copies. A number is free once its message is dropped: the copies wait for the count of `dropped`.
_MOVE = f"""
WITH ours AS (
    SELECT c.session_id, c.message_count, c.step, g.step AS at_step, g.copies
    FROM jsonb_to_recordset(%(moves)s) AS g(id uuid, epoch int, status text, base_seq int, checkpoint uuid, step int,
        copies jsonb)
    JOIN runs r ON {FENCE} JOIN checkpoints c ON c.id = g.checkpoint
), dropped AS (
    UPDATE messages m SET dropped_at_step = c.at_step FROM ours c
    WHERE m.session_id = c.session_id AND m.dropped_at_step IS NULL AND (m.seq > c.message_count OR m.step > c.step)
    RETURNING m.id
)
INSERT INTO messages (id, session_id, run_id, seq, step, role, content, tool_calls, tool_call_id, name, metadata,
    created_at)
SELECT copied.id, m.session_id, m.run_id, m.seq, c.at_step, m.role, m.content, m.tool_calls, m.tool_call_id, m.name,
    m.metadata, m.created_at
FROM ours c CROSS JOIN LATERAL jsonb_to_recordset(c.copies) AS copied(id uuid, original uuid)
JOIN messages m ON m.id = copied.original
WHERE (SELECT count(*) FROM dropped) >= 0
"""  # noqa: S608 - a constant

# One run's. Apart from the others, which go as JSON: bytes go as bytes.
_KEEP_ARTIFACTS = f"""
INSERT INTO artifacts (id, run_id, call_id, name, mime_type, size, content)
SELECT a.id, r.id, a.call_id, a.name, a.mime_type, octet_length(a.content), a.content
FROM unnest(%(ids)s::uuid[], %(call_ids)s::text[], %(names)s::text[], %(mime_types)s::text[], %(contents)b::bytea[])
    AS a(id, call_id, name, mime_type, content)
CROSS JOIN jsonb_to_recordset(%(run)s) AS g(id uuid, epoch int, status text, base_seq int)
JOIN runs r ON {FENCE}
"""  # noqa: S608 - a constant

# Of several steps that write one file the last one does.
_WRITE_FILES = f"""
WITH new AS (
    SELECT DISTINCT ON (g.assistant_id, g.user_id, g.path) g.* FROM jsonb_to_recordset(%(files)s)
        AS g(id uuid, epoch int, status text, base_seq int, nth int, {FILE_COLUMNS})
    JOIN runs r ON {FENCE} ORDER BY g.assistant_id, g.user_id, g.path, g.nth DESC
) {SET_FILES}
"""  # noqa: S608 - constants

_WRITE_GRAPHS = insertion(f"JOIN runs r ON {FENCE}")

# One statement for all of it: each costs a worker more than the rows that it writes. Everything joins `ours`, so that
# nothing is written for a run that is another's now.
_COMMIT = f"""
WITH ours AS (
    UPDATE runs r SET status = coalesce(g.status, r.status), last_seq = g.last_seq, step_count = g.step_count,
        model_calls = g.model_calls, input_tokens = g.input_tokens, output_tokens = g.output_tokens,
        cost_usd = g.cost_usd, failures = g.failures, checkpoint_id = g.checkpoint_id, error = g.error,
        crashes = CASE WHEN g.step_count > r.step_count THEN 0 ELSE r.crashes END,
        message_start = g.message_start, interrupt = g.interrupt,
        interrupted_at = CASE WHEN g.status = 'interrupted' THEN clock_timestamp() END,
        interrupt_expires_at = CASE WHEN g.status = 'interrupted'
            THEN clock_timestamp() + make_interval(secs => g.interrupt_timeout_s) END,
        lease_owner = CASE WHEN g.status IS NULL THEN r.lease_owner END,
        ready = coalesce(g.status = 'pending', false) AND NOT r.waiting,
        delegated_at = CASE WHEN r.waiting OR NOT g.took THEN r.delegated_at END,
        next_attempt_at = CASE WHEN r.cancel_requested_at IS NULL
            THEN clock_timestamp() + make_interval(secs => g.retry_in_s) END,
        finished_at = CASE WHEN g.status = ANY(%(terminal)s) THEN clock_timestamp() END
    FROM jsonb_to_recordset(%(runs)s) AS g(id uuid, epoch int, status text, base_seq int, last_seq int,
        step_count int, model_calls int, input_tokens int, output_tokens int, cost_usd numeric, failures int,
        checkpoint_id uuid, message_start int, error jsonb, interrupt jsonb, retry_in_s float8,
        interrupt_timeout_s float8, took bool)
    WHERE {FENCE}
    RETURNING r.id, r.cancel_requested_at, r.superseded
), messages_written AS (
    INSERT INTO messages (id, session_id, run_id, seq, step, role, content, tool_calls, tool_call_id, name, metadata,
        created_at)
    SELECT g.* FROM jsonb_to_recordset(%(messages)s) AS g(id uuid, session_id uuid, run_id uuid, seq int, step int,
        role text, content jsonb, tool_calls jsonb, tool_call_id text, name text, metadata jsonb,
        created_at timestamptz)
    JOIN ours ON ours.id = g.run_id
), checkpoints_written AS (
    INSERT INTO checkpoints (id, session_id, run_id, parent_id, step, source, next, message_count, changes, removed,
        graph_checkpoint_id)
    SELECT g.id, g.session_id, g.run_id, g.parent_id, g.step, g.source, g.next, g.message_count, g.changes, g.removed,
        CASE WHEN g.hosted THEN {STANDS_AT % "g.session_id"} END
    FROM jsonb_to_recordset(%(checkpoints)s) AS g(id uuid, session_id uuid, run_id uuid, parent_id uuid, step int,
        source text, next jsonb, message_count int, changes jsonb, removed jsonb, hosted bool)
    JOIN ours ON ours.id = g.run_id
), steps_written AS (
    INSERT INTO run_steps (run_id, index, kind, status, attempt, started_at, duration_ms, model, tool_calls)
    SELECT g.* FROM jsonb_to_recordset(%(steps)s) AS g(run_id uuid, index int, kind text, status text, attempt int,
        started_at timestamptz, duration_ms float8, model jsonb, tool_calls jsonb)
    JOIN ours ON ours.id = g.run_id
), events_written AS (
    INSERT INTO run_events (run_id, seq, event, data, ts)
    SELECT g.* FROM jsonb_to_recordset(%(events)s) AS g(run_id uuid, seq int, event text, data jsonb, ts timestamptz)
    JOIN ours ON ours.id = g.run_id
), outputs_written AS (
    UPDATE run_payloads p SET output = g.output, resume = NULL
    FROM jsonb_to_recordset(%(outputs)s) AS g(run_id uuid, output jsonb) JOIN ours ON ours.id = g.run_id
    WHERE p.run_id = g.run_id
), sessions_moved AS (
    UPDATE sessions s SET message_count = g.message_count, step = g.step, checkpoint_id = g.checkpoint_id,
        state = CASE WHEN g.changes IS NULL THEN coalesce(g.state, s.state)
            ELSE (coalesce(g.state, s.state) - g.removed) || g.changes END,
        context = CASE WHEN g.changes->'metadata' IS NOT NULL THEN g.changes->'metadata'
            WHEN 'metadata' = ANY(g.removed) THEN '{{}}' WHEN g.state IS NULL THEN s.context
            ELSE coalesce(g.state->'metadata', '{{}}') END,
        activity = coalesce(g.activity, s.activity),
        title = CASE WHEN s.title <> '' THEN s.title ELSE left(coalesce(
            coalesce(g.changes->'metadata', g.state->'metadata')->>'conversation_title', ''), 200) END,
        last_activity_at = clock_timestamp(),
        head_run_id = CASE WHEN g.ended THEN NULL ELSE s.head_run_id END
    FROM jsonb_to_recordset(%(sessions)s) AS g(id uuid, run_id uuid, message_count int, step int, checkpoint_id uuid,
        state jsonb, changes jsonb, removed text[], activity text, ended bool) JOIN ours ON ours.id = g.run_id
    WHERE s.id = g.id
)
SELECT id, cancel_requested_at, superseded FROM ours
"""  # noqa: S608 - a constant

# Left out, and ours all the same: they are to be cancelled.
_REFUSED = """
SELECT r.id, r.superseded FROM runs r JOIN jsonb_to_recordset(%(given)s) AS g(id uuid, epoch int, base_seq int)
    ON r.id = g.id AND r.lease_owner = %(worker)s AND r.epoch = g.epoch AND r.last_seq = g.base_seq
WHERE r.status = 'running' AND r.cancel_requested_at IS NOT NULL
"""

# After an outage nobody knows whether the commit before it arrived: the row tells.
_WRITTEN = """
SELECT r.id FROM runs r JOIN jsonb_to_recordset(%(given)s) AS g(id uuid, epoch int, last_seq int)
    ON r.id = g.id AND r.epoch = g.epoch AND r.last_seq = g.last_seq AND r.last_worker_id = %(worker)s
"""


@dataclass(slots=True, frozen=True)
class Committed:
    """What a commit found: the runs that were still ours, which of them are to be cancelled, and new work.

    `refused` were about to end otherwise than cancelled, as they are to: nothing of them is written.
    """

    ours: frozenset[str]
    cancelled: dict[str, Cancelled]
    refused: dict[str, Cancelled]
    promoted: bool


async def commit_steps(conn: psycopg.AsyncConnection[Row], worker: UUID, commits: Sequence[StepCommit]) -> Committed:
    """Write the steps of runs that are still ours; a run that another worker took over is left out."""
    ended = [UUID(commit.session_id) for commit in commits if commit.status in TERMINAL]
    over = [UUID(commit.run_id) for commit in commits if commit.status in {*TERMINAL, Status.INTERRUPTED}]
    asking = [UUID(commit.run_id) for commit in commits if commit.status == Status.INTERRUPTED]
    after: list[After] = []
    # What follows these depends on what is read there, and the rare commit with one can afford the round trips.
    hosted = [UUID(commit.run_id) for commit in commits if commit.hosted and commit.status == Status.CANCELLED]
    async with nullcontext() if asking or hosted else conn.pipeline(), conn.transaction():
        await conn.execute(_LOCK_SESSIONS, {"sessions": [commit.session_id for commit in commits]})
        if moves := [row for commit in commits for row in commit.move_rows()]:
            await conn.execute(_MOVE, {"worker": worker, "moves": jsonb(moves)})
        for commit in commits:
            if commit.artifacts:
                await conn.execute(_KEEP_ARTIFACTS, {"worker": worker, **commit.artifact_columns()})
        if files := [row for nth, commit in enumerate(commits) for row in commit.file_rows(nth)]:
            await conn.execute(_WRITE_FILES, {"worker": worker, "files": jsonb(files)})
            await conn.execute(TAKE_OUT_FILES, {"files": jsonb(files)})
        if graphs := [{**batch(c.session_id, c.run_id, c.graph), **c.fenced()} for c in commits if c.graph]:
            await conn.execute(_WRITE_GRAPHS, {"worker": worker, "graphs": json_rows(graphs)})
        if children := [row for commit in commits for row in commit.child_rows()]:
            spawning = spawn(worker, children)
            await conn.execute(spawning.sql, spawning.params)
        written = await conn.execute(_COMMIT, {"worker": worker, "terminal": list(TERMINAL), **_rows(commits)})
        if stopped := [UUID(commit.run_id) for commit in commits if commit.status == Status.CANCELLED]:
            back = take_out(stopped)
            await conn.execute(back.sql, back.params)
        if hosted:
            await take_out_hosted(hosted).on(conn, after)
        conclusion = conclude(over, ended, written_here=True)
        concluded = await conn.execute(conclusion.sql, conclusion.params) if over else None
        unwanted = await end_unwanted(asking).on(conn, after) if asking else []
    follows = await concluded.fetchone() if concluded else None
    if follows and follows["told"]:
        ring()
    for last in after:
        last.do()
    rows = await written.fetchall()
    ours = frozenset(str(row["id"]) for row in rows)
    return Committed(
        ours=ours,
        cancelled={str(row["id"]): Cancelled(row["superseded"]) for row in rows if row["cancel_requested_at"]},
        refused=await _refused(conn, worker, [c for c in commits if c.status in TERMINAL and c.run_id not in ours]),
        promoted=bool(unwanted) or (follows is not None and follows["promoted"]),
    )


async def _refused(
    conn: psycopg.AsyncConnection[Row], worker: UUID, commits: Sequence[StepCommit]
) -> dict[str, Cancelled]:
    if not commits:
        return {}
    given = jsonb([commit.run_row() for commit in commits])
    cursor = await conn.execute(_REFUSED, {"worker": worker, "given": given})
    return {str(row["id"]): Cancelled(row["superseded"]) for row in await cursor.fetchall()}


def _rows(commits: Sequence[StepCommit]) -> dict[str, Any]:
    """What the statement writes, table by table."""
    return {
        "runs": jsonb([commit.run_row() for commit in commits]),
        "sessions": jsonb([commit.session_row() for commit in commits]),
        "messages": jsonb([row for commit in commits for row in commit.messages]),
        "checkpoints": jsonb([row for commit in commits for row in commit.checkpoints]),
        "steps": jsonb([row for commit in commits for row in commit.steps]),
        "events": jsonb([row for commit in commits for row in commit.event_rows()]),
        "outputs": jsonb(
            [{"run_id": c.run_id, "output": c.output} for c in commits if c.output is not None or c.answered]
        ),
    }


async def written_before(
    conn: psycopg.AsyncConnection[Row], worker: UUID, commits: Sequence[StepCommit]
) -> frozenset[str]:
    """Of these steps, those that an earlier try, whose answer was lost, did write."""
    given = jsonb([commit.run_row() for commit in commits])
    cursor = await conn.execute(_WRITTEN, {"worker": worker, "given": given})
    return frozenset(str(row["id"]) for row in await cursor.fetchall())
