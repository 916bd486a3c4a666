"""What follows of a schedule: its next slot, and the moment at which that is started."""

from datetime import datetime, timedelta

from scheduling.models import Schedule
from scheduling.timing import END_OF_TIME, Rule, delay_s, next_slot, slots


def rule_of(schedule: Schedule) -> Rule:
    """When the schedule runs, as `scheduling.timing` takes it."""
    return Rule(schedule.cron, schedule.interval_s, schedule.at, schedule.timezone, schedule.anchor)


def slot_after(schedule: Schedule, after: datetime) -> datetime | None:
    """The schedule's first slot after this moment; None where its rule or its end allow none."""
    slot = next_slot(rule_of(schedule), after)
    return slot if slot is not None and (schedule.end_time is None or slot <= schedule.end_time) else None


def plan(schedule: Schedule, after: datetime) -> bool:
    """Set what follows after this moment, without saving it; gives whether anything does."""
    slot = schedule.next_slot = slot_after(schedule, after)
    if slot is None:
        schedule.next_run_at = None
        return False
    delay = delay_s(schedule.id, slot, schedule.jitter_s, next_slot(rule_of(schedule), slot))
    schedule.next_run_at = slot + timedelta(seconds=delay)
    return True


def upcoming(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    """The schedule's next slots after this moment, at most so many."""
    until = min(schedule.end_time or END_OF_TIME, END_OF_TIME)
    return slots(rule_of(schedule), after, until, count)
