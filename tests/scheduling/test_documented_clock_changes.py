"""The table of docs/schedules.md says what fires when the clock is changed."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from scheduling.timing import Rule, slots

PAGE = Path(__file__).resolve().parents[2] / "docs" / "schedules.md"
ROWS = re.findall(r"^\| (\w+/\w+) \| (\d{4}-\d\d-\d\d) \| [^|]+ \| `([^`]+)` \| ([^|]+) \|$", PAGE.read_text(), re.M)
DAY = timedelta(days=1)


def test_the_table_is_read() -> None:
    assert len(ROWS) == 15


@pytest.mark.parametrize(("zone", "day", "cron", "told"), ROWS, ids=" ".join)
def test_a_clock_change_is_as_documented(zone: str, day: str, cron: str, told: str) -> None:
    about = datetime.fromisoformat(day).replace(tzinfo=UTC)
    fired = [
        slot.astimezone(ZoneInfo(zone))
        for slot in slots(Rule(cron, None, None, zone), about - DAY, about + 2 * DAY, 99)
    ]
    on_the_day = [f"{slot:%H:%M}{slot.isoformat()[-6:]}" for slot in fired if str(slot.date()) == day]
    assert (", ".join(on_the_day) or "never") == told
