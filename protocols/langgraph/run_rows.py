"""Reading runs for LangGraph's clients: those of a thread, and how one ended.

Runs that are to be deleted once they have ended are gone already, and so are those of a session that was made for one
run, once that has ended.
"""

from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import in_workspace, parameters_of, visible, visible_run
from core.db import Operation, Query, Row, operation
from core.errors import NotFound
from protocols.langgraph.access import Filters, holds
from runs.lifecycle import ACTIVE, Status

_COLUMNS = """
r.id, r.session_id, r.assistant_id, r.status, r.metadata, r.multitask_strategy, r.durability, r.number, r.attempt,
r.last_seq, r.user_id, r.created_at, r.queued_at, r.claimed_at, r.interrupted_at, r.finished_at, r.error, r.interrupt,
r.checkpoint_id
"""
_THERE = f"""
{visible("s")} AND NOT r.discarded AND NOT (s.ephemeral AND (s.head_run_id IS NULL OR s.activity = 'interrupted'))
"""


_CANCELLABLE = [str(status) for status in ACTIVE if status != Status.INTERRUPTED]


@operation()
def get_run(identity: Identity, thread_id: UUID | None, run_id: UUID, filters: Filters) -> Operation[Row]:
    """A run of the thread, with `input` and `kwargs`, and the `type` and `graph_id` of its assistant.

    Without a thread: whichever it is. Raises NotFound.
    """
    allowed, parameters = holds("s.metadata", filters)
    rows = yield Query(
        f"""
        SELECT {_COLUMNS}, p.input, p.kwargs, a.graph_id, a.type
        FROM runs r JOIN sessions s ON s.id = r.session_id JOIN run_payloads p ON p.run_id = r.id
        JOIN assistants a ON a.id = r.assistant_id
        WHERE r.id = %(run)s AND (%(thread)s::uuid IS NULL OR r.session_id = %(thread)s) AND {_THERE} AND {allowed}
        """,  # noqa: S608 - constants
        {"run": run_id, "thread": thread_id, **parameters_of(identity), **parameters},
    )
    if not rows:
        raise NotFound("Run not found")
    return rows[0]


@operation()
def list_runs(
    identity: Identity, thread_id: UUID, filters: Filters, *, statuses: list[str] | None, limit: int, offset: int
) -> Operation[list[Row] | None]:
    """The thread's runs, the newest first; None where there is no such thread."""
    allowed, parameters = holds("s.metadata", filters)
    rows = yield Query(
        f"""
        SELECT page.* FROM sessions s LEFT JOIN LATERAL (
            SELECT {_COLUMNS}, p.input, p.kwargs FROM runs r JOIN run_payloads p ON p.run_id = r.id
            WHERE r.session_id = s.id AND NOT r.discarded
                AND (%(statuses)s::text[] IS NULL OR r.status = ANY(%(statuses)s))
            ORDER BY r.created_at DESC, r.id DESC LIMIT %(limit)s OFFSET %(offset)s) page ON true
        WHERE s.id = %(thread)s AND {visible("s")} AND {allowed}
            AND NOT (s.ephemeral AND (s.head_run_id IS NULL OR s.activity = 'interrupted'))
        """,  # noqa: S608
        {
            "thread": thread_id,
            "statuses": statuses,
            "limit": limit,
            "offset": offset,
            **parameters_of(identity),
            **parameters,
        },
    )
    # A thread without runs is one row without one.
    return [row for row in rows if row["id"] is not None] if rows else None


@operation()
def may_use(identity: Identity, thread_id: UUID, filters: Filters) -> Operation[bool | None]:
    """Whether the thread is one that these filters let the caller use; None where there is none."""
    allowed, parameters = holds("s.metadata", filters)
    rows = yield Query(
        f"SELECT {visible('s')} AND {allowed} AS allowed FROM sessions s WHERE s.id = %(thread)s",  # noqa: S608
        {"thread": thread_id, **parameters_of(identity), **parameters},
    )
    return bool(rows[0]["allowed"]) if rows else None


_ANSWER = f"""
SELECT r.id, r.status, r.error, r.interrupt, r.checkpoint_id, r.discarded, a.graph_id IS NOT NULL AS hosted, p.output,
    CASE WHEN a.graph_id IS NULL OR r.status <> 'success' OR p.output IS NULL THEN s.state END AS state,
    CASE WHEN a.graph_id IS NULL THEN (SELECT jsonb_agg(to_jsonb(m) ORDER BY m.seq) FROM messages m
        WHERE m.session_id = r.session_id AND m.dropped_at_step IS NULL) END AS messages
FROM runs r JOIN sessions s ON s.id = r.session_id JOIN assistants a ON a.id = r.assistant_id
JOIN run_payloads p ON p.run_id = r.id
WHERE r.id = %(run)s AND {visible_run("r")}
"""  # noqa: S608


@operation()
def get_answer(identity: Identity, run_id: UUID) -> Operation[Row | None]:
    """How the run stands, with what `run_documents.answer_of` needs; None for one that is gone."""
    rows = yield Query(_ANSWER, {"run": run_id, **parameters_of(identity)})
    return rows[0] if rows else None


@operation()
def asking_run(identity: Identity, thread_id: UUID) -> Operation[Row | None]:
    """The run of the thread that asks a person, with what it asks."""
    rows = yield Query(
        "SELECT r.id, r.interrupt, r.checkpoint_id, r.last_seq FROM sessions s JOIN runs r ON r.id = s.head_run_id "  # noqa: S608
        f"WHERE s.id = %(thread)s AND r.status = %(asks)s AND {visible('s')}",
        {"thread": thread_id, "asks": str(Status.INTERRUPTED), **parameters_of(identity)},
    )
    return rows[0] if rows else None


@operation()
def runs_in(identity: Identity, filters: Filters, status: str) -> Operation[list[Row]]:
    """The runs (`id`, `session_id`, `active`) of the workspace that have not ended: in this status, "all": in any.

    To LangGraph one that asks a person has ended.
    """
    allowed, parameters = holds("s.metadata", filters)
    return (
        yield Query(
            f"""
            SELECT r.id, r.session_id, true AS active FROM runs r JOIN sessions s ON s.id = r.session_id
            WHERE {in_workspace("r")} AND r.status = ANY(%(statuses)s) AND r.parent_run_id IS NULL
                AND {_THERE} AND {allowed}
            """,  # noqa: S608
            {
                "statuses": [name for name in _CANCELLABLE if status in {"all", name}],
                **parameters_of(identity),
                **parameters,
            },
        )
    )


@operation()
def runs_of(identity: Identity, filters: Filters, thread_id: UUID, runs: list[UUID]) -> Operation[list[Row]]:
    """These runs of the thread, and whether each is `active`: has not ended."""
    allowed, parameters = holds("s.metadata", filters)
    return (
        yield Query(
            f"""
            SELECT r.id, r.session_id, r.status = ANY(%(statuses)s) AS active
            FROM runs r JOIN sessions s ON s.id = r.session_id
            WHERE r.id = ANY(%(runs)s) AND r.session_id = %(thread)s AND {_THERE} AND {allowed}
            """,  # noqa: S608
            {"runs": runs, "thread": thread_id, "statuses": _CANCELLABLE, **parameters_of(identity), **parameters},
        )
    )
