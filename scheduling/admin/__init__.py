"""Schedules and triggers for operators."""

from scheduling.admin.firings import FiringAdmin
from scheduling.admin.schedules import ScheduleAdmin

__all__ = ["FiringAdmin", "ScheduleAdmin"]
