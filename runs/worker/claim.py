"""Claiming: which pending runs this worker carries out next.

Fair between workspaces first (the one with the fewest running runs is served first), then highest priority, then
oldest; never two of one session, never above an assistant's cap, never one of another pool; and runs that may take
the process with them never beside others. All claims take turns under one transaction-level advisory lock, so that a
cap of 2 lets 2 run and not 3.
"""

from typing import Any
from uuid import UUID

import psycopg

from core.db import Row
from runs.lifecycle import Status
from runs.models import CRASHES_BEFORE_ALONE
from runs.pools import BARRED, WAITING, Pool
from runs.worker.children import add_children
from runs.worker.journal import Journal

# The last event of a hand-back: whoever claims the run next knows by it that the run was another's.
TRANSFERRING = "node_transferring"
CLAIM_LOCK = 0x61_67_65_6E_74_01

# Of runs of the LangGraph protocol: where the session's graph stands, if nothing was written after that. It is read as
# it was when the statement began, the session as it is once it is locked: a client may change its state in between.
_GRAPH_HEAD = """
SELECT c.checkpoint_id FROM (SELECT checkpoint_id FROM graph_checkpoints WHERE session_id = s.id AND namespace = ''
    ORDER BY checkpoint_id DESC LIMIT 1) c
WHERE s.checkpoint_id = (SELECT checkpoint_id FROM sessions WHERE id = s.id) AND NOT EXISTS (SELECT FROM graph_writes w
    WHERE w.session_id = s.id AND w.namespace = '' AND w.checkpoint_id = c.checkpoint_id)
"""

# A loose index scan finds the workspaces that have claimable runs without reading the runs; from each of them a
# lateral top-k takes no more than the free slots. The runs of assistants that are full, or not for this worker, are
# left out before the top-k, or they would hide the work behind them; NOT IN looks them up in one hash. Runs that start
# later only are queued later: compared with a moment that stays the same they are passed over in the index.
_BESIDE_OTHERS, _ALONE = (f"r.crashes {sign} {CRASHES_BEFORE_ALONE}" for sign in ("<", ">="))
_CLAIM = f"""
WITH RECURSIVE {WAITING}, capped AS (
    SELECT a.id, a.max_concurrent_runs - count(r.id) AS free FROM assistants a
    LEFT JOIN runs r ON r.assistant_id = a.id AND r.status = 'running'
    WHERE a.max_concurrent_runs IS NOT NULL GROUP BY a.id
), passed_over AS (
    SELECT id FROM capped WHERE free <= 0 UNION ALL {BARRED}
), top AS (
    SELECT c.*, busy.runs + row_number() OVER (
        PARTITION BY c.workspace_id ORDER BY c.priority DESC, c.queued_at, c.id) AS turn
    FROM waiting w
    CROSS JOIN LATERAL (
        SELECT count(*) AS runs FROM runs WHERE status = 'running' AND workspace_id = w.workspace_id) busy
    CROSS JOIN LATERAL (
        SELECT r.id, r.workspace_id, r.session_id, r.assistant_id, r.priority, r.queued_at FROM runs r
        WHERE r.status = 'pending' AND r.ready AND r.workspace_id = w.workspace_id
            AND (r.next_attempt_at IS NULL OR r.next_attempt_at <= clock_timestamp())
            AND r.queued_at <= statement_timestamp()
            AND r.assistant_id NOT IN (SELECT id FROM passed_over)
            AND {_BESIDE_OTHERS}
        ORDER BY r.priority DESC, r.queued_at, r.id LIMIT %(slots)s) c
    WHERE w.workspace_id IS NOT NULL
), ranked AS (
    SELECT top.*, capped.free, row_number() OVER (
        PARTITION BY top.assistant_id ORDER BY turn, priority DESC, queued_at, top.id) AS nth
    FROM top LEFT JOIN capped ON capped.id = top.assistant_id
), chosen AS (
    SELECT id, session_id FROM ranked WHERE free IS NULL OR nth <= free
    ORDER BY turn, priority DESC, queued_at, id LIMIT %(slots)s
), conversation AS (
    SELECT * FROM sessions WHERE id IN (SELECT session_id FROM chosen) ORDER BY id FOR UPDATE
), moment AS MATERIALIZED (
    SELECT clock_timestamp() AS at
), claimed AS (
    UPDATE runs r SET status = 'running', ready = false, lease_owner = %(worker)s, last_worker_id = %(worker)s,
        epoch = r.epoch + 1, attempt = r.attempt + 1, next_attempt_at = NULL, claimed_at = moment.at,
        started_at = coalesce(r.started_at, moment.at), number = coalesce(r.number, s.run_count + 1)
    FROM conversation s CROSS JOIN moment
    WHERE s.head_run_id = r.id AND r.id IN (SELECT id FROM chosen) AND r.status = ANY(%(sources)s)
    RETURNING r.*
), marked AS (
    UPDATE sessions s SET activity = 'running', run_count = greatest(s.run_count, claimed.number)
    FROM claimed WHERE s.id = claimed.session_id
)
SELECT claimed.id, claimed.number, claimed.workspace_id, claimed.session_id, claimed.assistant_id,
    claimed.assistant_version, claimed.user_id, claimed.attempt, claimed.failures, claimed.crashes, claimed.epoch,
    claimed.durability, claimed.last_seq, claimed.step_count, claimed.model_calls, claimed.retry_policy,
    claimed.input_tokens, claimed.output_tokens, claimed.cost_usd, claimed.cancel_requested_at, claimed.superseded,
    claimed.message_start, claimed.from_checkpoint_id, claimed.claimed_at,
    claimed.parent_run_id, claimed.subagent, claimed.delegated_at,
    payload.input, payload.resume, payload.kwargs, s.metadata || claimed.metadata AS metadata,
    claimed.timeout_s + claimed.waited_s - extract(epoch FROM clock_timestamp() - claimed.started_at)::float8
        AS time_left_s,
    s.message_count, s.step, s.checkpoint_id, s.state,
    claimed.assistant_id IN (SELECT id FROM capped) AS capped,
    CASE WHEN payload.kwargs IS NOT NULL THEN ({_GRAPH_HEAD}) END AS graph_head,
    CASE WHEN claimed.attempt > 1 THEN EXISTS (
        SELECT FROM run_events e WHERE e.run_id = claimed.id AND e.seq = claimed.last_seq AND e.event = 'custom'
            AND e.data->>'name' = '{TRANSFERRING}' AND e.data->'value'->>'from_node' <> %(worker)s::text)
        ELSE false END AS transferred
FROM claimed JOIN conversation s ON s.id = claimed.session_id
JOIN run_payloads payload ON payload.run_id = claimed.id
"""  # noqa: S608 - constants
# A statement of its own and not a parameter, so that the index of the few that it is about is used.
_CLAIM_ALONE = _CLAIM.replace(_BESIDE_OTHERS, _ALONE)


