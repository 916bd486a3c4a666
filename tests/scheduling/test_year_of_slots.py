"""A year of slots against a computation that knows neither cronsim nor how ours goes about it: every minute of UTC is
asked what the clock shows then, and the days and times of each expression are written out by hand."""

from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from scheduling.timing import Rule, latest, next_slot, slots

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Cairo"]
START, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
MARGIN = 5 * 1440
ALL_MINUTES, ALL_HOURS = range(60), range(24)


def always(day: date) -> bool:
    return True


def on(*days: str) -> Callable[[date], bool]:
    return lambda day: day.strftime("%a") in days


def the(*numbers: int) -> Callable[[date], bool]:
    return lambda day: day.day in numbers


def the_last(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1


def the_last_workday(day: date) -> bool:
    rest = [day + timedelta(days=ahead) for ahead in range(1, 4)]
    return day.weekday() < 5 and all(later.month != day.month or later.weekday() > 4 for later in rest)


def of(months: Collection[int], days: Callable[[date], bool] = always) -> Callable[[date], bool]:
    return lambda day: day.month in months and days(day)


def either(*conditions: Callable[[date], bool]) -> Callable[[date], bool]:
    return lambda day: any(condition(day) for condition in conditions)


def both(*conditions: Callable[[date], bool]) -> Callable[[date], bool]:
    return lambda day: all(condition(day) for condition in conditions)


workdays = on("Mon", "Tue", "Wed", "Thu", "Fri")

# Expressions, their minutes, hours and days: those that go with real time, and those that go with the clock.
REAL_TIME: list[tuple[str, Collection[int], Collection[int], Callable[[date], bool]]] = [
    ("* * 5,6,9,30 3,4,9,10 *", ALL_MINUTES, ALL_HOURS, of({3, 4, 9, 10}, the(5, 6, 9, 30))),
    ("*/15 * * * *", {0, 15, 30, 45}, ALL_HOURS, always),
    ("0 * * * *", {0}, ALL_HOURS, always),
    ("7 * * * *", {7}, ALL_HOURS, always),
    ("*/5 2 * * *", range(0, 60, 5), {2}, always),
    ("*/30 1-3 * * *", {0, 30}, {1, 2, 3}, always),
    ("0 */2 * * *", {0}, range(0, 24, 2), always),
    ("30 */3 * * SUN", {30}, range(0, 24, 3), on("Sun")),
    ("59 */23 * * *", {59}, {0, 23}, always),
    ("* 0 * * 5-7", ALL_MINUTES, {0}, on("Fri", "Sat", "Sun")),
    ("*/20 23 * * SAT", {0, 20, 40}, {23}, on("Sat")),
    ("*/7 * 29 3 *", range(0, 60, 7), ALL_HOURS, of({3}, the(29))),
    ("?/10 9-17 ? ? MON-FRI", range(0, 60, 10), range(9, 18), workdays),
    ("5-55/10 * * APR,OCT *", {5, 15, 25, 35, 45, 55}, ALL_HOURS, of({4, 10})),
    ("* 2 * 3,10 0", ALL_MINUTES, {2}, of({3, 10}, on("Sun"))),
    ("0,30 * L * *", {0, 30}, ALL_HOURS, the_last),
]
CLOCK: list[tuple[str, Collection[int], Collection[int], Callable[[date], bool]]] = [
    ("0 0 * * *", {0}, {0}, always),
    ("30 0 * * *", {30}, {0}, always),
    ("30 1 * * *", {30}, {1}, always),
    ("0 2 * * *", {0}, {2}, always),
    ("15 2 * * *", {15}, {2}, always),
    ("30 2 * * *", {30}, {2}, always),
    ("0,15,45 2,3 * * *", {0, 15, 45}, {2, 3}, always),
    ("45 1 * * SUN", {45}, {1}, on("Sun")),
    ("30 23 * * *", {30}, {23}, always),
    ("0 9 * * MON-FRI", {0}, {9}, workdays),
    ("0 0-23 * * *", {0}, ALL_HOURS, always),
    ("0-59 0-3,23 * * 7", ALL_MINUTES, {0, 1, 2, 3, 23}, on("Sun")),
    ("0 8 1,15 * *", {0}, {8}, the(1, 15)),
    ("0 8 13 * FRI", {0}, {8}, either(the(13), on("Fri"))),
    ("0 8 */2 * MON", {0}, {8}, both(the(*range(1, 32, 2)), on("Mon"))),
    ("0 8 1-7 * */2", {0}, {8}, both(the(*range(1, 8)), on("Sun", "Tue", "Thu", "Sat"))),
    ("0 18 L * *", {0}, {18}, the_last),
    ("0 18 LW * *", {0}, {18}, the_last_workday),
    ("0 7 * * MON#2", {0}, {7}, both(the(*range(8, 15)), on("Mon"))),
    ("0 7 * * 5L", {0}, {7}, lambda day: day.strftime("%a") == "Fri" and (day + timedelta(days=7)).month != day.month),
    ("0 2 25-31 3,10 *", {0}, {2}, of({3, 10}, the(*range(25, 32)))),
    ("59 23 31 12 *", {59}, {23}, of({12}, the(31))),
    ("10 4 31 * *", {10}, {4}, the(31)),
    ("1/20 6/6 * JUN-AUG 1-5", {1, 21, 41}, {6, 12, 18}, of({6, 7, 8}, workdays)),
]


@cache
def moments(zone: str) -> tuple[dict[int, int], dict[int, int]]:
    """What the clock shows, in minutes -> at which minute of UTC it does first, and, of some, for the second time.
    The clock changes at quarters of an hour."""
    first: dict[int, int] = {}
    again: dict[int, int] = {}
    here = ZoneInfo(zone)
    for quarter in range(int(START.timestamp()) // 60 - MARGIN, int(END.timestamp()) // 60 + MARGIN, 15):
        ahead = datetime.fromtimestamp(quarter * 60, here).utcoffset()
        assert ahead is not None
        offset = int(ahead.total_seconds()) // 60
        shows = again if quarter + offset in first else first
        shows.update((minute + offset, minute) for minute in range(quarter, quarter + 15))
    return first, again


def expected(
    zone: str, minutes: Collection[int], hours: Collection[int], days: Callable[[date], bool], real_time: bool
) -> list[datetime]:
    found = set()
    first, again = moments(zone)
    for ahead in range(-1, 367):
        day = START.date() + timedelta(days=ahead)
        if not days(day):
            continue
        midnight = (day - date(1970, 1, 1)).days * 1440
        for time in (midnight + 60 * hour + minute for hour in hours for minute in minutes):
            if real_time:
                found.update(minutes_of[time] for minutes_of in (first, again) if time in minutes_of)
            else:
                while time not in first:
                    time += 1
                found.add(first[time])
    return [at for minute in sorted(found) if START < (at := datetime.fromtimestamp(minute * 60, UTC)) <= END]


@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_slots_is_what_the_clock_says(zone: str) -> None:
    assert len(REAL_TIME) + len(CLOCK) == 40
    for expressions, real_time in ((REAL_TIME, True), (CLOCK, False)):
        for cron, minutes, hours, days in expressions:
            rule, wanted = Rule(cron, None, None, zone), expected(zone, minutes, hours, days, real_time)
            assert slots(rule, START, END, 1_000_000) == wanted, cron
            assert latest(rule, START, END, 100) == (len(wanted), wanted[-100:]), cron


@pytest.mark.parametrize("zone", ZONES)
def test_a_slot_is_the_same_wherever_one_begins_to_count(zone: str) -> None:
    for cron in ("30 2 * * *", "*/20 0-3 * * SUN", "0 0 * * *"):
        rule = Rule(cron, None, None, zone)
        in_all = slots(rule, START, END, 10_000)
        one_by_one = [at for before in [START, *in_all[:-1]] if (at := next_slot(rule, before)) is not None]
        assert one_by_one == in_all
