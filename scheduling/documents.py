"""The JSON shapes of schedules and of what became of their slots."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from core.clock import isoformat
from core.documents import moment, text
from scheduling.models import Firing, Schedule
from scheduling.planning import rule_of
from scheduling.timing import in_words


def schedule_document(schedule: Schedule) -> dict[str, Any]:
    """A schedule of `queries.schedules`."""
    return {
        "id": str(schedule.id),
        "assistant_id": str(schedule.assistant_id),
        "name": schedule.name,
        "cron": schedule.cron,
        "interval_s": schedule.interval_s,
        "at": moment(schedule.at),
        "timezone": schedule.timezone,
        "in_words": in_words(rule_of(schedule)),
        "input": schedule.input,
        "session_id": text(schedule.session_id),
        "user_id": schedule.user_id,
        "version": schedule.version,
        "tag": schedule.tag,
        "enabled": schedule.enabled,
        "skip_if_running": schedule.skip_if_running,
        "max_active_runs": schedule.max_active_runs,
        "end_time": moment(schedule.end_time),
        "misfire": schedule.misfire,
        "jitter_s": schedule.jitter_s,
        "alert_after": schedule.alert_after,
        "webhook": schedule.webhook,
        "metadata": schedule.metadata,
        "next_run_at": moment(schedule.next_run_at),
        "late": vars(schedule)["late"],
        "last_run_at": moment(schedule.last_run_at),
        "last_status": schedule.last_status,
        "consecutive_failures": schedule.consecutive_failures,
        "created_by": schedule.created_by,
        "created_at": moment(schedule.created_at),
        "updated_at": moment(schedule.updated_at),
    }


def slot_document(slot: datetime, timezone: str) -> dict[str, Any]:
    """A slot that is to come: in UTC, and as clocks in the schedule's zone show it."""
    return {"slot": isoformat(slot), "local": slot.astimezone(ZoneInfo(timezone)).isoformat()}


def firing_document(firing: Firing) -> dict[str, Any]:
    """A firing of `queries.firings`."""
    return {
        "id": str(firing.id),
        "slot": moment(firing.slot),
        "outcome": firing.outcome,
        "reason": firing.reason or None,
        "run_id": text(firing.run_id),
        "run_status": vars(firing)["status"],
        "created_at": moment(firing.created_at),
    }