async def claim(
    conn: psycopg.AsyncConnection[Row],
    worker: UUID,
    pool: Pool,
    slots: int,
    sources: list[str],
    *,
    alone: bool = False,
) -> list[Row]:
    """Claim up to `slots` runs of the pool for the worker; gives all that carrying them out needs.

    A row's `children` are the results that a run has yet to take (`runtime.contract.State.children`).
    `alone`: one of those that crashed too often (see `runs.worker.isolation`), and no others.
    `conn` commits asynchronously: a claim that a crash forgets is only a run that is still pending.
    """
    parameters: dict[str, Any] = {
        "slots": 1 if alone else slots,
        "worker": worker,
        "sources": sources,
        **pool.parameters,
    }
    async with conn.pipeline(), conn.transaction():
        await conn.execute("SELECT pg_advisory_xact_lock(%(key)s)", {"key": CLAIM_LOCK})
        cursor = await conn.execute(_CLAIM_ALONE if alone else _CLAIM, parameters)
    rows = await cursor.fetchall()
    await add_children(conn, rows)
    return rows


def tell_claimed(journal: Journal, claim: Row, worker_id: str) -> None:
    """The first events of each execution of a run: who carries it out, and that it goes on."""
    journal.tell(
        "metadata",
        {
            "session_id": str(claim["session_id"]),
            "assistant_id": str(claim["assistant_id"]),
            "assistant_version": claim["assistant_version"],
            "attempt": claim["attempt"],
            "worker_id": worker_id,
        },
    )
    if claim["transferred"]:
        journal.tell("custom", {"name": "node_transferred", "value": {"to_node": worker_id}})
    journal.tell("status", {"status": Status.RUNNING, "attempt": claim["attempt"], "next_attempt_at": None})
