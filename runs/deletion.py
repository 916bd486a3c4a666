"""Deleting an assistant for good, with everything that belongs to it.

The assistant's row is locked first, then its sessions, then nothing more is waited for. Who makes a session refers to
the assistant's row when it commits: it was committed before and is seen, or it waits and finds the assistant gone.
Who makes a run holds its session's lock by then and waits for the assistant's, so that this side must not wait for
theirs: a session that somebody else has locked refuses the deletion. Once all are locked no run can be accepted, and
none changes its status.
"""

from typing import Any
from uuid import UUID

from django.db import transaction

from accounts import audit
from accounts.identity import Identity
from accounts.scoping import in_workspace, parameters_of
from core.db import Operation, Query, Row, operation
from core.errors import Conflict, Forbidden, NotFound
from runs.lifecycle import ACTIVE
from sessions.graph_rows import TABLES

_LOCK_ASSISTANT = f"""
SELECT id, name FROM assistants WHERE id = %(assistant)s AND {in_workspace("assistants")} FOR UPDATE
"""  # noqa: S608

# `others`: sessions of its sessions' sub-agents that are other assistants; they go with it.
_OTHERS = """
WITH RECURSIVE below AS (
    SELECT s.id, s.assistant_id FROM sessions s JOIN sessions p ON p.id = s.parent_id
    WHERE p.assistant_id = %(assistant)s AND s.parent_id IS NOT NULL
    UNION
    SELECT s.id, s.assistant_id FROM below JOIN sessions s ON s.parent_id = below.id
)
SELECT id FROM below WHERE assistant_id <> %(assistant)s
"""

_LOCK_SESSIONS = """
WITH free AS (
    SELECT id FROM sessions WHERE assistant_id = %(assistant)s OR id = ANY(%(others)s) FOR UPDATE SKIP LOCKED
)
SELECT (SELECT count(*) FROM sessions WHERE assistant_id = %(assistant)s OR id = ANY(%(others)s)) AS sessions,
    (SELECT count(*) FROM free) AS locked
"""

_RUNS = """
SELECT status, count(*) AS runs FROM runs WHERE assistant_id = %(assistant)s OR session_id = ANY(%(others)s)
GROUP BY status
"""


def deletion_of(runs: str, sessions: str) -> list[str]:
    """The statements that delete sessions and their runs with all that is in them, one statement a table.

    `runs` and `sessions` are conditions on one row of these tables, whose alias they write as `{0}`: constants of the
    code, never input. The caller has locked the sessions, none of which has a run that has not ended, and those of
    their sub-agents are among them.
    """
    of_session = sessions.format("s")
    return [
        *deletion_of_runs(runs),
        *(
            f"DELETE FROM {table} USING sessions s WHERE s.id = {table}.session_id AND {of_session}"  # noqa: S608
            for table in (*TABLES, "checkpoints", "messages")
        ),
        f"DELETE FROM sessions s WHERE {of_session}",  # noqa: S608
    ]


def deletion_of_runs(runs: str) -> list[str]:
    """The statements that delete runs that have ended, and leave in their sessions what they have written there."""
    of_run = runs.format("r")
    # Foreign keys are checked at the commit, but the rows are found through each other: the leaves go first.
    return [
        # A run that stays and was started by one of these goes on without its parent.
        f"UPDATE runs stays SET parent_run_id = NULL FROM runs r "  # noqa: S608
        f"WHERE stays.parent_run_id = r.id AND stays.parent_run_id IS NOT NULL AND {of_run} "
        f"AND NOT ({runs.format('stays')})",
        *(
            f"DELETE FROM {table} USING runs r WHERE r.id = {table}.run_id AND {of_run}"  # noqa: S608
            for table in ("run_events", "run_results", "artifacts", "run_steps", "run_payloads")
        ),
        f"DELETE FROM runs r WHERE {of_run}",  # noqa: S608
    ]


# Those that a statement names, by their ids.
DELETE_SESSIONS = deletion_of("{0}.session_id = ANY(%(sessions)s)", "{0}.id = ANY(%(sessions)s)")
# Of sub-agents, whatever their own state; `root` is the session that goes.
LOCK_SUBAGENTS = """
WITH RECURSIVE below AS (
    SELECT id, parent_id AS root FROM sessions WHERE parent_id = ANY(%(sessions)s)
    UNION ALL SELECT s.id, below.root FROM below JOIN sessions s ON s.parent_id = below.id
)
SELECT s.id, below.root, s.head_run_id IS NOT NULL AS busy FROM sessions s JOIN below ON below.id = s.id
ORDER BY s.id FOR UPDATE OF s
"""

_DELETE = [
    *deletion_of(
        "({0}.assistant_id = %(assistant)s OR {0}.session_id = ANY(%(others)s))",
        "({0}.assistant_id = %(assistant)s OR {0}.id = ANY(%(others)s))",
    ),
    "DELETE FROM shared_files WHERE assistant_id = %(assistant)s",
    "DELETE FROM assistant_tags WHERE assistant_id = %(assistant)s",
    "DELETE FROM assistant_versions WHERE assistant_id = %(assistant)s",
    "DELETE FROM assistants WHERE id = %(assistant)s",
]


def delete_assistant_for_good(identity: Identity, assistant_id: UUID) -> None:
    """Delete the assistant, whatever its status, with its versions, sessions and runs and all that is in them.

    What is left is an entry of the audit trail. Raises NotFound; Forbidden for a key that is bound to a user, because
    what it would delete is everybody's; Conflict while a run has not ended or somebody else has a session locked.
    """
    with transaction.atomic():
        gone = _delete(identity, assistant_id).run()
        audit.record(identity, "deleted", "assistant", assistant_id, **gone)


def lock_assistant(identity: Identity, assistant_id: UUID) -> Operation[str]:
    """Lock an assistant that is to be deleted; gives its name.

    Raises NotFound; Forbidden for a key that is bound to a user, because what goes with it is everybody's.
    """
    found = yield Query(_LOCK_ASSISTANT, {"assistant": assistant_id, **parameters_of(identity)})
    if not found:
        raise NotFound("There is no such assistant.")
    if identity.user_id is not None:
        raise Forbidden("A key that is bound to a user cannot delete an assistant for good.")
    name: str = found[0]["name"]
    return name


@operation()
def _delete(identity: Identity, assistant_id: UUID) -> Operation[Row]:
    """Inside the caller's transaction. Gives what the audit trail keeps: the name, and how many went with it."""
    scope: dict[str, Any] = {"assistant": assistant_id, **parameters_of(identity)}
    name = yield from lock_assistant(identity, assistant_id)
    scope["others"] = [row["id"] for row in (yield Query(_OTHERS, scope))]
    # Asked before the sessions are locked too, so that a busy assistant's are left alone.
    _refuse_while_active((yield Query(_RUNS, scope)))
    (counts,) = yield Query(_LOCK_SESSIONS, scope)
    if counts["locked"] < counts["sessions"]:
        raise Conflict("A session of the assistant is being changed at this moment; try again.")
    runs = yield Query(_RUNS, scope)
    _refuse_while_active(runs)
    for statement in _DELETE:
        yield Query(statement, scope)
    return {"name": name, "sessions": counts["sessions"], "runs": sum(row["runs"] for row in runs)}


def _refuse_while_active(runs: list[Row]) -> None:
    active = {row["status"]: row["runs"] for row in runs if row["status"] in ACTIVE}
    if active:
        told = ", ".join(f"{active[status]} {status}" for status in ACTIVE if status in active)
        raise Conflict(f"The assistant has runs that have not ended: {told}.")
