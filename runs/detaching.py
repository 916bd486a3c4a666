"""Deleting an assistant and its runs, while the conversations stay: what LangGraph's clients mean by deleting one.

A thread there is nobody's: any assistant may serve it. So its session stays with all that was said, without an
assistant until its next run. The locks are those of `runs.deletion`.
"""

from typing import Any
from uuid import UUID

from accounts import audit
from accounts.identity import Identity
from accounts.scoping import parameters_of
from core.db import Operation, Query, operation
from core.errors import Conflict
from runs.deletion import deletion_of_runs, lock_assistant
from runs.ending import concluding, end_waiting
from runs.lifecycle import Status

_OF_ASSISTANT = """
(s.assistant_id = %(assistant)s OR EXISTS (SELECT FROM runs r WHERE r.session_id = s.id
    AND r.assistant_id = %(assistant)s))
"""

# Nobody is waited for: who makes a run holds its session's lock and waits for the assistant's.
_LOCK_SESSIONS = f"""
WITH free AS (SELECT s.id FROM sessions s WHERE {_OF_ASSISTANT} ORDER BY s.id FOR UPDATE SKIP LOCKED)
SELECT (SELECT count(*) FROM sessions s WHERE {_OF_ASSISTANT}) AS sessions, (SELECT count(*) FROM free) AS locked,
    (SELECT array_agg(id) FROM free) AS ids
"""  # noqa: S608

_RUNS = "SELECT id, status FROM runs WHERE assistant_id = %(assistant)s"
_ASKING = f"{_RUNS} AND status = '{Status.INTERRUPTED}'"
_BUSY = f"{_RUNS} AND status = ANY(%(busy)s) LIMIT 1"

_DELETE = [
    *deletion_of_runs("{0}.assistant_id = %(assistant)s"),
    "UPDATE sessions SET assistant_id = NULL, assistant_version = NULL WHERE assistant_id = %(assistant)s",
    "DELETE FROM shared_files WHERE assistant_id = %(assistant)s",
    "DELETE FROM assistant_tags WHERE assistant_id = %(assistant)s",
    "DELETE FROM assistant_versions WHERE assistant_id = %(assistant)s",
    "DELETE FROM assistants WHERE id = %(assistant)s",
]


def delete_assistant_and_runs(identity: Identity, assistant_id: UUID) -> None:
    """Delete the assistant with its versions and runs; its sessions stay, and those that ask a person do no more.

    Raises NotFound; Forbidden for a key that is bound to a user; Conflict while a run of it waits for a worker or is
    carried out, or somebody else has a session locked.
    """
    _delete(identity, assistant_id).run()


@operation(atomic=True)
def _delete(identity: Identity, assistant_id: UUID) -> Operation[None]:
    scope: dict[str, Any] = {"assistant": assistant_id, **parameters_of(identity)}
    name = yield from lock_assistant(identity, assistant_id)
    (counts,) = yield Query(_LOCK_SESSIONS, scope)
    if counts["locked"] < counts["sessions"]:
        raise Conflict("A session of the assistant is being changed at this moment; try again.")
    if (yield Query(_BUSY, {**scope, "busy": [str(Status.PENDING), str(Status.RUNNING)]})):
        raise Conflict("The assistant has runs that have not ended; cancel them first.")
    if asking := [row["id"] for row in (yield Query(_ASKING, scope))]:
        yield from end_waiting(asking, Status.CANCELLED, None)
        yield from concluding(asking, counts["ids"])
    runs = len((yield Query(_RUNS, scope)))
    for statement in _DELETE:
        yield Query(statement, scope)
    yield audit.entry(identity, "deleted", "assistant", assistant_id, name=name, sessions=0, runs=runs)
