"""What an assistant takes at most: requests a minute, runs and tokens a day.

The limits are those of its current version, and what they count are its runs' own rows: a run counts from the moment
it was accepted, a refused request never does, and neither does a run that goes on (a retry, a rescue, a resume).
A day begins at midnight UTC. What a run will use is not known beforehand, so a token quota refuses once it is reached.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from core.db import BEGIN, Operation, Query, Row
from core.errors import Limit, QuotaExceeded, RateLimited

LIMITS = ("requests_per_minute", "runs_per_day", "tokens_per_day")
MAX_TALLIES = 10_000

# Locks of two numbers are apart from those of one, which claims and workers hold.
LOCK_ROOM = 0x6C_69_6D_69

# The session before the assistant: who holds the assistant's lock waits for nobody's session, and who holds only
# sessions, as a worker's commit does, never for it. A subquery that locks is carried out before what is around it.
_TAKE_TURN = """
SELECT pg_advisory_xact_lock(%(room)s, hashtext(%(assistant)s::text))
FROM (SELECT id FROM sessions WHERE id = %(session)s FOR NO KEY UPDATE) AS session
"""

# `nth`: where as many runs as a minute may have were accepted within one, the oldest says when there is room again.
# `counted`: the runs since the tally, and those that had not ended then. The last minute is not `settled`: a run that
# is committed by now may have been accepted a moment before one that is not.
_USAGE = """
WITH moment AS MATERIALIZED (
    SELECT at, midnight, greatest(midnight, %(until)s::timestamptz) AS since,
        greatest(midnight, %(until)s::timestamptz, at - interval '60 s') AS until
    FROM (SELECT at, date_trunc('day', at, 'UTC') AS midnight FROM (SELECT clock_timestamp() AS at) AS clock) AS day
)
SELECT a.requests_per_minute, a.runs_per_day, a.tokens_per_day, m.midnight, m.until, used.*,
    extract(epoch FROM nth.created_at + interval '60 s' - m.at)::float8 AS minute_left_s,
    extract(epoch FROM m.midnight + interval '1 day' - m.at)::float8 AS day_left_s
FROM moment m JOIN assistants a ON a.id = %(assistant)s
LEFT JOIN LATERAL (
    SELECT r.created_at FROM runs r WHERE r.assistant_id = a.id AND r.created_at > m.at - interval '60 s'
    ORDER BY r.created_at DESC OFFSET a.requests_per_minute - 1 LIMIT 1
) nth ON a.requests_per_minute IS NOT NULL
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE is_new AND settled) AS runs, count(*) FILTER (WHERE NOT settled) AS late_runs,
        coalesce(sum(tokens) FILTER (WHERE settled AND ended), 0)::bigint AS tokens,
        coalesce(sum(tokens) FILTER (WHERE NOT (settled AND ended)), 0)::bigint AS late_tokens,
        coalesce(array_agg(id) FILTER (WHERE settled AND NOT ended), '{}') AS unfinished
    FROM (
        SELECT r.id, r.input_tokens::bigint + r.output_tokens AS tokens, r.finished_at IS NOT NULL AS ended,
            r.created_at < m.until AS settled, true AS is_new
        FROM runs r WHERE r.assistant_id = a.id AND r.created_at >= m.since
            AND (a.runs_per_day IS NOT NULL OR a.tokens_per_day IS NOT NULL)
        UNION ALL
        SELECT r.id, r.input_tokens::bigint + r.output_tokens, r.finished_at IS NOT NULL, true, false
        FROM runs r WHERE r.id = ANY(%(unfinished)s::uuid[]) AND %(until)s::timestamptz >= m.midnight
    ) AS counted
) used
"""


@dataclass(frozen=True, slots=True)
class _Tally:
    """How many runs an assistant accepted from midnight until `until`, and the tokens of those that have ended.

    What is past and ended changes no more, so this stays true, and a request adds up only what came after it and what
    was `unfinished`. Without it each request counts the whole day: 100 ms after 100,000 runs, with it less than one.
    """

    until: datetime | None = None
    runs: int = 0
    tokens: int = 0
    unfinished: list[UUID] = field(default_factory=list)


# Each process has its own; one that has none counts the day once.
_tallies: dict[UUID, _Tally] = {}


def is_limited(assistant: Row) -> bool:
    """Whether the assistant's row, or another with its columns `LIMITS`, sets any."""
    return any(assistant[limit] is not None for limit in LIMITS)


