"""How an assistant's runs went: how many, how long they took, what they used."""

from typing import Any
from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import in_workspace, parameters_of, visible_run
from core.db import Operation, Query, Row, operation
from core.documents import moment
from core.errors import NotFound
from runs.lifecycle import Status

WINDOW_S, MIN_WINDOW_S, MAX_WINDOW_S = 86_400, 60, 30 * 86_400

_COUNTS = ", ".join(f"count(*) FILTER (WHERE status = '{status}') AS {status}" for status in Status)

# `statement_timestamp()` and not `clock_timestamp()`: one that stays the same can be sought in an index.
_METRICS = f"""
WITH assistant AS (
    SELECT id, statement_timestamp() AS until FROM assistants
    WHERE id = %(assistant)s AND {in_workspace("assistants")}
), windowed AS (
    SELECT status, input_tokens, output_tokens, cost_usd,
        date_part('epoch', finished_at - created_at) AS latency_s,
        date_part('epoch', started_at - created_at) AS queue_s
    FROM runs
    WHERE assistant_id = %(assistant)s AND {visible_run("runs")}
        AND created_at > statement_timestamp() - make_interval(secs => %(window_s)s)
), counted AS (
    SELECT {_COUNTS},
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY latency_s) AS latency_s,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY queue_s) AS queue_s,
        coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens,
        sum(cost_usd) AS cost_usd
    FROM windowed
)
SELECT until - make_interval(secs => %(window_s)s) AS since, until, counted.* FROM assistant CROSS JOIN counted
"""  # noqa: S608 - a constant of this module


@operation()
def assistant_metrics(identity: Identity, assistant_id: UUID, window_s: float = WINDOW_S) -> Operation[dict[str, Any]]:
    """The metrics of the runs that were created in the last `window_s` seconds, as the API shows them.

    A key that is bound to a user gets those of that user's sessions. Raises NotFound, for a stranger's too.
    """
    rows = yield Query(
        _METRICS,
        {
            "assistant": assistant_id,
            **parameters_of(identity),
            "window_s": window_s,
        },
    )
    if not rows:
        raise NotFound("There is no such assistant.")
    return _document(rows[0])


def _document(row: Row) -> dict[str, Any]:
    used = {name: int(row[name]) for name in ("input_tokens", "output_tokens")}
    return {
        "since": moment(row["since"]),
        "until": moment(row["until"]),
        "runs": {str(status): row[status] for status in Status},
        "latency_s": _percentiles(row["latency_s"]),
        "queue_s": _percentiles(row["queue_s"]),
        "tokens": {**used, "total_tokens": sum(used.values())},
        "cost": None if row["cost_usd"] is None else float(row["cost_usd"]),
    }


def _percentiles(found: list[float] | None) -> dict[str, float | None]:
    p50, p95 = found or (None, None)
    return {"p50": p50, "p95": p95}
