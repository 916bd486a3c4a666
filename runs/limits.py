"""How many runs are accepted: what an assistant takes at most, and the key and the workspace that it is asked by.

An assistant's limits are those of its current version, a caller's come with its identity (`accounts.limits`). What they
count are the runs' own rows: a run counts from the moment it was accepted, a refused request never does, and neither
does a run that goes on (a retry, a rescue, a resume). A day begins at midnight UTC. What a run will use is not known
beforehand, so a token quota refuses once it is reached.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from accounts.identity import Identity
from accounts.limits import Holder, counted, reached
from core.db import BEGIN, Operation, Query, Row
from core.errors import QuotaExceeded, RateLimited

LIMITS = ("requests_per_minute", "runs_per_day", "tokens_per_day")
MAX_TALLIES = 10_000

# Locks of two numbers are apart from those of one, which claims and workers hold.
LOCK_ROOM = 0x6C_69_6D_69

# For so long after a refusal, in seconds, a caller is looked at before it takes its turn.
REFUSED_S = 5.0
# When a run will have ended nobody knows.
RETRY_AFTER_S = 1

# The session before what has limits: who holds the lock of a limit waits for nobody's session, and who holds only
# sessions, as a worker's commit does, never for it. A subquery that locks is carried out before what is around it.
_TAKE_TURNS = """
SELECT pg_advisory_xact_lock(%(room)s, hashtext(turn.id::text))
FROM (SELECT id FROM sessions WHERE id = %(session)s FOR NO KEY UPDATE) AS session,
    unnest(%(turns)s::uuid[]) WITH ORDINALITY AS turn(id, nth)
ORDER BY turn.nth
"""

# The runs since the tally, and those that had not ended then. The last minute is not `settled`: a run that is committed
# by now may have been accepted a moment before one that is not.
_MOMENT = """
WITH moment AS MATERIALIZED (
    SELECT at, midnight, greatest(midnight, %(until)s::timestamptz) AS since,
        greatest(midnight, %(until)s::timestamptz, at - interval '60 s') AS until
    FROM (SELECT at, date_trunc('day', at, 'UTC') AS midnight FROM (SELECT clock_timestamp() AS at) AS clock) AS day
)
"""


def _used(column: str, runs_per_day: str, tokens_per_day: str) -> str:
    return f"""
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE is_new AND settled) AS runs, count(*) FILTER (WHERE NOT settled) AS late_runs,
        coalesce(sum(tokens) FILTER (WHERE settled AND ended), 0)::bigint AS tokens,
        coalesce(sum(tokens) FILTER (WHERE NOT (settled AND ended)), 0)::bigint AS late_tokens,
        coalesce(array_agg(id) FILTER (WHERE settled AND NOT ended), ARRAY[]::uuid[]) AS unfinished
    FROM (
        SELECT r.id, r.input_tokens::bigint + r.output_tokens AS tokens, r.finished_at IS NOT NULL AS ended,
            r.created_at < m.until AS settled, true AS is_new
        FROM runs r WHERE r.{column} = %(whose)s AND r.created_at >= m.since
            AND ({runs_per_day} IS NOT NULL OR {tokens_per_day} IS NOT NULL)
        UNION ALL
        SELECT r.id, r.input_tokens::bigint + r.output_tokens, r.finished_at IS NOT NULL, true, false
        FROM runs r WHERE r.id = ANY(%(unfinished)s::uuid[]) AND %(until)s::timestamptz >= m.midnight
    ) AS counted
) used
"""  # noqa: S608 - constants


# `nth`: where as many runs as a minute may have were accepted within one, the oldest says when there is room again.
_OF_ASSISTANT = f"""
{_MOMENT}
SELECT a.requests_per_minute, a.runs_per_day, a.tokens_per_day, m.midnight, m.until, used.*,
    extract(epoch FROM nth.created_at + interval '60 s' - m.at)::float8 AS minute_left_s,
    extract(epoch FROM m.midnight + interval '1 day' - m.at)::float8 AS day_left_s
