"""Accepting runs: into the queue of a session that is there, or of one that is made with its first run.

Lock order as everywhere: the session's row, then its runs, or the locks of limits (`runs.limits`). The session's
`head_run_id` names the one run of its queue that may be claimed.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings

from accounts.idempotency import Once, claim
from accounts.identity import Identity
from accounts.scoping import in_workspace, parameters_of, visible
from assistants.models import Status as AssistantStatus
from assistants.spec import RunDefaults, run_defaults
from core.db import BEGIN, Operation, Query, Row, jsonb, operation
from core.errors import AssistantNotActive, Conflict, Invalid, NotFound, SessionBusy, SessionClosed
from runs.backlog import take_place
from runs.bodies import BatchedRun, CreateRun, CreateStatelessRun
from runs.ending import SUPERSEDED, end_waiting
from runs.inputs import HOSTED, check_input
from runs.lifecycle import ACTIVE, Status
from runs.limits import admit, limited_holders
from runs.models import MultitaskStrategy
from sessions.bodies import OpenSession
from sessions.graph_rows import STOOD_AT
from sessions.models import Status as SessionStatus
from sessions.services import open_session, session_user


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that is made with its first run. `id`: as its client named it."""

    id: UUID
    metadata: dict[str, Any] = field(default_factory=dict)
    ephemeral: bool = False
    ttl_seconds: int | None = None
    ttl_strategy: str | None = None


@dataclass(frozen=True, slots=True)
class Besides:
    """What a client of LangGraph's protocol asks for besides what a native run's body says.

    `assistant`: whose run it is, at its current version; the session is its from then on. `kwargs` are stored with the
    input. `webhook` is stored as it is, checked by the caller. `session`: made where there is none with this id.
    """

    assistant: UUID
    kwargs: dict[str, Any]
    webhook: dict[str, Any] | None = None
    session: NewSession | None = None


# A run without an assistant of its own (`assistant`) is one of the session's, at the version that this is pinned to.
_BINDING = f"""
SELECT s.status, s.user_id, s.head_run_id, s.parent_id,
    s.expires_at <= clock_timestamp() AND s.ttl_strategy IS DISTINCT FROM 'keep_latest' AS expired,
    a.id AS assistant_id, a.status AS assistant_status, head.status AS head_status,
    CASE WHEN %(assistant)s::uuid IS NULL THEN s.assistant_version ELSE a.version END AS assistant_version,
    CASE WHEN %(assistant)s::uuid IS NOT NULL THEN a.metadata || jsonb_build_object('graph_id',
        coalesce(a.graph_id, a.type), 'assistant_id', a.id) END AS marks,
    a.requests_per_minute, a.runs_per_day, a.tokens_per_day
FROM sessions s
LEFT JOIN assistants a ON a.id = coalesce(%(assistant)s::uuid, s.assistant_id) AND {in_workspace("a")}
LEFT JOIN runs head ON head.id = s.head_run_id
WHERE s.id = %(session)s AND {visible("s")}
"""  # noqa: S608

# The same for a session that is about to be made.
_ASSISTANT = f"""
SELECT 'active' AS status, %(owner)s::text AS user_id, NULL::uuid AS head_run_id, NULL::uuid AS parent_id,
    false AS expired, a.id AS assistant_id, a.status AS assistant_status, NULL AS head_status,
    a.version AS assistant_version, a.metadata || jsonb_build_object('graph_id', coalesce(a.graph_id, a.type),
        'assistant_id', a.id) AS marks, a.requests_per_minute, a.runs_per_day, a.tokens_per_day
FROM assistants a WHERE a.id = %(assistant)s AND {in_workspace("a")}
"""  # noqa: S608

