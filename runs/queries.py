"""Reading runs: always inside a workspace, and for a key bound to a user, inside that user's sessions."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Now

from accounts.identity import Identity
from accounts.scoping import of_user, parameters_of, visible_run
from core.db import Operation, Query, Row, operation
from core.errors import NotFound
from runs.documents import RUN_COLUMNS
from runs.lifecycle import Status
from runs.models import Artifact, Run, RunEvent, Worker, WorkerState
from runs.pools import BARRED, Pool
from sessions.queries import rows_of

LOST_SHOWN_FOR = timedelta(hours=1)

STEPS = """
(SELECT jsonb_agg(jsonb_build_object('index', s.index, 'kind', s.kind, 'status', s.status, 'attempt', s.attempt,
    'started_at', to_char(s.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'duration_ms', s.duration_ms, 'model', s.model, 'tool_calls', s.tool_calls) ORDER BY s.index)
 FROM run_steps s WHERE s.run_id = runs.id) AS steps
"""

_WHOLE = f"""
SELECT {RUN_COLUMNS}, p.input, p.output, {STEPS} FROM runs JOIN run_payloads p ON p.run_id = runs.id
WHERE runs.id = %(run)s AND {visible_run("runs")}
"""  # noqa: S608 - constants of this module

_SEVERAL = _WHOLE.replace("runs.id = %(run)s", "runs.id = ANY(%(runs)s)")

_STATE = f"""
SELECT id, session_id, number, status, last_seq FROM runs WHERE id = %(run)s AND {visible_run("runs")}
"""  # noqa: S608


@operation()
def get_run(identity: Identity, run_id: UUID) -> Operation[Row]:
    """The whole run: its row, `input`, `output` and `steps`. Raises NotFound."""
    rows = yield Query(_WHOLE, {"run": run_id, **parameters_of(identity)})
    if not rows:
        raise NotFound("There is no such run.")
    return rows[0]


@operation()
def get_runs(identity: Identity, run_ids: Sequence[UUID]) -> Operation[list[Row]]:
    """Several of them, in the order of their ids given. Raises NotFound where one is gone."""
    rows = yield Query(_SEVERAL, {"runs": list(run_ids), **parameters_of(identity)})
    found = {row["id"]: row for row in rows}
    if len(found) < len(run_ids):
        raise NotFound("One of the runs does not exist any more.")
    return [found[run_id] for run_id in run_ids]


@operation()
def get_run_state(identity: Identity, run_id: UUID) -> Operation[Row]:
    """What a stream must know of a run: id, session_id, number, status, last_seq. Raises NotFound."""
    rows = yield Query(_STATE, {"run": run_id, **parameters_of(identity)})
    if not rows:
        raise NotFound("There is no such run.")
    return rows[0]


# What `runs.events.event_from_row` adds to the last event.
_OUTPUT = "(SELECT p.output FROM run_payloads p WHERE p.run_id = e.run_id AND e.event = 'end') AS output"


@operation()
def events_of_run(run_id: UUID, after: int, limit: int) -> Operation[list[Row]]:
    """Committed events of a run that the caller may see, oldest first. Raises NotFound for one that was deleted."""
    rows = yield Query(
        "SELECT r.id AS run_id, r.number, e.* FROM runs r LEFT JOIN ("  # noqa: S608
        f"SELECT seq, event, ts, data, {_OUTPUT} FROM run_events e WHERE run_id = %(run)s AND seq > %(after)s "
        "ORDER BY seq LIMIT %(limit)s) e ON true WHERE r.id = %(run)s ORDER BY e.seq",
        {"run": run_id, "after": after, "limit": limit},
    )
    return _unless_gone(rows, "There is no such run.")


@operation()
def events_of_session(session_id: UUID, number: int, seq: int, limit: int) -> Operation[list[Row]]:
    """Committed events of a session that the caller may see, after the event `<number>-<seq>`, oldest first.

    They stop at the run in flight: a run that was cancelled in the queue behind it has its number and its end already,
    and a reader that went on to it would take the rest of the run in flight for old.
    Raises NotFound for a session that was deleted.
    """
    rows = yield Query(
        "SELECT e.* FROM sessions s LEFT JOIN ("  # noqa: S608
        f"SELECT e.run_id, r.number, e.seq, e.event, e.ts, e.data, {_OUTPUT} FROM runs r "
        "JOIN run_events e ON e.run_id = r.id "
        "WHERE r.session_id = %(session)s AND r.number IS NOT NULL "
        "AND (r.number, e.seq) > (%(number)s, %(seq)s) AND NOT EXISTS (SELECT FROM runs b "
        "WHERE b.session_id = r.session_id AND b.number < r.number AND b.finished_at IS NULL) "
        "ORDER BY r.number, e.seq LIMIT %(limit)s) e ON true WHERE s.id = %(session)s ORDER BY e.number, e.seq",
        {"session": session_id, "number": number, "seq": seq, "limit": limit},
    )
    return _unless_gone(rows, "There is no such session.")


def _unless_gone(rows: list[Row], otherwise: str) -> list[Row]:
    # What has no events is one row without one.
    if not rows:
        raise NotFound(otherwise)
    return [row for row in rows if row["seq"] is not None]


@operation()
def latest_positions(topics: Sequence[str]) -> Operation[dict[str, tuple[int, int]]]:
    """The last committed event of each run or session, by its id; one that has none is absent."""
    rows = yield Query(
        "SELECT id::text AS topic, number, last_seq FROM runs WHERE id = ANY(%(ids)s::uuid[]) AND number IS NOT NULL "
        "UNION ALL SELECT * FROM (SELECT DISTINCT ON (session_id) session_id::text, number, last_seq FROM runs "
        "WHERE session_id = ANY(%(ids)s::uuid[]) AND number IS NOT NULL ORDER BY session_id, number DESC) AS latest",
        {"ids": list(topics)},
    )
    return {row["topic"]: (row["number"], row["last_seq"]) for row in rows if row["last_seq"]}


def runs(identity: Identity) -> QuerySet[Run, Row]:
    """The rows of the runs that the caller may see, without what went in and came out."""
    return rows_of(of_user(identity, Run.objects.all(), "session__user_id"), *RUN_COLUMNS.split(", "))


def events(run_id: UUID) -> QuerySet[RunEvent, Row]:
    """The committed events of a run that the caller may see, as `runs.events.event_from_row` takes them."""
    output = Case(When(event="end", then=F("run__payload__output")))
    rows = RunEvent.objects.filter(run_id=run_id).annotate(number=F("run__number"), output=output)
    return rows_of(rows, "run_id", "number", "seq", "event", "ts", "data", "output")


def artifacts(run_id: UUID) -> QuerySet[Artifact, Row]:
    """The artifacts of a run that the caller may see, without what is in them."""
    rows = Artifact.objects.filter(run_id=run_id)
    return rows_of(rows, "id", "run_id", "call_id", "name", "mime_type", "size", "created_at")


def get_artifact(run_id: UUID, artifact_id: UUID) -> Artifact:
    """An artifact of a run that the caller may see, with what is in it. Raises NotFound."""
    found = Artifact.objects.filter(id=artifact_id, run_id=run_id).first()
    if found is None:
        raise NotFound("There is no such artifact.")
    return found


def workers() -> QuerySet[Worker, Row]:
    """The workers that live, and those that were lost lately. `shown`: one whose lease has run out is lost."""
    alive = ~Q(state=WorkerState.LOST) & Q(lease_expires_at__gte=Now())
    shown = Case(When(alive, then=F("state")), default=Value(WorkerState.LOST))
    found = Worker.objects.filter(alive | Q(heartbeat_at__gt=Now() - LOST_SHOWN_FOR)).annotate(shown=shown)
    return rows_of(
        found, "id", "host", "pid", "slots", "used", "labels", "types", "shown", "heartbeat_at", "started_at"
    )


def interrupt_of(head_run_id: UUID | None) -> Any:
    """What the head of a session asks a person, None unless it waits for one."""
    if head_run_id is None:
        return None
    return Run.objects.filter(id=head_run_id, status=Status.INTERRUPTED).values_list("interrupt", flat=True).first()


def interrupt_at(checkpoint: Row) -> Any:
    """What the run that left the checkpoint asks a person, None unless it waits for one there."""
    waiting = Run.objects.filter(id=checkpoint["run_id"], checkpoint_id=checkpoint["id"], status=Status.INTERRUPTED)
    return waiting.values_list("interrupt", flat=True).first()


# Ordered as the index of what may be claimed is: else, where statistics promise many such runs and there is none that
# fits, the whole table is read for it.
_WAITING = f"""
SELECT (SELECT true FROM runs WHERE status = 'pending' AND ready
    AND (next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp()) AND queued_at <= statement_timestamp()
    AND assistant_id NOT IN ({BARRED}) ORDER BY workspace_id LIMIT 1) IS NOT NULL AS waiting
"""  # noqa: S608


@operation()
def anything_waiting(pool: Pool) -> Operation[bool]:
    """Whether there is a run that a worker of the pool may claim: the cheap question of an idle poll."""
    rows = yield Query(_WAITING, pool.parameters)
    return bool(rows[0]["waiting"])


@operation()
def live_workers() -> Operation[int]:
    """How many worker processes of the server are alive."""
    rows = yield Query(
        "SELECT count(*) AS alive FROM workers WHERE state <> 'lost' AND lease_expires_at > clock_timestamp()"
    )
    alive: int = rows[0]["alive"]
    return alive
