"""The end of a run that took its process with it while it was carried out alone there.

What a recorder would write is written here by the rescuer: answers for the tool calls that stay open, their
checkpoint, and the events up to `end`.
"""

from typing import Any
from uuid import UUID

from core.clock import isoformat
from core.db import Operation, Query, Row, jsonb
from core.ids import new_id
from runs.services import end_held
from runtime.contract import Message
from sessions.documents import message_row
from sessions.models import CheckpointSource

ERROR = {
    "type": "WorkerCrashed",
    "code": "worker_crashed",
    "message": "Its step ended the worker process again and again, the last time with nothing else in it.",
    "retryable": False,
}

# The fence: a run that made progress meanwhile has no crashes any more, and one that others took over another owner.
_OURS = """
UPDATE runs r SET crashes = r.crashes + 1, last_seq = r.last_seq + %(gap)s
FROM sessions s
WHERE r.id = ANY(%(runs)s) AND s.id = r.session_id AND r.status = 'running' AND r.lease_owner = ANY(%(workers)s)
    AND r.crashes >= %(alone_after)s
RETURNING r.id, r.session_id, r.attempt, r.last_seq, s.message_count, s.step, s.checkpoint_id, clock_timestamp() AS now,
    (SELECT coalesce(jsonb_agg(call ORDER BY nth), '[]') FROM (SELECT m.seq, m.tool_calls FROM messages m
        WHERE m.run_id = r.id AND m.role = 'assistant' ORDER BY m.seq DESC LIMIT 1) last
    CROSS JOIN LATERAL jsonb_array_elements(last.tool_calls) WITH ORDINALITY calls (call, nth)
    WHERE NOT EXISTS (SELECT FROM messages a WHERE a.run_id = r.id AND a.seq > last.seq
        AND a.tool_call_id = call->>'id')) AS open_calls
"""

_WRITE = """
WITH messages_written AS (
    INSERT INTO messages (id, session_id, run_id, seq, role, content, tool_calls, tool_call_id, name, metadata,
        created_at)
    SELECT g.* FROM jsonb_to_recordset(%(messages)s) AS g(id uuid, session_id uuid, run_id uuid, seq int, role text,
        content jsonb, tool_calls jsonb, tool_call_id text, name text, metadata jsonb, created_at timestamptz)
), checkpoints_written AS (
    INSERT INTO checkpoints (id, session_id, run_id, parent_id, step, source, next, message_count, changes, removed)
    SELECT g.* FROM jsonb_to_recordset(%(checkpoints)s) AS g(id uuid, session_id uuid, run_id uuid, parent_id uuid,
        step int, source text, next jsonb, message_count int, changes jsonb, removed jsonb)
), sessions_moved AS (
    UPDATE sessions s SET message_count = g.message_count, step = g.step, checkpoint_id = g.id
    FROM jsonb_to_recordset(%(checkpoints)s) AS g(id uuid, session_id uuid, step int, message_count int)
    WHERE s.id = g.session_id
), events_written AS (
    INSERT INTO run_events (run_id, seq, event, data, ts)
    SELECT g.* FROM jsonb_to_recordset(%(events)s) AS g(run_id uuid, seq int, event text, data jsonb, ts timestamptz)
)
UPDATE runs r SET last_seq = g.last_seq, checkpoint_id = coalesce(g.checkpoint_id, r.checkpoint_id)
FROM jsonb_to_recordset(%(runs)s) AS g(id uuid, last_seq int, checkpoint_id uuid) WHERE r.id = g.id
"""


def end_crashed(runs: list[UUID], workers: list[UUID], *, alone_after: int, gap: int) -> Operation[list[Row]]:
    """End those of the dead workers' runs that were alone there; their sessions are locked by the caller.

    `alone_after`: from so many crashes on a run is carried out alone. `gap`: how far beyond what it committed the
    dead worker's numbers may reach. Gives the rows that ended.
    """
    found = yield Query(_OURS, {"runs": runs, "workers": workers, "alone_after": alone_after, "gap": gap})
    if not found:
        return []
    endings = [_ending(run, gap) for run in found]
    yield Query(_WRITE, {name: jsonb([row for e in endings for row in e[name]]) for name in endings[0]})
    return (yield from end_held([run["id"] for run in found], ERROR))


def _ending(run: Row, gap: int) -> dict[str, list[dict[str, Any]]]:
    """The rows of one run's ending, by what they go into; its `end` is written with its status."""
    of = {"session_id": str(run["session_id"]), "run_id": str(run["id"])}
    ts = isoformat(run["now"])
    messages = []
    for offset, call in enumerate(run["open_calls"]):
        answer = Message(
            id=str(new_id()),
            role="tool",
            content=f"The call of {call['name']} was cancelled before it ended.",
            tool_call_id=call["id"],
            name=call["name"],
        )
        messages.append({**message_row(answer), **of, "seq": run["message_count"] + offset + 1, "created_at": ts})
    superseded = {"from_seq": run["last_seq"] - gap + 1, "to_seq": run["last_seq"] - 1, "reason": "rescue"}
    told: list[tuple[str, dict[str, Any]]] = [("superseded", superseded), *(("message", m) for m in messages)]
    checkpoints = []
    if messages:
        place = {"parent_id": run["checkpoint_id"] and str(run["checkpoint_id"]), "step": run["step"] + 1}
        row = {"id": str(new_id()), **of, **place, "source": str(CheckpointSource.END), "next": []}
        count = run["message_count"] + len(messages)
        checkpoints.append({**row, "message_count": count, "changes": {}, "removed": []})
        told.append(("checkpoint", {"checkpoint_id": row["id"], **place, "source": row["source"]}))
    told.append(("error", {**ERROR, "attempt": run["attempt"]}))
    events = [
        {"run_id": of["run_id"], "seq": run["last_seq"] + nth, "event": event, "data": data, "ts": ts}
        for nth, (event, data) in enumerate(told)
    ]
    last = {"id": of["run_id"], "last_seq": events[-1]["seq"], "checkpoint_id": None}
    if checkpoints:
        last["checkpoint_id"] = checkpoints[0]["id"]
    return {"messages": messages, "checkpoints": checkpoints, "events": events, "runs": [last]}