# The UPDATE takes the session's lock and, having waited for it, sees its latest row: of two racing callers exactly one
# finds the queue empty and becomes its head.
# Where the head has come to ask a person since it was looked at, it is looked at again: else the new run would wait
# behind it.
_HEAD = """
    UPDATE sessions SET head_run_id = coalesce(head_run_id, %(id)s), last_activity_at = clock_timestamp(),
        expires_at = CASE WHEN ttl_seconds IS NULL THEN expires_at
            ELSE clock_timestamp() + make_interval(secs => ttl_seconds) END,
        assistant_id = %(assistant)s, assistant_version = %(version)s,
        metadata = CASE WHEN %(marks)s::jsonb IS NULL THEN metadata ELSE metadata || %(marks)s::jsonb END
    WHERE id = %(session)s AND status = 'active'
        AND (expires_at IS NULL OR expires_at > clock_timestamp() OR ttl_strategy = 'keep_latest')
        AND activity <> 'interrupted' AND (NOT %(reject)s OR head_run_id IS NULL)
        AND (%(marks)s::jsonb IS NOT NULL OR (assistant_version = %(version)s AND assistant_id = %(assistant)s))
    RETURNING head_run_id, metadata
"""
_NEW_HEAD = """
    INSERT INTO sessions (id, workspace_id, assistant_id, assistant_version, user_id, title, metadata, context, state,
        ephemeral, ttl_seconds, ttl_strategy, expires_at, head_run_id)
    VALUES (%(session)s, %(workspace)s, %(assistant)s, %(version)s, %(user)s, '',
        %(session_metadata)s::jsonb || %(marks)s::jsonb, '{}', '{}', %(ephemeral)s, %(ttl)s::int, %(ttl_strategy)s,
        clock_timestamp() + make_interval(secs => %(ttl)s::int), %(id)s)
    ON CONFLICT (id) DO NOTHING RETURNING head_run_id, metadata
"""

# One statement, one commit.
# A run that may start later only is queued then: by `queued_at` it comes after those that could start before it. Its
# place in its session is by `created_at`.
_ACCEPT = """
WITH head AS ({head}), accepted AS (
    INSERT INTO runs (id, workspace_id, session_id, assistant_id, assistant_version, user_id, api_key_id, status, ready,
        priority, durability, multitask_strategy, retry_policy, timeout_s, metadata, from_checkpoint_id, schedule_id,
        webhook, queued_at, next_attempt_at, queue_deadline_at)
    SELECT %(id)s, %(workspace)s, %(session)s, %(assistant)s, %(version)s, %(user)s, %(key)s, 'pending',
        head.head_run_id = %(id)s, %(priority)s, %(durability)s, %(strategy)s, %(retry_policy)s, %(timeout_s)s,
        CASE WHEN %(marks)s::jsonb IS NULL THEN %(metadata)s ELSE head.metadata || %(metadata)s END,
        %(from_checkpoint)s, %(schedule)s, %(webhook)s::jsonb, due.at,
        CASE WHEN %(after_s)s::float8 > 0 THEN due.at END, due.at + make_interval(secs => %(queue_timeout_s)s)
    FROM head, (SELECT clock_timestamp() + make_interval(secs => %(after_s)s::float8) AS at) AS due RETURNING *
), payload AS (
    INSERT INTO run_payloads (run_id, input, kwargs) SELECT id, %(input)s, %(kwargs)s::jsonb FROM accepted
)
SELECT accepted.*, %(input)s::jsonb AS input, NULL::jsonb AS output, NULL::jsonb AS steps FROM accepted
"""
_INSERT, _INSERT_WITH_SESSION = (_ACCEPT.replace("{head}", head) for head in (_HEAD, _NEW_HEAD))


@operation()
def create_run(
    identity: Identity,
    session_id: UUID,
    body: CreateRun,
    run_id: UUID,
    once: Once | None = None,
    besides: Besides | None = None,
) -> Operation[Row]:
    """Accept a run into the session's queue; gives its row. `runs.announce` tells of it once it is committed.

    With it ends what its `multitask_strategy` says; the row's `ended` has the ids of runs that ended at once.
    `run_id` is a new id; a caller that waits for the run's end listens for it before it exists.
    Raises NotFound, SessionClosed, SessionBusy (`reject`), AssistantNotActive, Invalid (the input, or a checkpoint
    that the session does not have), RateLimited, QuotaExceeded; Replayed for a request that is sent again.
    """
    yield from claim(once, run_id).start()
    return (yield from accept(identity, session_id, body, run_id, besides=besides))


@operation(atomic=True)
def create_stateless_run(
    identity: Identity, body: CreateStatelessRun, run_id: UUID, once: Once | None = None
) -> Operation[Row]:
    """Open a session and accept its first run, both or neither.

    Raises as both do, and Invalid for an unknown assistant: its id stands in the body.
    """
    yield from claim(once, run_id).start()
    return (yield from accept_with_session(identity, body.assistant_id, body, run_id))


def accept_with_session(
    identity: Identity,
    assistant_id: UUID,
    body: CreateStatelessRun | BatchedRun,
    run_id: UUID,
    schedule_id: UUID | None = None,
) -> Operation[Row]:
    """`create_stateless_run` inside the caller's transaction."""
    choice = OpenSession(version=body.version, tag=body.tag, user_id=body.user_id)
    try:
        session = yield from open_session(identity, assistant_id, choice).start()
    except NotFound as unknown:
        raise Invalid.at("assistant_id", message=unknown.detail) from None
    return (yield from accept(identity, session["id"], body, run_id, schedule_id))


