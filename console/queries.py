"""What the pages read: a fixed number of statements a page, no payload in a list.

A conversation is a session whose `user_id` is the login's username. Everybody sees their own in the list; who is not
bound to a user by their role may open any of the workspace by its address.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import in_workspace, parameters_of, visible, visible_run
from core.db import Operation, Query, Row, operation
from core.errors import NotFound

PAGE = 50
SIDEBAR = 50
ASSISTANTS = 200
ADMINS = 3
# What carries out a run `r` of an assistant `a`, in a sub-agent's case.
_WHO = "coalesce(nullif(r.subagent, ''), a.name)"


@operation()
def conversations(identity: Identity, owner: str) -> Operation[list[Row]]:
    """A person's newest conversations, by last activity."""
    return (
        yield Query(
            "SELECT id, title, status, activity, last_activity_at FROM sessions s "  # noqa: S608
            f"WHERE {visible('s')} AND s.user_id = %(owner)s AND s.parent_id IS NULL "
            "ORDER BY last_activity_at DESC, id DESC LIMIT %(limit)s",
            {**parameters_of(identity), "owner": owner, "limit": SIDEBAR},
        )
    )


@operation()
def conversation(identity: Identity, session_id: UUID) -> Operation[Row]:
    """A session with its assistant, if it has one, and where a reader of its events goes on: `number` and `last_seq`.

    That is the last committed event of the run in flight, else of the last run. Read it before the messages: what is
    committed in between is then told again rather than missed. Raises NotFound.
    """
    rows = yield Query(
        f"""
        SELECT s.id, s.title, s.status, s.user_id, s.head_run_id, s.assistant_id, s.assistant_version, s.parent_id,
            a.name AS assistant_name, a.status AS assistant_status, coalesce(at.number, 0) AS number,
            coalesce(at.last_seq, 0) AS last_seq, clock_timestamp() AS now
        FROM sessions s LEFT JOIN assistants a ON a.id = s.assistant_id
        LEFT JOIN LATERAL (
            SELECT number, last_seq FROM runs
            WHERE session_id = s.id AND number IS NOT NULL
            ORDER BY coalesce(id = s.head_run_id, false) DESC, number DESC LIMIT 1) at ON true
        WHERE s.id = %(session)s AND {visible("s")}
        """,  # noqa: S608
        {"session": session_id, **parameters_of(identity)},
    )
    if not rows:
        raise NotFound("There is no such conversation.")
    return rows[0]


@operation()
def messages_before(session_id: UUID, before: int | None) -> Operation[tuple[list[Row], bool]]:
    """The page of messages before a number, None for the newest, oldest first; and whether there are older ones.

    Dropped ones are left out, and what tools answered: that is read when somebody opens the call.
    """
    rows = yield Query(
        "SELECT id, run_id, seq, CASE WHEN metadata ? 'asked_again' THEN 'note' ELSE role END AS role, content, "
        "tool_calls, created_at FROM messages "
        "WHERE session_id = %(session)s AND dropped_at_step IS NULL AND role IN ('user', 'assistant') "
        "AND (%(before)s::int IS NULL OR seq < %(before)s) ORDER BY seq DESC LIMIT %(limit)s",
        {"session": session_id, "before": before, "limit": PAGE + 1},
    )
    return rows[:PAGE][::-1], len(rows) > PAGE


@operation()
def runs_around(session_id: UUID, runs: Sequence[UUID], *, newest: bool) -> Operation[list[Row]]:
    """These runs and those between them in the session, in its order; `newest` adds all that came after.

    `input` is there only while the run has written no message: until then it is what the person said.
    """
    return (
        yield Query(
            """
            WITH span AS (
                SELECT coalesce(min(number), 0) AS first, max(number) AS last FROM runs WHERE id = ANY(%(runs)s))
            SELECT r.id, r.number, r.status, r.attempt, r.assistant_version, r.error, r.input_tokens,
                r.output_tokens, r.created_at, r.started_at, r.finished_at, r.waited_s,
                r.next_attempt_at,
                r.metadata->>'ref' AS ref, r.message_start IS NOT NULL AS has_messages,
                CASE WHEN r.message_start IS NULL THEN p.input END AS input
            FROM runs r CROSS JOIN span LEFT JOIN run_payloads p ON p.run_id = r.id AND r.message_start IS NULL
            WHERE r.session_id = %(session)s AND (
                r.number BETWEEN span.first AND span.last
                OR (%(newest)s AND (r.number IS NULL OR r.number >= span.first)))
            ORDER BY r.number NULLS LAST, r.created_at, r.id
            """,
            {"session": session_id, "runs": list(runs), "newest": newest},
        )
    )


@operation()
def tool_outcomes(runs: Sequence[UUID]) -> Operation[dict[tuple[UUID, str], Row]]:
    """How the tool calls of these runs ended, by run and call; their payloads stay where they are."""
    rows = yield Query(
        "SELECT s.run_id, c->>'id' AS id, c->>'status' AS status, (c->>'duration_ms')::float8 AS duration_ms, "
        "c->>'decision' AS decision, CASE WHEN c->>'decision' = 'edit' THEN c->'args' END AS edited "
        "FROM run_steps s CROSS JOIN LATERAL jsonb_array_elements(s.tool_calls) c "
        "WHERE s.run_id = ANY(%(runs)s) AND s.kind = 'tools'",
        {"runs": list(runs)},
    )
    return {(row["run_id"], row["id"]): row for row in rows}