FROM moment m JOIN assistants a ON a.id = %(whose)s
LEFT JOIN LATERAL (
    SELECT r.created_at FROM runs r WHERE r.assistant_id = a.id AND r.created_at > m.at - interval '60 s'
    ORDER BY r.created_at DESC OFFSET a.requests_per_minute - 1 LIMIT 1
) nth ON a.requests_per_minute IS NOT NULL
{_used("assistant_id", "a.runs_per_day", "a.tokens_per_day")}
"""  # noqa: S608


def _of_caller(column: str) -> str:
    # Of the runs under way no more are counted than there may be.
    return f"""
{_MOMENT}
SELECT %(runs_per_day)s::bigint AS runs_per_day, %(tokens_per_day)s::bigint AS tokens_per_day, m.midnight, m.until,
    used.*, extract(epoch FROM m.midnight + interval '1 day' - m.at)::float8 AS day_left_s, (
        SELECT count(*) FROM (
            SELECT FROM runs r WHERE r.{column} = %(whose)s AND r.status IN ('pending', 'running')
            LIMIT coalesce(%(concurrent_runs)s::bigint, 0)
        ) AS active
    ) AS under_way
FROM moment m
{_used(column, "%(runs_per_day)s::bigint", "%(tokens_per_day)s::bigint")}
"""  # noqa: S608


_OF_HOLDER = {"key": _of_caller("api_key_id"), "workspace": _of_caller("workspace_id")}


@dataclass(frozen=True, slots=True)
class _Tally:
    """How many runs were accepted from midnight until `until`, and the tokens of those that have ended.

    What is past and ended changes no more, so this stays true, and a request adds up only what came after it and what
    was `unfinished`. Without it each request counts the whole day: 100 ms after 100,000 runs, with it less than one.
    """

    until: datetime | None = None
    runs: int = 0
    tokens: int = 0
    unfinished: list[UUID] = field(default_factory=list)


# Each process has its own; one that has none counts the day once.
_tallies: dict[UUID, _Tally] = {}
# When a key or a workspace was refused last, by this process's clock.
_refused: dict[UUID, float] = {}


def is_limited(assistant: Row) -> bool:
    """Whether the assistant's row, or another with its columns `LIMITS`, sets any."""
    return any(assistant[limit] is not None for limit in LIMITS)


def admit(identity: Identity, session_id: UUID, assistant: Row) -> Operation[None]:
    """Let the caller insert a run into the session, if the limits allow one more.

    `assistant`: the columns `LIMITS` of the session's assistant and its id as `assistant_id`. From here on the caller's
    operation is one transaction, in which requests that meet the same limit take turns; where there is none, nothing
    is done. Raises RateLimited, QuotaExceeded.
    """
    callers = limited_holders(identity)
    limited = [assistant["assistant_id"]] if is_limited(assistant) else []
    if not callers and not limited:
        return
    # First without the locks: requests that are refused, however many, keep nobody waiting.
    yield from _refuse_at_limits([holder for holder in callers if _was_refused(holder.id)], limited)
    yield BEGIN
    turns = [*(holder.id for holder in callers), *limited]
    yield Query(_TAKE_TURNS, {"room": LOCK_ROOM, "turns": turns, "session": session_id})
    yield from _refuse_at_limits(callers, limited)


def take_turns(identity: Identity, assistants: Iterable[Row]) -> Operation[None]:
    """Take the locks of the caller, and of all these assistants (rows with `id` and the columns `LIMITS`), if limited.

    A transaction that admits runs of several does this first, once it holds their sessions: two of them that took
    the locks as they came would wait for each other. The order is everywhere: the key, its workspace, the assistants.
    """
    callers = [holder.id for holder in limited_holders(identity)]
    for turn in [*callers, *sorted((row["id"] for row in assistants if is_limited(row)), key=str)]:
        yield Query(
            "SELECT pg_advisory_xact_lock(%(room)s, hashtext(%(turn)s::text))", {"room": LOCK_ROOM, "turn": turn}
        )