def accept(
    identity: Identity,
    session_id: UUID,
    body: CreateRun,
    run_id: UUID,
    schedule_id: UUID | None = None,
    besides: Besides | None = None,
) -> Operation[Row]:
    """`create_run` inside the caller's operation. `schedule_id`: which schedule starts it."""
    scope = {
        "id": run_id,
        "schedule": schedule_id,
        "session": session_id,
        "assistant": None if besides is None else besides.assistant,
        **parameters_of(identity),
        "key": next((holder.id for holder in limited_holders(identity) if holder.kind == "key"), None),
    }
    ended: list[UUID] = []
    new = besides.session if besides else None
    # A session re-pinned to another version between the two statements, or whose run asks a person since, or that
    # another request has made, is read again.
    for _ in range(3):
        # Nobody else knows the id of an ephemeral one.
        found = [] if new is not None and new.ephemeral else (yield Query(_BINDING, scope))
        makes = new if not found else None
        if makes is not None:
            found = yield Query(_ASSISTANT, {**scope, "owner": session_user(identity, None)})
        if not found:
            raise NotFound("There is no such session.")
        binding = found[0]
        _refuse_unless_open(binding, reject=_rejects(body, binding, besides))
        defaults = yield from run_defaults(binding["assistant_id"], binding["assistant_version"]).start()
        if body.checkpoint_id is None or body.input is not None:
            check_input(body.input, defaults)
        yield from take_place(identity.workspace_id)
        ended += yield from _make_way(session_id, body, binding, besides)
        # After a rollback, which may have taken it out.
        if body.checkpoint_id is not None:
            yield from _refuse_unless_there(session_id, body, hosted=defaults.type == HOSTED)
        yield from admit(identity, session_id, binding)
        parameters = _insert_parameters(scope, binding, defaults, body, besides)
        rows = yield Query(_INSERT if makes is None else _INSERT_WITH_SESSION, parameters)
        if rows:
            return {**rows[0], "ended": ended}
    raise Conflict("The session changed while the run was being accepted; try again.")


# -- what is in its way ------------------------------------------------------------------------------------------------


def _rejects(body: CreateRun, binding: Row, besides: Besides | None) -> bool:
    """Whether a head refuses the run. To LangGraph a run that asks is over, and hinders nobody."""
    asks = besides is not None and binding["head_status"] == Status.INTERRUPTED
    return body.multitask_strategy == "reject" and not asks


def _refuse_unless_open(binding: Row, *, reject: bool) -> None:
    if binding["status"] != SessionStatus.ACTIVE:
        raise SessionClosed(f"The session is {binding['status']}.")
    if binding["expired"]:
        raise SessionClosed("The session is expired.")
    if binding["parent_id"] is not None:
        raise Conflict("The session is a sub-agent's: its runs come from the run that started it.")
    if binding["assistant_id"] is None:
        raise AssistantNotActive("The session has no assistant yet; a run that names one gives it one.")
    if binding["assistant_status"] != AssistantStatus.ACTIVE:
        raise AssistantNotActive(f"The session's assistant is {binding['assistant_status']}.")
    if reject and binding["head_run_id"] is not None:
        raise SessionBusy


def _make_way(session_id: UUID, body: CreateRun, binding: Row, besides: Besides | None) -> Operation[list[UUID]]:
    """End what the run does not wait for; gives the ids of the runs that ended at once."""
    if besides is not None and binding["head_status"] == Status.INTERRUPTED:
        # It goes on where that one asks, or begins anew: to LangGraph that one succeeded when it asked.
        yield BEGIN
        yield Query(_LOCK, {"session": session_id})
        concluded = yield from end_waiting([binding["head_run_id"]], Status.SUCCESS, None)
        return [row["id"] for row in concluded]
    if (unwanted := _superseded_by(body, binding)) is None:
        return []
    yield BEGIN
    rollback = body.multitask_strategy == "rollback"
    return (yield from _supersede(session_id, unwanted, rollback=rollback, discard=rollback and besides is not None))


def _superseded_by(body: CreateRun, binding: Row) -> list[str] | None:
    """The statuses of the session's runs that the new one ends; None where it waits for its turn behind them."""
    if body.multitask_strategy in {MultitaskStrategy.INTERRUPT, MultitaskStrategy.ROLLBACK}:
        return list(ACTIVE)
    return [Status.INTERRUPTED] if binding["head_status"] == Status.INTERRUPTED else None