@operation()
def tool_call(session_id: UUID, run_id: UUID, call_id: str) -> Operation[dict[str, Any]]:
    """One tool call with its arguments and what came of it. Raises NotFound."""
    rows = yield Query(
        "SELECT c AS call FROM run_steps s JOIN runs r ON r.id = s.run_id AND r.session_id = %(session)s "
        "CROSS JOIN LATERAL jsonb_array_elements(s.tool_calls) c "
        "WHERE s.run_id = %(run)s AND s.kind = 'tools' AND c->>'id' = %(call)s LIMIT 1",
        {"session": session_id, "run": run_id, "call": call_id},
    )
    rows = rows or (
        yield Query(
            "SELECT c AS call FROM messages m CROSS JOIN LATERAL jsonb_array_elements(m.tool_calls) c "
            "WHERE m.session_id = %(session)s AND m.run_id = %(run)s AND c->>'id' = %(call)s LIMIT 1",
            {"session": session_id, "run": run_id, "call": call_id},
        )
    )
    if not rows:
        raise NotFound("There is no such tool call.")
    found: dict[str, Any] = rows[0]["call"]
    return found


@operation()
def asked(run_id: UUID) -> Operation[Row | None]:
    """What a run of a conversation that the caller sees asks a person; None while it asks nothing."""
    rows = yield Query(
        "SELECT id, interrupt, checkpoint_id, interrupted_at, interrupt_expires_at, last_seq FROM runs "
        "WHERE id = %(run)s AND status = 'interrupted'",
        {"run": run_id},
    )
    return rows[0] if rows else None


@operation()
def todos(session_id: UUID) -> Operation[Any]:
    """What is under that name in the state of a conversation that the caller sees, apart from the rest of it."""
    rows = yield Query("SELECT state->'todos' AS todos FROM sessions WHERE id = %(session)s", {"session": session_id})
    return rows[0]["todos"] if rows else None


@operation()
def runs_by_id(identity: Identity, runs: Sequence[UUID]) -> Operation[list[Row]]:
    """Those of these runs that the caller sees, with the name of the sub-agent or assistant that carries each out."""
    return (
        yield Query(
            f"SELECT r.id, r.session_id, {_WHO} AS name FROM runs r JOIN assistants a ON a.id = r.assistant_id "  # noqa: S608
            f"WHERE r.id = ANY(%(runs)s) AND {visible_run('r')}",
            {"runs": list(runs), **parameters_of(identity)},
        )
    )


@operation()
def children(runs: Sequence[UUID]) -> Operation[dict[tuple[UUID, str], Row]]:
    """The runs that carry out tool calls of these, by run and call: the newest, where a call was made again."""
    rows = yield Query(
        f"SELECT r.parent_run_id, r.parent_call_id, r.session_id, {_WHO} AS name "  # noqa: S608
        "FROM runs r JOIN assistants a ON a.id = r.assistant_id "
        "WHERE r.parent_run_id = ANY(%(runs)s) ORDER BY r.created_at, r.id",
        {"runs": list(runs)},
    )
    return {(row["parent_run_id"], row["parent_call_id"]): row for row in rows}


@operation()
def status_of_run(session_id: UUID, run_id: UUID) -> Operation[str]:
    """Raises NotFound where the conversation has no such run."""
    rows = yield Query(
        "SELECT status FROM runs WHERE id = %(run)s AND session_id = %(session)s",
        {"run": run_id, "session": session_id},
    )
    if not rows:
        raise NotFound("There is no such run in this conversation.")
    return str(rows[0]["status"])


@operation()
def unfinished_text(runs: Sequence[UUID]) -> Operation[list[Row]]:
    """What these runs had said of a message that they never finished: their tokens since the last whole one.

    Rows of `run_id`, `seq`, `event` (token or superseded) and `data`, in order.
    """
    return (
        yield Query(
            """
            SELECT e.run_id, e.seq, e.event, e.data FROM run_events e
            WHERE e.run_id = ANY(%(runs)s) AND e.event IN ('token', 'superseded') AND e.seq > coalesce((
                SELECT max(m.seq) FROM run_events m
                WHERE m.run_id = e.run_id AND m.event = 'message' AND m.data->>'role' = 'assistant'), 0)
            ORDER BY e.run_id, e.seq
            """,
            {"runs": list(runs)},
        )
    )


@operation()
def active_assistants(identity: Identity, chosen: UUID | None) -> Operation[list[Row]]:
    """The assistants that take new conversations, by name; the chosen one is there also where there are too many."""
    return (
        yield Query(
            "SELECT * FROM (SELECT id, name, description, version FROM assistants a "  # noqa: S608
            f"WHERE {in_workspace('a')} AND status = 'active' "
            "ORDER BY id = %(chosen)s DESC, lower(name), id LIMIT %(limit)s) AS offered ORDER BY lower(name), id",
            {**parameters_of(identity), "chosen": chosen or UUID(int=0), "limit": ASSISTANTS},
        )
    )


@operation()
def workspace_and_admins(identity: Identity) -> Operation[tuple[str, list[str]]]:
    """What the workspace is called, and the names of some who manage it: the longest there first."""
    rows = yield Query(
        "SELECT w.name, u.username FROM workspaces w "  # noqa: S608
        f"LEFT JOIN memberships m ON {in_workspace('m')} AND m.role = 'admin' "
        "LEFT JOIN users u ON u.id = m.user_id AND u.is_active "
        "WHERE w.id = %(workspace)s ORDER BY u.id IS NULL, m.created_at LIMIT %(limit)s",
        {**parameters_of(identity), "limit": ADMINS},
    )
    return str(rows[0]["name"]) if rows else "", [row["username"] for row in rows if row["username"]]


@operation()
def worker_is_running() -> Operation[bool]:
    """Whether any worker process is alive to take runs."""
    rows = yield Query(
        "SELECT EXISTS (SELECT FROM workers WHERE state = 'active' AND lease_expires_at > clock_timestamp()) AS alive"
    )
    return bool(rows[0]["alive"])
