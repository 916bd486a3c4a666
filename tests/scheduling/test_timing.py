from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from scheduling.timing import Rule, delay_s, in_words, latest, next_slot, read_rule, slots

NOW = datetime(2026, 5, 6, 12, 0, 30, tzinfo=UTC)
YEAR = timedelta(days=365)


def rule(**given_: object) -> Rule:
    return read_rule(**{"cron": None, "interval_s": None, "at": None, "timezone": "UTC", "anchor": None} | given_)  # type: ignore[arg-type]


def reason(**given_: object) -> str:
    with pytest.raises(Invalid) as refused:
        rule(**given_)
    return " ".join(
        [*map(str, refused.value.errors[0].loc), refused.value.detail]
        if refused.value.errors
        else [refused.value.detail]
    )


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("0 * * * * *", "not 6. Seconds and years"),
        ("@daily", "digits, names"),
        ("60 * * * *", "minute '60'"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day of month '0'"),
        ("* * * 13 *", "month '13'"),
        ("* * * * 8", "day of week '8'"),
        ("* * * * FRI-MON", "day of week 'FRI-MON'"),
        ("*/0 * * * *", "minute '*/0'"),
        ("1,,2 * * * *", "minute '1,,2'"),
        ("* * * * ٣", "digits, names"),
        ("0 9\n* * *", "digits, names"),
        ("1," * 100 + "1 * * * *", "200 characters"),
        ("0 0 30 2 *", "never fire"),
        ("0 0 31 4,6,9,11 *", "never fire"),
    ],
)
def test_an_expression_that_is_wrong_is_told_with_its_reason(cron: str, told: str) -> None:
    assert reason(cron=cron).startswith("cron ")
    assert told in reason(cron=cron)


@pytest.mark.parametrize("zone", ["", "localtime", "europe/berlin", "../etc/passwd", "/etc/localtime", "CEST", "UTC\0"])
def test_a_time_zone_is_a_name_of_the_iana_database(zone: str) -> None:
    assert reason(cron="* * * * *", timezone=zone).startswith("timezone ")


@pytest.mark.parametrize("interval_s", [-1, 0, 59, 366 * 86_400 + 1])
def test_an_interval_is_a_minute_to_a_year(interval_s: int) -> None:
    assert reason(interval_s=interval_s).startswith("interval_s ")


