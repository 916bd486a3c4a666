"""When schedules fire: slots of a cron expression in a time zone, of an interval, and of one moment. No database.

Expressions are read by cronsim, which also says what a day of the month and a day of the week mean together. A day's
times are ours: how they go with changes of the clock is Debian's cron (cron(8), "Daylight Saving Time and other time
changes"), and the same wherever one begins to count, in zones that change by half an hour, at midnight or by a day too.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from hashlib import sha256
from heapq import nlargest
from itertools import islice
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

from core.errors import Invalid

LONGEST_CRON = 200
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 60, 366 * 86_400
# The Gregorian calendar has a 29 February on each day of the week in 28 years, and in 40 where 2100 lies between.
CALENDAR_YEARS, MOST_YEARS = 28, 41
FIELDS = (Field.MINUTE, Field.HOUR, Field.DAY, Field.MONTH, Field.DOW)
CHARACTERS = re.compile(r"[0-9A-Za-z*,/#? \t-]*")
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
# How far from a moment the day can be that names it: whole days have been skipped (Samoa, 30 December 2011).
MARGIN = 2 * DAY
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END_OF_TIME = datetime(9990, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Rule:
    """When to fire: by one of `cron`, `interval_s` (seconds, counted from `anchor`) and `at`, as `read_rule` checks."""

    cron: str | None
    interval_s: int | None
    at: datetime | None
    timezone: str = "UTC"
    anchor: datetime | None = None


def read_rule(
    *, cron: str | None, interval_s: int | None, at: datetime | None, timezone: str, anchor: datetime | None
) -> Rule:
    """The rule that a caller describes. Raises `Invalid`, with the place and the reason."""
    if [cron, interval_s, at].count(None) != 2:
        raise Invalid("A schedule has exactly one of cron, interval_s and at.")
    if timezone not in _zones():
        raise Invalid.at("timezone", message="The time zone is a name of the IANA database, such as Europe/Berlin.")
    if cron is not None:
        _read_cron(cron)
    if interval_s is not None and not SHORTEST_INTERVAL_S <= interval_s <= LONGEST_INTERVAL_S:
        raise Invalid.at(
            "interval_s", message=f"An interval is {SHORTEST_INTERVAL_S} to {LONGEST_INTERVAL_S} seconds (366 days)."
        )
    if at is not None and (at.tzinfo is None or not EPOCH <= at < END_OF_TIME):
        raise Invalid.at("at", message="The moment has an offset from UTC and a year from 1970 to 9989.")
    return Rule(cron, interval_s, at, timezone, anchor)


def next_slot(rule: Rule, after: datetime) -> datetime | None:
    """The first slot later than `after`, in UTC; None where none follows."""
    return next(_ascending(rule, after), None)


def slots(rule: Rule, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """The first `limit` slots later than `after` and not later than `until`, oldest first."""
    return list(islice(_ascending(rule, after, until), limit))


def latest(rule: Rule, after: datetime, until: datetime, limit: int) -> tuple[int, list[datetime]]:
    """How many slots there are later than `after` and not later than `until`, and the last `limit` of them, oldest
    first. Years of minutes are counted by days."""
    if until <= after:
        return 0, []
    if rule.cron is None:
        count, last = _evenly(rule, after, until)
        found = [last(back) for back in range(min(limit, count))]
        return count, found[::-1]
    cron, zone = _read_cron(rule.cron), ZoneInfo(rule.timezone)
    found, window, end = [], timedelta(hours=1), until
    while len(found) < limit and end > after:
        begin = max(after, end - window)
        found += nlargest(limit - len(found), cron.between(zone, begin, end))
        end, window = begin, 2 * window
    return cron.count(zone, after, until), found[::-1]


def delay_s(schedule_id: UUID, slot: datetime, jitter_s: int, next_slot: datetime | None) -> float:
    """How many seconds after the slot it is started: up to `jitter_s`, before the next slot, and the same for all who
    ask."""
    hashed = sha256(schedule_id.bytes + slot.astimezone(UTC).isoformat().encode()).digest()
    room = jitter_s if next_slot is None else min(jitter_s, (next_slot - slot).total_seconds())
    return room * (int.from_bytes(hashed[:6]) / 2**48)


def in_words(rule: Rule) -> str:
    """The rule for people: "At 09:00 on Monday through Friday, Europe/Berlin"."""
    if rule.interval_s is not None:
        return _interval_in_words(rule.interval_s)
    if rule.at is not None:
        return f"Once, {rule.at.astimezone(ZoneInfo(rule.timezone)):%Y-%m-%d at %H:%M:%S}, {rule.timezone}"
    assert rule.cron is not None
    return f"{_read_cron(rule.cron).words}, {rule.timezone}"


def _interval_in_words(interval_s: int) -> str:
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if interval_s % seconds == 0:
            count = interval_s // seconds
            return f"Every {unit}" if count == 1 else f"Every {count} {unit}s"
    return f"Every {interval_s} seconds"


def _ascending(rule: Rule, after: datetime, until: datetime = END_OF_TIME) -> Iterator[datetime]:
    """The slots in (after, until], as long as somebody asks for them."""
    after, until = after.astimezone(UTC), until.astimezone(UTC)
    if rule.cron is None:
        count, last = _evenly(rule, after, until)
        yield from (last(count - 1 - index) for index in range(count))
        return
    cron, zone, window = _read_cron(rule.cron), ZoneInfo(rule.timezone), timedelta(hours=1)
    nothing_since = after
    while after < until and after - nothing_since < MOST_YEARS * 366 * DAY:
        end = min(until, after + window)
        for slot in sorted(cron.between(zone, after, end)):
            yield slot
            nothing_since = slot
        after, window = end, min(2 * window, 64 * DAY)


def _evenly(rule: Rule, after: datetime, until: datetime) -> tuple[int, Callable[[int], datetime]]:
    """How many slots of an interval or of one moment lie in (after, until], and which is the n-th of them from the
    last."""
    if rule.at is not None:
        at = rule.at.astimezone(UTC)
        return int(after < at <= until), lambda back: at
    assert rule.interval_s is not None
    step, anchor = timedelta(seconds=rule.interval_s), (rule.anchor or EPOCH).astimezone(UTC)
    # The anchor is the first slot, number 0.
    newest, before = (until - anchor) // step, max(-1, (after - anchor) // step)
    return max(0, newest - before), lambda back: anchor + (newest - back) * step


@cache
def _zones() -> frozenset[str]:
    # Which zone the server's host is in is not what a schedule depends on.
    return frozenset(available_timezones() - {"localtime", "Factory"})


class _Cron:
    """An expression that has been read: which days it names, and at which minutes of them."""

    def __init__(self, text: str):
        # The moment does not matter: cronsim is asked about days alone.
        self._days = CronSim(text, EPOCH)
        fields = text.split()
        minutes = sorted(60 * hour + minute for hour in self._days.hours for minute in self._days.minutes)
        self._times = [timedelta(minutes=minute) for minute in minutes]
        # Debian's cron goes by the elapsed time for a wildcard, and takes each time of day once a day for others.
        self._wildcard = fields[0].startswith("*") or fields[1].startswith("*")
        self.words = self._days.explain()

    def ever(self) -> bool:
        """Whether any day of the calendar is named."""
        return next(self._named(date(2000, 1, 1), date(2000 + CALENDAR_YEARS, 1, 1)), None) is not None

    def between(self, zone: ZoneInfo, after: datetime, until: datetime) -> set[datetime]:
        """The slots in (after, until], in UTC."""
        found: set[datetime] = set()
        for day in self._named(*_local_days(zone, after, until)):
            offset = _steady_offset(zone, day)
            if offset is None:
                found.update(slot for slot in self._of_changing_day(zone, day) if after < slot <= until)
            else:
                midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - offset
                first, end = self._inside(midnight, after, until)
                found.update(midnight + time for time in self._times[first:end])
        return found

    def count(self, zone: ZoneInfo, after: datetime, until: datetime) -> int:
        """How many slots are in (after, until]."""
        count = 0
        others: set[datetime] = set()
        for day in self._named(*_local_days(zone, after, until)):
            offset = _steady_offset(zone, day)
            if offset is None:
                others.update(slot for slot in self._of_changing_day(zone, day) if after < slot <= until)
            else:
                midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) - offset
                first, end = self._inside(midnight, after, until)
                count += max(0, end - first)
        return count + len(others)

    def _inside(self, midnight: datetime, after: datetime, until: datetime) -> tuple[int, int]:
        """Which of the day's times lie in (after, until], as the ends of a slice."""
        return bisect_right(self._times, after - midnight), bisect_right(self._times, until - midnight)

    def _named(self, first: date, end: date) -> Iterator[date]:
        """The days of the calendar that the expression names, from `first` up to, without, `end`."""
        day = first
        while day < end:
            if day.month not in self._days.months:
                day = (day.replace(day=1) + 32 * DAY).replace(day=1)
                continue
            if self._days.match_day(day):
                yield day
            day += DAY

    def _of_changing_day(self, zone: ZoneInfo, day: date) -> Iterator[datetime]:
        """The slots of a day near a change of the clock, in UTC; some may come twice."""
        clock_runs_on = datetime(day.year, day.month, day.day)
        for time in self._times:
            shown = datetime(day.year, day.month, day.day) + time
            if self._wildcard:
                # Whenever the clock shows it: not at all where it is skipped, twice where it comes twice.
                for fold in (0, 1):
                    if (slot := _in_utc(shown, zone, fold)) is not None:
                        yield slot
            elif shown >= clock_runs_on:
                # Once: where it is skipped, as soon as the clock runs on; where it comes twice, the first time.
                while (slot := _in_utc(shown, zone)) is None:
                    shown = clock_runs_on = shown + MINUTE
                yield slot