_LOCK = "SELECT id FROM sessions WHERE id = %(session)s FOR UPDATE"

_SUPERSEDE = """
UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()), superseded = true,
    rollback = rollback OR %(rollback)s, discarded = discarded OR %(discard)s
WHERE session_id = %(session)s AND status = ANY(%(statuses)s) RETURNING id
"""


def _supersede(session_id: UUID, statuses: list[str], *, rollback: bool, discard: bool) -> Operation[list[UUID]]:
    """End the session's runs in these statuses, inside the caller's transaction; gives those that ended at once.

    One that runs is asked to stop; it heads the session until its worker has ended it.
    """
    yield Query(_LOCK, {"session": session_id})
    scope = {"session": session_id, "statuses": statuses, "rollback": rollback, "discard": discard}
    unwanted = yield Query(_SUPERSEDE, scope)
    ended = yield from end_waiting([row["id"] for row in unwanted], Status.CANCELLED, SUPERSEDED)
    return [row["id"] for row in ended]


# What is to follow at a checkpoint in the middle of a hosted graph's run only the graph knows.
_THERE = f"""
SELECT c.next <> '[]' OR c.graph_checkpoint_id IS NOT NULL AND c.run_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM runs WHERE id = c.run_id AND checkpoint_id = c.id AND status = 'success') AS goes_on,
    {STOOD_AT} IS NOT NULL AS hosted
FROM checkpoints c WHERE c.id = %(checkpoint)s AND c.session_id = %(session)s
"""  # noqa: S608 - a constant


def _refuse_unless_there(session_id: UUID, body: CreateRun, *, hosted: bool) -> Operation[None]:
    """Raises Invalid where the session has no such checkpoint, where a `hosted` graph that is to begin there did not
    stand anywhere, or where a run without an input has nothing to do."""
    found = yield Query(_THERE, {"checkpoint": body.checkpoint_id, "session": session_id})
    if not found:
        raise Invalid.at("checkpoint_id", message="The session has no such checkpoint.")
    if hosted and not found[0]["hosted"]:
        raise Invalid.at("checkpoint_id", message="At this checkpoint no graph stood that could go on from there.")
    if body.input is None and not found[0]["goes_on"]:
        raise Invalid.at("input", message="There is nothing to go on with at this checkpoint; give an input.")


# -- its row -----------------------------------------------------------------------------------------------------------


def _insert_parameters(
    scope: dict[str, Any], binding: Row, defaults: RunDefaults, body: CreateRun, besides: Besides | None
) -> dict[str, Any]:
    overrides = body.retry_policy.model_dump(exclude_none=True) if body.retry_policy else {}
    webhook = None if body.webhook is None else body.webhook.model_dump()
    return {
        **scope,
        "assistant": binding["assistant_id"],
        "version": binding["assistant_version"],
        "user": binding["user_id"],
        "reject": body.multitask_strategy == "reject",
        "priority": defaults.priority if body.priority is None else body.priority,
        "durability": body.durability or defaults.durability,
        "strategy": body.multitask_strategy,
        "retry_policy": jsonb({**defaults.retry_policy, **overrides}),
        "timeout_s": min(body.timeout_s or defaults.run_timeout_s, settings.LONGEST_RUN_S),
        "queue_timeout_s": body.queue_timeout_s or defaults.queue_timeout_s,
        "after_s": body.after_seconds or 0.0,
        "metadata": jsonb(body.metadata),
        "from_checkpoint": body.checkpoint_id,
        "webhook": None if webhook is None else jsonb(webhook),
        "input": jsonb(body.input),
        "kwargs": None,
        "marks": None,
        **({} if besides is None else _besides_parameters(binding, body, besides)),
    }


def _besides_parameters(binding: Row, body: CreateRun, besides: Besides) -> dict[str, Any]:
    marks = binding["marks"]
    new = besides.session or NewSession(besides.assistant)
    return {
        "kwargs": jsonb(besides.kwargs),
        "marks": jsonb({name: marks[name] for name in ("graph_id", "assistant_id")}),
        # As LangGraph has it: the assistant's own, and under what the client said.
        "metadata": jsonb({**marks, **body.metadata}),
        "webhook": None if besides.webhook is None else jsonb(besides.webhook),
        "session_metadata": jsonb(new.metadata),
        "ephemeral": new.ephemeral,
        "ttl": new.ttl_seconds,
        "ttl_strategy": new.ttl_strategy,
    }