@pytest.mark.parametrize(
    "at", [datetime(2030, 1, 1), datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
def test_one_moment_has_an_offset_and_a_year_that_can_be_counted_with(at: datetime) -> None:
    assert reason(at=at).startswith("at ")


def test_a_schedule_has_one_rule() -> None:
    assert "exactly one" in reason()
    assert "exactly one" in reason(cron="* * * * *", interval_s=60)


FIELD = st.text("0123456789*,-/?#LWMONJAN ", max_size=8)


@given(st.one_of(st.text(max_size=250), st.builds(" ".join, st.lists(FIELD, min_size=4, max_size=6))))
def test_whatever_is_written_is_a_rule_or_told_to_be_none(text: str) -> None:
    try:
        found = rule(cron=text)
    except Invalid:
        return
    first = next_slot(found, NOW)
    assert first is not None
    assert first > NOW
    assert latest(found, NOW, first, 1) == (1, [first])
    assert in_words(found).endswith(", UTC")


def test_a_rare_day_is_waited_for() -> None:
    assert next_slot(rule(cron="0 0 29 2 */7"), NOW) == datetime(2032, 2, 29, tzinfo=UTC)
    # 2100 is no leap year.
    assert next_slot(rule(cron="0 0 29 2 */7"), datetime(2088, 3, 1, tzinfo=UTC)) == datetime(2128, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "first"),
    [
        ("0 9 * * MON-FRI", "2026-05-07 09:00"),
        ("0 9 * * mon#1", "2026-06-01 09:00"),
        ("0 9 * * 5L", "2026-05-29 09:00"),
        ("0 9 L * ?", "2026-05-31 09:00"),
        ("0 9 LW JUN *", "2026-06-30 09:00"),
        ("0 9 * * 7", "2026-05-10 09:00"),
        ("0 9 10 * MON", "2026-05-10 09:00"),  # either day
        ("0 9 1-31 * MON", "2026-05-07 09:00"),
        ("0 9 */10 * SUN", "2026-05-31 09:00"),  # both, because one begins with *
        ("5/20 * * * *", "2026-05-06 12:05"),
    ],
)
def test_an_expression_says_its_days_and_times(cron: str, first: str) -> None:
    assert next_slot(rule(cron=cron), NOW) == datetime.fromisoformat(first + "Z")


def test_slots_are_those_after_one_moment_up_to_another() -> None:
    hourly = rule(cron="0 * * * *")
    noon = datetime(2026, 5, 6, 12, tzinfo=UTC)
    hours = [noon + timedelta(hours=index) for index in range(5)]
    assert slots(hourly, hours[0], hours[3], 10) == hours[1:4]
    assert slots(hourly, hours[0], hours[3], 2) == hours[1:3]
    assert latest(hourly, hours[0], hours[3], 2) == (3, hours[2:4])
    assert latest(hourly, hours[3], hours[0], 2) == (0, [])


def test_an_interval_is_counted_from_its_anchor() -> None:
    every = rule(interval_s=100, anchor=NOW)
    assert next_slot(every, NOW) == NOW + timedelta(seconds=100)
    assert slots(every, NOW - YEAR, NOW + timedelta(seconds=200), 9) == [
        NOW + timedelta(seconds=s) for s in (0, 100, 200)
    ]
    assert latest(every, NOW, NOW + timedelta(seconds=399), 2) == (3, [NOW + timedelta(seconds=s) for s in (200, 300)])
    assert latest(every, NOW - YEAR, NOW - timedelta(days=1), 2) == (0, [])


def test_one_moment_is_one_slot() -> None:
    once = rule(at=NOW)
    assert next_slot(once, NOW - YEAR) == NOW
    assert next_slot(once, NOW) is None
    assert latest(once, NOW - YEAR, NOW, 5) == (1, [NOW])


def test_years_of_minutes_are_counted_without_making_them() -> None:
    for zone in ("UTC", "America/Santiago"):
        count, last = latest(rule(cron="* * * * *", timezone=zone), NOW - 3 * YEAR, NOW, 100)
        assert (count, last) == (
            3 * 365 * 1440,
            [NOW - timedelta(seconds=30 + 60 * back) for back in reversed(range(100))],
        )


def test_a_delay_is_the_same_for_all_and_comes_before_the_next_slot() -> None:
    ids = [UUID(int=n) for n in range(200)]
    delays = [delay_s(id_, NOW, 600, NOW + timedelta(seconds=300)) for id_ in ids]
    assert delays == [delay_s(id_, NOW, 600, NOW + timedelta(seconds=300)) for id_ in ids]
    assert 0 <= min(delays) < 50 < 250 < max(delays) < 300
    assert delay_s(ids[0], NOW, 0, None) == 0
    assert delay_s(ids[0], NOW, 600, None) != delay_s(ids[0], NOW + YEAR, 600, None)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"cron": "0 9 * * MON-FRI", "timezone": "Europe/Berlin"}, "At 09:00 on Monday through Friday, Europe/Berlin"),
        ({"cron": "*/15 * * * ?"}, "Every 15th minute of every hour, UTC"),
        ({"interval_s": 5400}, "Every 90 minutes"),
        ({"interval_s": 86_400}, "Every day"),
        ({"interval_s": 61}, "Every 61 seconds"),
        ({"at": NOW, "timezone": "Europe/Berlin"}, "Once, 2026-05-06 at 14:00:30, Europe/Berlin"),
    ],
)
def test_a_rule_in_words(given_: dict[str, object], words: str) -> None:
    assert in_words(rule(**given_)) == words
