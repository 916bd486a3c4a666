"""Schedules and triggers for operators."""

from scheduling.admin.firings import FiringAdmin
from scheduling.admin.schedules import ScheduleAdmin
from scheduling.admin.triggers import TriggerAdmin, TriggerCallAdmin

__all__ = ["FiringAdmin", "ScheduleAdmin", "TriggerAdmin", "TriggerCallAdmin"]
