"""Ending runs that no worker carries out, and taking out of a session what a run had written there.

The caller holds the locks of the sessions. What a worker ends itself it writes in `runs.worker.commit`, which calls
`take_out` too: a rollback happens in the transaction that ends its run, whoever ends it.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from core.clock import isoformat
from core.db import After, Operation, Query, Row, jsonb, operation
from core.ids import new_id
from runs.lifecycle import TERMINAL, Status, sources
from runs.telling import TELLING, telling_of
from runtime.errors import AgentError
from runtime.history import answers_to
from sessions.documents import message_row
from sessions.graph_rows import take_out_graphs
from sessions.models import Activity, CheckpointSource
from webhooks.doorbell import ring

# `nth`: of several runs of one session each takes the next number, the oldest first.
_END = """
WITH chosen AS (
    SELECT id, row_number() OVER (PARTITION BY session_id, number IS NULL ORDER BY created_at, id) AS nth
    FROM runs WHERE id = ANY(%(runs)s)
), ended AS (
    UPDATE runs r SET status = %(status)s, error = %(error)s, finished_at = clock_timestamp(), ready = false,
        waiting = false, lease_owner = NULL, next_attempt_at = NULL, last_seq = r.last_seq + 1,
        number = coalesce(r.number, s.run_count + chosen.nth)
    FROM chosen, sessions s
    WHERE r.id = chosen.id AND s.id = r.session_id AND r.status = ANY(%(sources)s)
    RETURNING r.*
), numbered AS (
    UPDATE sessions s SET run_count = greatest(s.run_count, its.number), last_activity_at = clock_timestamp(),
        activity = CASE WHEN s.head_run_id = ANY(its.runs) THEN %(activity)s ELSE s.activity END,
        head_run_id = CASE WHEN s.head_run_id = ANY(its.runs) THEN NULL ELSE s.head_run_id END
    FROM (SELECT session_id, max(number) AS number, array_agg(id) AS runs FROM ended GROUP BY session_id) AS its
    WHERE s.id = its.session_id
), logged AS (
    INSERT INTO run_events (run_id, seq, event, data, ts)
    SELECT id, last_seq, 'end', jsonb_build_object('status', status, 'output', NULL, 'error', error, 'usage',
        jsonb_build_object('input_tokens', input_tokens, 'output_tokens', output_tokens,
            'total_tokens', input_tokens + output_tokens, 'cost_usd', cost_usd)), finished_at
    FROM ended
)
SELECT id, session_id, status, rollback FROM ended ORDER BY session_id, number
"""


# The ends of runs after which nothing is wrong with their sessions.
_QUIET = (Status.CANCELLED, Status.SUCCESS)


class Superseded(AgentError):
    """A newer run of its session took the run's place."""

    code = "superseded"

    def __init__(self) -> None:
        super().__init__("A newer run of its session took its place.")


SUPERSEDED = {
    "type": Superseded.__name__,
    "code": Superseded.code,
    "message": Superseded().message,
    "retryable": False,
}


def end_waiting(runs: Sequence[UUID], status: Status, error: dict[str, Any] | None) -> Operation[list[Row]]:
    """End runs that no worker holds; their sessions are locked by the caller.

    Gives the rows that this call ended (`id`, `session_id`): of two racing callers one gets them.
    """
    waiting = [source for source in sources(status) if source != Status.RUNNING]
    return (yield from end_runs(runs, status, error, waiting))


def end_runs(
    runs: Sequence[UUID], status: Status, error: dict[str, Any] | None, allowed: list[str]
) -> Operation[list[Row]]:
    """End those of the runs that are in one of the statuses `allowed`, as `end_waiting` does."""
    yield from _answer_open_calls(runs, allowed)
    ended = yield Query(
        _END,
        {
            "runs": list(runs),
            "status": str(status),
            "sources": allowed,
            "error": None if error is None else jsonb(error),
            "activity": str(Activity.IDLE if status in _QUIET else Activity.ERROR),
        },
    )
    if back := [row["id"] for row in ended if row["rollback"]]:
        yield take_out(back)
        yield from take_out_graphs(back)
    if ended:
        yield from concluding([row["id"] for row in ended], [row["session_id"] for row in ended])
    return ended


# -- what follows ------------------------------------------------------------------------------------------------------

