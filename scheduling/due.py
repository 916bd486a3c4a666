"""Which slots of a schedule are due, and what its misfire rule makes of those that nobody looked at in time.

A slot is in time when it is looked at within `settings.SCHEDULE_GRACE_S` seconds after the moment at which it was to
start. No database.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from scheduling.models import Misfire, Schedule
from scheduling.planning import rule_of
from scheduling.timing import Rule, delay_s, latest, next_slot

# So many late slots are made up for at most, and of a long absence so many missed ones are kept.
MADE_UP = 100
MISSED = 100
_BEFORE = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Due:
    """A slot whose time to start has come."""

    slot: datetime
    late: bool


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What is to become of the slots up to a moment: `missed` are told so, and `earlier` were missed before those;
    `starts` may start, in this order; `seen` is the moment after which the next slot is counted."""

    missed: list[datetime]
    earlier: int
    starts: list[Due]
    seen: datetime


def reckon(schedule: Schedule, now: datetime) -> Reckoning:
    """Look at the slots from the schedule's `next_slot` on that have come by now."""
    assert schedule.next_slot is not None
    rule, after = rule_of(schedule), schedule.next_slot - _BEFORE
    until = now if schedule.end_time is None else min(now, schedule.end_time)
    count, slots = latest(rule, after, until, MADE_UP + MISSED)
    moments = dict(zip(slots, _moments(schedule, rule, slots), strict=True))
    # Of the last one alone the jitter's time may be to come.
    if slots and moments[slots[-1]] > now:
        until, count = slots.pop() - _BEFORE, count - 1
    grace = timedelta(seconds=settings.SCHEDULE_GRACE_S)
    due = [Due(slot, late=moments[slot] + grace < now) for slot in slots]
    starts = _by_misfire_rule(schedule.misfire, due)
    chosen = {start.slot for start in starts}
    missed = [slot for slot in slots if slot not in chosen][-MISSED:]
    return Reckoning(missed, count - len(starts) - len(missed), starts, max(until, after))


def _by_misfire_rule(misfire: str, due: Sequence[Due]) -> list[Due]:
    late = [each for each in due if each.late]
    in_time = [each for each in due if not each.late]
    if misfire == Misfire.ALL:
        return late[-MADE_UP:] + in_time
    return in_time or (late[-1:] if misfire == Misfire.ONCE else [])


def _moments(schedule: Schedule, rule: Rule, slots: Sequence[datetime]) -> Iterator[datetime]:
    """When each of these slots, which follow each other, is to start."""
    for nth, slot in enumerate(slots):
        following = None
        if schedule.jitter_s:
            following = slots[nth + 1] if nth + 1 < len(slots) else next_slot(rule, slot)
        yield slot + timedelta(seconds=delay_s(schedule.id, slot, schedule.jitter_s, following))