def limited_holders(identity: Identity) -> list[Holder]:
    """Whoever of the caller's key and workspace has limits on runs, the key first."""
    return [holder for holder in identity.limits if holder.limits.of_runs]


def _refuse_at_limits(callers: Sequence[Holder], assistants: Sequence[UUID]) -> Operation[None]:
    for holder in callers:
        try:
            yield from _refuse_caller(holder)
        except (RateLimited, QuotaExceeded):
            if len(_refused) >= MAX_TALLIES:
                _refused.clear()
            _refused[holder.id] = time.monotonic()
            raise
    for assistant_id in assistants:
        yield from _refuse_at_limit(assistant_id)


def _was_refused(whose: UUID) -> bool:
    return time.monotonic() - _refused.get(whose, -REFUSED_S) < REFUSED_S


def _refuse_caller(holder: Holder) -> Operation[None]:
    tally = _tallies.get(holder.id, _Tally())
    scope = {"whose": holder.id, "until": tally.until, "unfinished": tally.unfinished}
    limits = holder.limits
    bounds = {name: getattr(limits, name) for name in ("runs_per_day", "tokens_per_day", "concurrent_runs")}
    (usage,) = yield Query(_OF_HOLDER[holder.kind], {**scope, **bounds})
    _refuse_by_day(f"The {holder.kind}", "limits", usage, _tallied(holder.id, tally, usage))
    allowed = limits.concurrent_runs
    if allowed is not None and usage["under_way"] >= allowed:
        limit = reached(allowed, RETRY_AFTER_S)
        what = f"The {holder.kind} may have {counted(allowed, 'run')} pending or running (limits.concurrent_runs)"
        raise RateLimited(f"{what}; try again when one has ended, in {limit.reset_s} s at the earliest.", limit=limit)


def _refuse_at_limit(assistant_id: UUID) -> Operation[None]:
    tally = _tallies.get(assistant_id, _Tally())
    scope = {"whose": assistant_id, "until": tally.until, "unfinished": tally.unfinished}
    for usage in (yield Query(_OF_ASSISTANT, scope)):
        # The day first: whoever waited for the minute's end only would come in vain.
        _refuse_by_day("The assistant", "quota", usage, _tallied(assistant_id, tally, usage))
        if usage["minute_left_s"] is not None:
            raise _too_fast(usage["requests_per_minute"], usage["minute_left_s"])


def _tallied(whose: UUID, tally: _Tally, usage: Row) -> _Tally:
    """The tally carried on to this moment, and kept."""
    if tally.until is None or tally.until < usage["midnight"]:
        tally = _Tally()
    tally = _Tally(usage["until"], tally.runs + usage["runs"], tally.tokens + usage["tokens"], usage["unfinished"])
    if usage["runs_per_day"] is not None or usage["tokens_per_day"] is not None:
        if len(_tallies) >= MAX_TALLIES:
            _tallies.clear()
        _tallies[whose] = tally
    return tally


def _refuse_by_day(who: str, where: str, usage: Row, tally: _Tally) -> None:
    used = {
        "runs_per_day": ("takes", "run", tally.runs + usage["late_runs"]),
        "tokens_per_day": ("may use", "token", tally.tokens + usage["late_tokens"]),
    }
    for name, (verb, unit, so_far) in used.items():
        allowed = usage[name]
        if allowed is not None and so_far >= allowed:
            what = f"{who} {verb} {counted(allowed, unit)} a day ({where}.{name})"
            raise QuotaExceeded(f"{what}; try again after midnight UTC.", limit=reached(allowed, usage["day_left_s"]))


def _too_fast(allowed: int, left_s: float) -> RateLimited:
    limit = reached(allowed, left_s)
    what = f"The assistant takes {counted(allowed, 'request')} a minute (rate_limit.requests_per_minute)"
    return RateLimited(f"{what}; try again in {limit.reset_s} s.", limit=limit)
