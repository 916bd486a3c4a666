"""Requests a minute: counted for a caller's key and workspace together, in one round trip.

Redis counts, exactly and for all processes. While it is away PostgreSQL does, in a table that no log is written for;
each begins with nothing when it takes over. Who has no such limit is not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from accounts.counters import COUNTERS, NOW, Counters
from accounts.identity import Identity
from accounts.limits import counted, reached
from core.db import Operation, Query, operation
from core.errors import RateLimited
from core.redis import key

WINDOW_S = 60

# A window is a hash: by the second, how many requests it had and the milliseconds of its last one, from which on all of
# them leave the window together. A request so counts for 60 to 61 seconds, and what is kept does not grow with a limit.
# KEYS: the windows. ARGV: how many requests each may have.
# Gives {0, 0}: counted in all of them; or {the window that is full for longest, for how many milliseconds}: in none.
_COUNT = f"""
{NOW}
local worst, longest, had = 0, 0, {{}}
local second = string.format('%.0f', math.floor(now / 1000))
for i, key in ipairs(KEYS) do
    local allowed, total, parts, fields = tonumber(ARGV[i]), 0, {{}}, redis.call('HGETALL', key)
    for f = 1, #fields, 2 do
        local made, last = string.match(fields[f + 1], '(%d+) (%d+)')
        local left = tonumber(last) + {WINDOW_S * 1000} - now
        if left <= 0 then
            redis.call('HDEL', key, fields[f])
        else
            total = total + tonumber(made)
            parts[#parts + 1] = {{left, tonumber(made)}}
            if fields[f] == second then had[i] = tonumber(made) end
        end
    end
    if total >= allowed then
        table.sort(parts, function(a, b) return a[1] < b[1] end)
        for _, part in ipairs(parts) do
            total = total - part[2]
            if total < allowed then
                if part[1] > longest then worst, longest = i, part[1] end
                break
            end
        end
    end
end
if worst > 0 then return {{worst, longest}} end
for i, key in ipairs(KEYS) do
    redis.call('HSET', key, second, string.format('%.0f %.0f', (had[i] or 0) + 1, now))
    redis.call('EXPIRE', key, {WINDOW_S + 1})
end
return {{0, 0}}
"""

# The minute before counts with the part of it that is within 60 seconds, as if its requests had come evenly. The rows
# are locked until the decision, in one order; one that is refused is taken back with the transaction.
_COUNT_HERE = """
WITH moment AS MATERIALIZED (
    SELECT date_trunc('minute', at) AS minute, extract(epoch FROM at - date_trunc('minute', at))::float8 AS elapsed_s
    FROM (SELECT clock_timestamp() AS at) AS clock
), counted AS (
    INSERT INTO request_counts AS c (holder_id, minute, requests)
    SELECT holder, minute, 1 FROM moment, unnest(%(holders)s::uuid[]) AS holder ORDER BY holder
    ON CONFLICT (holder_id, minute) DO UPDATE SET requests = c.requests + 1
    RETURNING holder_id, requests
)
SELECT counted.holder_id, counted.requests, moment.elapsed_s, coalesce(earlier.requests, 0) AS earlier
FROM counted CROSS JOIN moment
LEFT JOIN request_counts earlier
    ON earlier.holder_id = counted.holder_id AND earlier.minute = moment.minute - interval '1 minute'
"""


@dataclass(frozen=True, slots=True)
class _Window:
    kind: str
    holder: UUID
    allowed: int

    @property
    def key(self) -> str:
        return key(f"requests:{self.holder}")

    def full(self, left_s: float) -> RateLimited:
        limit = reached(self.allowed, left_s)
        what = f"The {self.kind} takes {counted(self.allowed, 'request')} a minute (limits.requests_per_minute)"
        return RateLimited(f"{what}; try again in {limit.reset_s} s.", limit=limit)


def count_request(identity: Identity, counters: Counters = COUNTERS) -> None:
    """Count one request of the caller, in a thread. Raises RateLimited, and then it does not count."""
    if windows := _windows(identity):
        answer = counters.run(_COUNT, [window.key for window in windows], [window.allowed for window in windows])
        if answer is None:
            _count_here(windows).run()
        else:
            _refuse_if_full(windows, answer)


async def acount_request(identity: Identity, counters: Counters = COUNTERS) -> None:
    """`count_request` in an event loop."""
    if identity.limits and (windows := _windows(identity)):
        answer = await counters.arun(_COUNT, [window.key for window in windows], [window.allowed for window in windows])
        if answer is None:
            await _count_here(windows).arun()
        else:
            _refuse_if_full(windows, answer)


def _windows(identity: Identity) -> list[_Window]:
    return [
        _Window(holder.kind, holder.id, holder.limits.requests_per_minute)
        for holder in identity.limits
        if holder.limits.requests_per_minute is not None
    ]


def _refuse_if_full(windows: Sequence[_Window], answer: list[int]) -> None:
    number, left_ms = answer
    if number:
        raise windows[number - 1].full(left_ms / 1_000)


@operation(atomic=True)
def _count_here(windows: Sequence[_Window]) -> Operation[None]:
    by_holder = {window.holder: window for window in windows}
    rows = yield Query(_COUNT_HERE, {"holders": list(by_holder)})
    for row in rows:
        window = by_holder[row["holder_id"]]
        if left_s := _room_in_s(window.allowed, row["requests"], row["earlier"], row["elapsed_s"]):
            raise window.full(left_s)


def _room_in_s(allowed: int, requests: int, earlier: int, elapsed_s: float) -> float:
    """In how many seconds the window has room for the last of this minute's `requests`; 0 where it has it now."""
    room = allowed - requests
    if room < 0:
        return WINDOW_S - elapsed_s
    return max(0.0, WINDOW_S * (1 - (room + 1) / earlier) - elapsed_s) if earlier else 0.0


@operation()
def forget_counts() -> Operation[None]:
    """Delete what PostgreSQL counted and no window holds any more."""
    yield Query("DELETE FROM request_counts WHERE minute < clock_timestamp() - interval '3 minutes'")