def _in_utc(shown: datetime, zone: ZoneInfo, fold: int = 0) -> datetime | None:
    """The moment at which the zone's clock shows this, for the first or the second time; None where it never does."""
    moment = shown.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    return moment if moment.astimezone(zone).replace(tzinfo=None, fold=0) == shown else None


def _steady_offset(zone: ZoneInfo, day: date) -> timedelta | None:
    """How far the zone's clock is ahead of UTC on this day; None where it changes then, the day before or after."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    before, after = (midnight - DAY).utcoffset(), (midnight + 2 * DAY).utcoffset()
    return before if before == after else None


def _local_days(zone: ZoneInfo, after: datetime, until: datetime) -> tuple[date, date]:
    """The days whose times may be moments in (after, until]: the first, and the one after the last."""
    return ((after - MARGIN).astimezone(zone)).date(), ((until + MARGIN).astimezone(zone)).date()


@lru_cache(maxsize=1_000)
def _read_cron(text: str) -> _Cron:
    """The expression. Raises `Invalid` at `cron`, with the field that is wrong."""
    if len(text) > LONGEST_CRON:
        raise Invalid.at("cron", message=f"An expression has at most {LONGEST_CRON} characters.")
    if not CHARACTERS.fullmatch(text):
        raise Invalid.at("cron", message="An expression is of digits, names in English, * , - / ? # and blanks.")
    parts = text.upper().replace("?", "*").split()
    if len(parts) != len(FIELDS):
        hint = " Seconds and years cannot be given." if len(parts) > len(FIELDS) else ""
        raise Invalid.at(
            "cron",
            message=f"An expression has five fields (minute, hour, day of month, month, day of week), not {len(parts)}."
            + hint,
        )
    for field, part in zip(FIELDS, parts, strict=True):
        try:
            field.parse(part)
        except CronSimError:
            name = field.name.lower() if field < Field.DAY else _NAMES[field]
            raise Invalid.at("cron", message=f"The {name} {part!r} is none: {_EXPECTED[field]}.") from None
    try:
        cron = _Cron(" ".join(parts))
        possible = cron.ever()
    except CronSimError:
        possible = False
    if not possible:
        raise Invalid.at("cron", message="The expression names no day of any year, so that it would never fire.")
    return cron


_NAMES = {Field.DAY: "day of month", Field.MONTH: "month", Field.DOW: "day of week"}
_EXPECTED = {
    Field.MINUTE: "0 to 59, *, lists, ranges (first-last) and steps (/2)",
    Field.HOUR: "0 to 23, *, lists, ranges (first-last) and steps (/2)",
    Field.DAY: "1 to 31, *, L (the last), LW (the last weekday), lists, ranges (first-last) and steps (/2)",
    Field.MONTH: "1 to 12 or JAN to DEC, *, lists, ranges (first-last) and steps (/2)",
    Field.DOW: "0 to 7 or SUN to SAT, *, MON#1 (the first Monday), 5L (the last Friday), lists, ranges and steps (/2)",
}
