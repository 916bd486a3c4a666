"""What streams read beside a run's log."""

from typing import Any
from uuid import UUID

from core.db import Operation, Query, Row, operation
from protocols.langgraph.streaming.frames import DEFAULT_MODES, About
from sessions.queries import messages_at, values_at

GRAPH = "Graph"

_ABOUT = """
SELECT a.type, a.graph_id, p.kwargs FROM runs r JOIN assistants a ON a.id = r.assistant_id
JOIN run_payloads p ON p.run_id = r.id WHERE r.id = %(run)s
"""

# Before its first checkpoint nobody else may move the line of the session that it is at the head of.
_BEGINNING = """
SELECT CASE WHEN own.id IS NULL THEN coalesce(r.from_checkpoint_id, s.checkpoint_id) ELSE own.parent_id END AS id
FROM runs r JOIN sessions s ON s.id = r.session_id LEFT JOIN LATERAL (
    SELECT c.id, c.parent_id FROM checkpoints c WHERE c.session_id = r.session_id AND c.run_id = r.id
    ORDER BY c.step LIMIT 1) own ON true
WHERE r.id = %(run)s
"""


def about_of(graph_id: str, kwargs: dict[str, Any] | None, *, hosted: bool) -> About:
    """What readers must know of a run, by its assistant's graph or type, and by what it was asked for."""
    return About(
        graph_id=graph_id,
        hosted=hosted,
        modes=None if kwargs is None else _modes(kwargs.get("stream_mode")),
        subgraphs=bool(kwargs and kwargs.get("stream_subgraphs")),
        resumable=bool(kwargs and kwargs.get("stream_resumable")),
    )


def about(run: Row) -> About:
    """The same by a run's row, with `type` and `graph_id` of its assistant and its `kwargs`."""
    return about_of(run["graph_id"] or run["type"], run["kwargs"], hosted=run["type"] == GRAPH)


def _modes(given: Any) -> frozenset[str]:
    if isinstance(given, str):
        return frozenset({given})
    return frozenset(DEFAULT_MODES if given is None else given)


@operation()
def read_about(run_id: UUID) -> Operation[About]:
    """What readers must know of a run that the caller may see; of one that is gone there is nothing to say."""
    rows = yield Query(_ABOUT, {"run": run_id})
    return about(rows[0]) if rows else About("", hosted=True)


@operation()
def read_beginning(run_id: UUID) -> Operation[tuple[dict[str, Any], list[Row]]]:
    """The values and the messages of the session where the run began, before its own."""
    rows = yield Query(_BEGINNING, {"run": run_id})
    if not rows or rows[0]["id"] is None:
        return {}, []
    values = yield from values_at(rows[0]["id"]).start()
    return values, (yield from messages_at(rows[0]["id"]).start())


@operation()
def read_checkpoint(checkpoint_id: UUID) -> Operation[Row]:
    """What a step changed: `changes`, `removed` and `next`; nothing of one that is gone."""
    rows = yield Query("SELECT changes, removed, next FROM checkpoints WHERE id = %(id)s", {"id": checkpoint_id})
    return rows[0] if rows else {"changes": {}, "removed": [], "next": []}
