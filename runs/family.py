"""Parents and children: what follows for one when the other changes.

A run that delegates waits for its children without a slot (`runs.worker.children`). It goes on when all of them have
ended, asks what they ask once none of them can do anything else, and gets a turn at its own end when its time is over.
Children whose parent has ended are cancelled, and so are theirs.

Nothing of this happens in the commit of the run that changed: that holds its session's lock and must not wait for a
relative's. It is a chore of its own that looks at the rows and can be done by anybody, at any time and again. Whoever
changed a run does it at once (`runs.announce.look_after`), and each worker looks twice a second for what was left.
"""

from collections.abc import Collection, Generator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from core.db import Bound, Operation, Query, Row, jsonb, operation
from runs.ending import concluding, end_unwanted, end_waiting
from runs.lifecycle import ACTIVE, Status

ENDED = "subagent_ended"  # the event that tells a parent's readers how a child ended

_OVERDUE = "clock_timestamp() > p.started_at + make_interval(secs => p.timeout_s + p.waited_s)"

# By the two partial indexes of runs that wait and of children that have not ended: both are empty most of the time.
_UNSETTLED = f"""
SELECT p.id FROM runs p WHERE p.waiting AND {{concerned}} AND CASE WHEN p.status = 'interrupted'
    THEN NOT EXISTS (SELECT FROM runs c WHERE c.parent_run_id = p.id AND c.status = 'interrupted')
    ELSE {_OVERDUE}
        OR NOT EXISTS (SELECT FROM runs c WHERE c.parent_run_id = p.id AND c.status IN ('pending', 'running')) END
UNION
SELECT p.id FROM runs c JOIN runs p ON p.id = c.parent_run_id
WHERE c.parent_run_id IS NOT NULL AND c.status IN ('pending', 'running', 'interrupted')
    AND c.cancel_requested_at IS NULL AND p.finished_at IS NOT NULL AND {{concerned}}
"""  # noqa: S608 - constants
_ANY = _UNSETTLED.format(concerned="true")
_OF_THESE = _UNSETTLED.format(
    concerned="(p.id = ANY(%(runs)s) OR p.id IN (SELECT parent_run_id FROM runs WHERE id = ANY(%(runs)s)))"
)

_LOCK = """
SELECT s.id FROM sessions s WHERE s.id IN (
    SELECT session_id FROM runs WHERE id = %(parent)s
    UNION ALL SELECT session_id FROM runs WHERE parent_run_id = %(parent)s AND status = ANY(%(active)s))
ORDER BY s.id FOR UPDATE
"""

_FAMILY = f"""
SELECT p.id, p.session_id, p.status, p.waiting, p.finished_at IS NOT NULL AS ended, {_OVERDUE} AS overdue,
    coalesce(jsonb_agg(jsonb_build_object('run_id', c.id, 'status', c.status, 'tool_call_id', c.parent_call_id,
        'interrupt', c.interrupt) ORDER BY c.id) FILTER (WHERE c.id IS NOT NULL), '[]') AS children
FROM runs p LEFT JOIN runs c ON c.parent_run_id = p.id AND c.created_at = p.delegated_at
WHERE p.id = %(parent)s GROUP BY p.id
"""  # noqa: S608 - constants

# What it waited for a person does not count against its `timeout_s`.
_GO_ON = """
WITH moved AS (
    UPDATE runs SET status = 'pending', waiting = NOT %(ready)s, ready = %(ready)s, interrupt = NULL,
        waited_s = waited_s + coalesce(extract(epoch FROM clock_timestamp() - interrupted_at), 0),
        interrupted_at = NULL, queued_at = clock_timestamp(), last_seq = last_seq + jsonb_array_length(%(events)s)
    WHERE id = ANY(%(runs)s) AND waiting AND status IN ('pending', 'interrupted')
    RETURNING id, session_id, last_seq, attempt, queued_at
), told AS (
    INSERT INTO run_events (run_id, seq, event, data, ts)
    SELECT moved.id, moved.last_seq - jsonb_array_length(%(events)s) + given.nth, given.event->>'event',
        CASE WHEN given.event->>'event' = 'status'
            THEN given.event->'data' || jsonb_build_object('attempt', moved.attempt) ELSE given.event->'data' END,
        moved.queued_at
    FROM moved, jsonb_array_elements(%(events)s) WITH ORDINALITY AS given(event, nth)
)
UPDATE sessions s SET activity = 'running', last_activity_at = clock_timestamp(),
    expires_at = CASE WHEN s.ttl_seconds IS NULL THEN s.expires_at
        ELSE clock_timestamp() + make_interval(secs => s.ttl_seconds) END
FROM moved WHERE s.id = moved.session_id RETURNING moved.id, s.id AS session_id
"""

_ASK = """
WITH asking AS (
    UPDATE runs SET status = 'interrupted', interrupt = %(interrupt)s, interrupted_at = clock_timestamp(),
        last_seq = last_seq + 1
    WHERE id = %(parent)s AND waiting AND status = 'pending' RETURNING id, session_id, last_seq, interrupted_at
), told AS (
    INSERT INTO run_events (run_id, seq, event, data, ts)
    SELECT id, last_seq, 'interrupt', %(interrupt)s, interrupted_at FROM asking
)
UPDATE sessions s SET activity = 'interrupted', last_activity_at = clock_timestamp()
FROM asking WHERE s.id = asking.session_id RETURNING asking.id
"""

