"""The end of a run that took its process with it while it was carried out alone there."""

from uuid import UUID

from core.db import Operation, Query, Row, jsonb
from runs.ending import end_runs
from runs.lifecycle import Status, sources

ERROR = {
    "type": "WorkerCrashed",
    "code": "worker_crashed",
    "message": "Its step ended the worker process again and again, the last time with nothing else in it.",
    "retryable": False,
}

# The fence: a run that made progress meanwhile has no crashes any more, and one that others took over another owner.
_TELL = """
WITH ours AS (
    UPDATE runs SET crashes = crashes + 1, last_seq = last_seq + %(gap)s + 1
    WHERE id = ANY(%(runs)s) AND status = 'running' AND lease_owner = ANY(%(workers)s) AND crashes >= %(alone_after)s
    RETURNING id, attempt, last_seq
), told AS (
    INSERT INTO run_events (run_id, seq, event, data, ts)
    SELECT id, last_seq - 1, 'superseded', jsonb_build_object('from_seq', last_seq - %(gap)s, 'to_seq', last_seq - 2,
        'reason', 'rescue'), clock_timestamp() FROM ours
    UNION ALL
    SELECT id, last_seq, 'error', %(error)s::jsonb || jsonb_build_object('attempt', attempt), clock_timestamp()
    FROM ours
)
SELECT id FROM ours
"""


def end_crashed(runs: list[UUID], workers: list[UUID], *, alone_after: int, gap: int) -> Operation[list[Row]]:
    """End those of the dead workers' runs that were alone there; their sessions are locked by the caller.

    `alone_after`: from so many crashes on a run is carried out alone. `gap`: how far beyond what it committed the
    dead worker's numbers may reach. Gives the rows that ended.
    """
    scope = {"runs": runs, "workers": workers, "alone_after": alone_after, "gap": gap, "error": jsonb(ERROR)}
    told = yield Query(_TELL, scope)
    return (yield from end_runs([row["id"] for row in told], Status.ERROR, ERROR, sources(Status.ERROR)))