_CONCLUDE = f"""
WITH {TELLING}, next AS (
    SELECT DISTINCT ON (r.session_id) r.id, r.session_id FROM runs r
    JOIN sessions s ON s.id = r.session_id AND s.head_run_id IS NULL
    WHERE r.session_id = ANY(%(sessions)s) AND r.status = 'pending'
    ORDER BY r.session_id, r.created_at, r.id
), promoted AS (
    UPDATE runs r SET ready = true FROM next WHERE r.id = next.id AND r.status = 'pending'
    RETURNING r.id, r.session_id
), headed AS (
    UPDATE sessions s SET head_run_id = promoted.id FROM promoted WHERE s.id = promoted.session_id RETURNING s.id
)
SELECT EXISTS (SELECT FROM sent) AS told, EXISTS (SELECT FROM headed) AS promoted
"""  # noqa: S608 - constants


def conclude(runs: Sequence[UUID], sessions: Sequence[UUID], *, written_here: bool = False) -> Query:
    """What belongs into each transaction that ends or interrupts runs, after that.

    Who wants to hear of them is told (`runs.telling`), and the oldest waiting run of each headless session of
    `sessions`, which the caller has locked, heads it. Gives one row: whether somebody is `told`, so that the dispatcher
    is to be rung for after the commit, and whether a run was `promoted`. `written_here`: of those runs only that this
    transaction has written, for who cannot tell which; it takes no savepoints.
    """
    return Query(_CONCLUDE, {**telling_of(runs, written_here=written_here), "sessions": list(sessions)})


def concluding(runs: Sequence[UUID], sessions: Sequence[UUID]) -> Operation[None]:
    """`conclude` inside an operation."""
    (follows,) = yield conclude(runs, sessions)
    if follows["told"]:
        yield After(ring)


# -- runs that wait for nobody -----------------------------------------------------------------------------------------

# `continued`: the run behind it is one of LangGraph's protocol, which goes on where this one asks. See
# `runs.accepting`, too.
_UNWANTED = """
WITH asking AS (
    SELECT r.id, r.cancel_requested_at, r.superseded, r.cancel_requested_at IS NULL AND next.continues AS continued
    FROM runs r LEFT JOIN LATERAL (
        SELECT p.kwargs IS NOT NULL AS continues FROM runs n JOIN run_payloads p ON p.run_id = n.id
        WHERE n.session_id = r.session_id AND n.status = 'pending' ORDER BY n.created_at, n.id LIMIT 1) next ON true
    WHERE r.id = ANY(%(runs)s) AND r.status = 'interrupted'
        AND (r.cancel_requested_at IS NOT NULL OR next.continues IS NOT NULL)
)
UPDATE runs r SET superseded = asking.superseded OR (asking.cancel_requested_at IS NULL AND NOT asking.continued),
    cancel_requested_at = CASE WHEN asking.continued THEN NULL
        ELSE coalesce(asking.cancel_requested_at, clock_timestamp()) END
FROM asking WHERE r.id = asking.id RETURNING r.id, r.superseded, coalesce(asking.continued, false) AS continued
"""


@operation()
def end_unwanted(runs: Sequence[UUID]) -> Operation[list[Row]]:
    """End those of the runs that ask a person while they are to be cancelled, or while another waits behind them.

    What `runs.accepting.accept` does to a run that asks already, for what came while it did not ask yet. The caller
    has just made them ask, in the same transaction. Gives the rows that ended.
    """
    unwanted = yield Query(_UNWANTED, {"runs": list(runs)})
    ended = []
    for superseded, error in ((False, None), (True, SUPERSEDED)):
        those = [row["id"] for row in unwanted if row["superseded"] == superseded and not row["continued"]]
        if those:
            ended += yield from end_waiting(those, Status.CANCELLED, error)
    if answered := [row["id"] for row in unwanted if row["continued"]]:
        ended += yield from end_waiting(answered, Status.SUCCESS, None)
    return ended


# -- taking out ------------------------------------------------------------------------------------------------------