def admit(assistant_id: UUID, session_id: UUID) -> Operation[None]:
    """Let the caller insert a run of the assistant into the session, if the limits allow one more.

    From here on the caller's operation is one transaction, in which the assistant's requests take turns.
    Raises RateLimited, QuotaExceeded.
    """
    # First without the lock: requests that are refused, however many, keep nobody waiting.
    yield from _refuse_at_limit(assistant_id)
    yield BEGIN
    yield Query(_TAKE_TURN, {"room": LOCK_ROOM, "assistant": assistant_id, "session": session_id})
    yield from _refuse_at_limit(assistant_id)


def take_turns(assistants: Iterable[Row]) -> Operation[None]:
    """Take the locks of all these assistants (rows with `id` and the columns `LIMITS`) that are limited.

    A transaction that admits runs of several does this first, once it holds their sessions: two of them that took
    the locks as they came would wait for each other.
    """
    for assistant in sorted((row["id"] for row in assistants if is_limited(row)), key=str):
        yield Query(
            "SELECT pg_advisory_xact_lock(%(room)s, hashtext(%(assistant)s::text))",
            {"room": LOCK_ROOM, "assistant": assistant},
        )


def _refuse_at_limit(assistant_id: UUID) -> Operation[None]:
    tally = _tallies.get(assistant_id, _Tally())
    found = yield Query(_USAGE, {"assistant": assistant_id, "until": tally.until, "unfinished": tally.unfinished})
    for usage in found:
        # The day first: whoever waited for the minute's end only would come in vain.
        _refuse_by_day(usage, _tallied(assistant_id, tally, usage))
        if usage["minute_left_s"] is not None:
            raise _too_fast(usage["requests_per_minute"], usage["minute_left_s"])


def _tallied(assistant_id: UUID, tally: _Tally, usage: Row) -> _Tally:
    """The tally carried on to this moment, and kept."""
    if tally.until is None or tally.until < usage["midnight"]:
        tally = _Tally()
    tally = _Tally(usage["until"], tally.runs + usage["runs"], tally.tokens + usage["tokens"], usage["unfinished"])
    if usage["runs_per_day"] is not None or usage["tokens_per_day"] is not None:
        if len(_tallies) >= MAX_TALLIES:
            _tallies.clear()
        _tallies[assistant_id] = tally
    return tally


def _refuse_by_day(usage: Row, tally: _Tally) -> None:
    used = {
        "runs_per_day": ("takes", "run", tally.runs + usage["late_runs"]),
        "tokens_per_day": ("may use", "token", tally.tokens + usage["late_tokens"]),
    }
    for name, (verb, unit, so_far) in used.items():
        allowed = usage[name]
        if allowed is not None and so_far >= allowed:
            what = f"The assistant {verb} {_counted(allowed, unit)} a day (quota.{name})"
            raise QuotaExceeded(f"{what}; try again after midnight UTC.", limit=_limit(allowed, usage["day_left_s"]))


def _too_fast(allowed: int, left_s: float) -> RateLimited:
    limit = _limit(allowed, left_s)
    what = f"The assistant takes {_counted(allowed, 'request')} a minute (rate_limit.requests_per_minute)"
    return RateLimited(f"{what}; try again in {limit.reset_s} s.", limit=limit)


def _limit(allowed: int, left_s: float) -> Limit:
    return Limit(allowed, max(1, math.ceil(left_s)))


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"