_CANCEL = """
UPDATE runs SET cancel_requested_at = clock_timestamp()
WHERE parent_run_id = %(parent)s AND status = ANY(%(active)s) AND cancel_requested_at IS NULL RETURNING id, status
"""


@dataclass(slots=True)
class Settled:
    """What was changed: the rows (`id`, `session_id`) of runs whose readers have news, the runs that were asked to
    stop, and whether there may be something to claim."""

    told: list[Row] = field(default_factory=list)
    asked: list[UUID] = field(default_factory=list)
    ready: bool = False

    def add(self, other: "Settled") -> None:
        self.told += other.told
        self.asked += other.asked
        self.ready = self.ready or other.ready


@operation()
def unsettled(runs: Collection[UUID] | None) -> Operation[list[UUID]]:
    """The parents for which something follows from how things stand, among these runs and their parents or all."""
    found = yield Query(_ANY) if runs is None else Query(_OF_THESE, {"runs": list(runs)})
    return [row["id"] for row in found]


@operation(atomic=True)
def settle(parent: UUID) -> Operation[Settled]:
    """Draw the conclusions for one parent and its children; none where another worker did so meanwhile."""
    scope = {"parent": parent, "active": list(ACTIVE)}
    yield Query(_LOCK, scope)
    found = yield Query(_FAMILY, scope)
    if not found:
        return Settled()
    (run,) = found
    if run["ended"]:
        return (yield from _cancel_children(scope))
    if not run["waiting"]:
        return Settled()
    children: list[dict[str, Any]] = run["children"]
    under_way = [child for child in children if child["status"] in {Status.PENDING, Status.RUNNING}]
    asking = [child for child in children if child["status"] == Status.INTERRUPTED]
    if run["status"] == Status.INTERRUPTED:
        if asking:
            return Settled()
        return (yield from (wait_again([parent]) if under_way else _go_on(run)))
    if run["overdue"] or not (under_way or asking):
        return (yield from _go_on(run))
    return Settled() if under_way else (yield from _ask(run, asking))


def wait_again(runs: Collection[UUID]) -> Operation[Settled]:
    """Have parents that asked what their children ask wait for these again; their sessions are locked by the caller."""
    status = {"event": "status", "data": {"status": Status.PENDING, "next_attempt_at": None}}
    told = yield Query(_GO_ON, {"runs": list(runs), "ready": False, "events": jsonb([status])})
    return Settled(told)


def _go_on(run: Row) -> Operation[Settled]:
    told = ("tool_call_id", "run_id", "status")
    ended = [child for child in run["children"] if child["status"] not in ACTIVE]
    events = [
        {"event": "custom", "data": {"name": ENDED, "value": {name: child[name] for name in told}}} for child in ended
    ]
    moved = yield Query(_GO_ON, {"runs": [run["id"]], "ready": True, "events": jsonb(events)})
    return Settled(moved, ready=True)


def _ask(run: Row, asking: list[dict[str, Any]]) -> Operation[Settled]:
    forms = [
        {"type": "subagent", **{name: child[name] for name in ("run_id", "interrupt", "tool_call_id")}}
        for child in asking
    ]
    interrupt = forms[0] if len(forms) == 1 else {"type": "multiple", "interrupts": forms}
    asked = yield Query(_ASK, {"parent": run["id"], "interrupt": jsonb(interrupt)})
    yield from concluding([row["id"] for row in asked], [])
    # Nobody waits for the answer where it is to be cancelled, or another run of its session waits behind it.
    ended = yield from end_unwanted([run["id"]]).start()
    return Settled([run, *ended], ready=bool(ended))


def _cancel_children(scope: dict[str, Any]) -> Operation[Settled]:
    children = yield Query(_CANCEL, scope)
    ended = yield from end_waiting([row["id"] for row in children], Status.CANCELLED, None)
    return Settled(ended, [row["id"] for row in children if row["status"] == Status.RUNNING])


Rounds = Generator[Bound[Any], Any, Settled]


def rounds(runs: Collection[UUID] | None = None) -> Rounds:
    """Settle what follows from a change of these runs, and what follows from that; without runs, whatever is unsettled.

    Yields operations to be carried out, each in a transaction of its own, and is sent what they give.
    """
    done = Settled()
    while True:
        parents = yield unsettled(runs)
        round_ = Settled()
        for parent in parents:
            round_.add((yield settle(parent)))
        done.add(round_)
        if not (round_.told or round_.asked):
            return done
        runs = [row["id"] for row in round_.told]


def run_rounds(rounds: Rounds) -> Settled:
    """Carry them out on Django's connection."""
    given: Any = None
    while True:
        try:
            given = rounds.send(given).run()
        except StopIteration as end:
            settled: Settled = end.value
            return settled


async def arun_rounds(rounds: Rounds) -> Settled:
    """Carry them out on the async pool."""
    given: Any = None
    while True:
        try:
            given = await rounds.send(given).arun()
        except StopIteration as end:
            settled: Settled = end.value
            return settled