# What a run wrote is the last of its session: nobody else writes there before it has ended. The checkpoint before it is
# the latest of those that were there, and not its first one's parent: it may have begun at an earlier one. `values_at`
# in `sessions.queries` folds a state in the same way: of one checkpoint the changes hold against what it removed.
# A number is free again once its message is deleted: `restored` counts what `unsaid` did, so as to come after it.
_TAKE_OUT = """
WITH RECURSIVE undone AS (
    SELECT r.id, r.session_id, first.step, earlier.id AS earlier_id, coalesce(earlier.step, 0) AS earlier_step,
        coalesce(earlier.message_count, 0) AS message_count,
        CASE WHEN r.from_checkpoint_id IS NULL THEN coalesce(earlier.message_count, 0) ELSE 0 END AS untouched
    FROM runs r
    CROSS JOIN LATERAL (
        SELECT c.step FROM checkpoints c WHERE c.session_id = r.session_id AND c.run_id = r.id
        ORDER BY c.step LIMIT 1) first
    LEFT JOIN LATERAL (
        SELECT c.id, c.step, c.message_count FROM checkpoints c
        WHERE c.session_id = r.session_id AND c.step < first.step ORDER BY c.step DESC LIMIT 1) earlier ON true
    WHERE r.id = ANY(%(runs)s) AND r.rollback AND r.status = ANY(%(terminal)s)
), chain AS (
    SELECT u.id AS run_id, c.parent_id, c.changes, c.removed, 0 AS distance
    FROM undone u JOIN checkpoints c ON c.id = u.earlier_id
    UNION ALL
    SELECT chain.run_id, c.parent_id, c.changes, c.removed, chain.distance + 1
    FROM chain JOIN checkpoints c ON c.id = chain.parent_id
), said AS (
    SELECT run_id, distance, false AS gone, key, value FROM chain, jsonb_each(changes)
    UNION ALL SELECT run_id, distance, true, key, NULL FROM chain, jsonb_array_elements_text(removed) AS names(key)
), latest AS (
    SELECT DISTINCT ON (run_id, key) * FROM said ORDER BY run_id, key, distance, gone
), folded AS (
    SELECT run_id, jsonb_object_agg(key, value) AS state FROM latest WHERE NOT gone GROUP BY run_id
), unsaid AS (
    DELETE FROM messages m USING undone u
    WHERE m.session_id = u.session_id AND m.seq > u.untouched AND m.step >= u.step RETURNING m.id
), restored AS (
    UPDATE messages m SET dropped_at_step = NULL FROM undone u
    WHERE m.session_id = u.session_id AND m.seq > u.untouched AND m.step < u.step AND m.dropped_at_step >= u.step
        AND (SELECT count(*) FROM unsaid) >= 0
), forgotten AS (
    DELETE FROM checkpoints c USING undone u WHERE c.session_id = u.session_id AND c.step >= u.step
), unlinked AS (
    UPDATE runs r SET checkpoint_id = NULL FROM undone u WHERE r.id = u.id
)
UPDATE sessions s SET message_count = u.message_count, step = u.earlier_step, checkpoint_id = u.earlier_id,
    state = coalesce(folded.state, '{}'), context = coalesce(folded.state->'metadata', '{}')
FROM undone u LEFT JOIN folded ON folded.run_id = u.id WHERE s.id = u.session_id
"""


def take_out(runs: Sequence[UUID]) -> Query:
    """Bring sessions back to the checkpoint before these runs, of which those count that have ended and want it.

    Their messages, checkpoints and changes of the state go; their rows, steps and events stay. What was said after the
    checkpoint at which such a run began is there again.
    """
    return Query(_TAKE_OUT, {"runs": list(runs), "terminal": list(TERMINAL)})


_ROLLED_BACK = "SELECT id FROM runs WHERE id = ANY(%(runs)s) AND rollback AND status = ANY(%(terminal)s)"


@operation()
def take_out_hosted(runs: Sequence[UUID]) -> Operation[None]:
    """What `take_out` is, for the rows of hosted graphs' checkpoints that these runs have written."""
    if back := (yield Query(_ROLLED_BACK, {"runs": list(runs), "terminal": list(TERMINAL)})):
        yield from take_out_graphs([row["id"] for row in back])


# -- open tool calls -------------------------------------------------------------------------------------------------

# What a hosted graph calls it answers itself, when it goes on. A run that had never begun has no messages. Calls that
# it went on with were another run's. What is taken out in a moment needs no answers.
_OPEN_CALLS = """
SELECT r.id AS run_id, r.session_id, r.last_seq, s.message_count, s.step, s.checkpoint_id, clock_timestamp() AS at,
    calls.call->>'id' AS call_id, calls.call->>'name' AS name
FROM runs r JOIN sessions s ON s.id = r.session_id JOIN assistants whose ON whose.id = r.assistant_id
CROSS JOIN LATERAL (
    SELECT m.seq, m.tool_calls FROM messages m WHERE m.session_id = r.session_id AND m.seq > r.message_start
        AND m.dropped_at_step IS NULL AND m.role = 'assistant' ORDER BY m.seq DESC LIMIT 1) last
CROSS JOIN LATERAL jsonb_array_elements(last.tool_calls) WITH ORDINALITY AS calls(call, nth)
WHERE r.id = ANY(%(runs)s) AND r.status = ANY(%(sources)s) AND NOT r.rollback AND whose.type <> 'Graph' AND NOT EXISTS (
    SELECT FROM messages a WHERE a.session_id = r.session_id AND a.seq > last.seq AND a.dropped_at_step IS NULL
        AND a.tool_call_id = call->>'id')
ORDER BY r.id, calls.nth
"""

_ANSWER = """
WITH answered AS (
    INSERT INTO messages (step, id, session_id, run_id, seq, role, content, tool_calls, tool_call_id, name, metadata,
        created_at)
    SELECT %(step)s, g.* FROM jsonb_to_recordset(%(messages)s) AS g(id uuid, session_id uuid, run_id uuid, seq int,
        role text, content jsonb, tool_calls jsonb, tool_call_id text, name text, metadata jsonb,
        created_at timestamptz)
), stored AS (
    INSERT INTO checkpoints (id, session_id, run_id, parent_id, step, source, next, message_count, changes, removed)
    VALUES (%(checkpoint)s, %(session)s, %(run)s, %(parent)s, %(step)s, %(source)s, '[]', %(message_count)s, '{}',
        '[]')
), told AS (
    INSERT INTO run_events (run_id, seq, event, data, ts)
    SELECT %(run)s, g.* FROM jsonb_to_recordset(%(events)s) AS g(seq int, event text, data jsonb, ts timestamptz)
), moved AS (
    UPDATE sessions SET message_count = %(message_count)s, step = %(step)s, checkpoint_id = %(checkpoint)s
    WHERE id = %(session)s
)
UPDATE runs SET last_seq = %(last_seq)s, checkpoint_id = %(checkpoint)s WHERE id = %(run)s
"""


def _answer_open_calls(runs: Sequence[UUID], allowed: list[str]) -> Operation[None]:
    """What `runs.worker.recorder` does for a run that ends in a worker."""
    found = yield Query(_OPEN_CALLS, {"runs": list(runs), "sources": allowed})
    for _, calls in groupby(found, key=lambda row: row["run_id"]):
        yield Query(_ANSWER, _answer_rows(list(calls)))


def _answer_rows(calls: list[Row]) -> dict[str, Any]:
    run = calls[0]
    at, step, checkpoint = isoformat(run["at"]), run["step"] + 1, new_id()
    messages = [
        {
            **message_row(message),
            "session_id": str(run["session_id"]),
            "run_id": str(run["run_id"]),
            "seq": run["message_count"] + nth,
            "created_at": at,
        }
        for nth, message in enumerate(answers_to((row["call_id"], row["name"]) for row in calls), start=1)
    ]
    parent = run["checkpoint_id"] and str(run["checkpoint_id"])
    place = {"checkpoint_id": str(checkpoint), "parent_id": parent, "step": step, "source": CheckpointSource.END}
    told = [("message", message) for message in messages] + [("checkpoint", place)]
    return {
        "run": run["run_id"],
        "session": run["session_id"],
        "messages": jsonb(messages),
        "message_count": run["message_count"] + len(messages),
        "checkpoint": checkpoint,
        "parent": run["checkpoint_id"],
        "step": step,
        "source": str(CheckpointSource.END),
        "events": jsonb(
            [
                {"seq": seq, "event": event, "data": data, "ts": at}
                for seq, (event, data) in enumerate(told, start=run["last_seq"] + 1)
            ]
        ),
        "last_seq": run["last_seq"] + len(told),
    }
