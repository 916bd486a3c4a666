"""The admin's pages that come from elsewhere get their walls and their looks here: beat's own schedules.

They are the server's housekeeping and what operators add to it; what users schedule are `scheduling`'s.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django_celery_beat.admin import (
    ClockedScheduleAdmin,
    CrontabScheduleAdmin,
    IntervalScheduleAdmin,
    PeriodicTaskAdmin,
    PeriodicTaskForm,
    SolarScheduleAdmin,
    TaskSelectWidget,
)
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts.wall import ServerAdmin
from core.admin import ReadOnlyInline
from core.errors import BadRequest
from core.strict_json import parse_json


class TaskWidget(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The names of the tasks that there are."""


class TaskForm(PeriodicTaskForm):
    """Theirs, with arguments that beat can hand over: read as strictly as a request's body."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["regtask"].widget = TaskWidget()
        self.fields["task"].widget = UnfoldAdminTextInputWidget()

    def clean_args(self) -> str:
        return self._clean_as("args", list, "a list")

    def clean_kwargs(self) -> str:
        return self._clean_as("kwargs", dict, "an object")

    def _clean_as(self, field: str, kind: type, kind_in_words: str) -> str:
        text: str = self.cleaned_data[field]
        try:
            document = parse_json(text.encode())
        except BadRequest as fault:
            raise forms.ValidationError(fault.detail.replace("The body", "It")) from None
        if not isinstance(document, kind):
            raise forms.ValidationError(f"It must be {kind_in_words}.")
        return text


class TaskInline(ReadOnlyInline):
    """Which tasks go by a schedule."""

    model = PeriodicTask
    fields = readonly_fields = ("name", "task", "enabled")


class TaskAdmin(ServerAdmin, PeriodicTaskAdmin, ModelAdmin):
    form = TaskForm


_THEIRS: dict[Any, Any] = {
    ClockedSchedule: ClockedScheduleAdmin,
    CrontabSchedule: CrontabScheduleAdmin,
    IntervalSchedule: IntervalScheduleAdmin,
    SolarSchedule: SolarScheduleAdmin,
}

for model, theirs in _THEIRS.items():
    admin.site.unregister(model)
    admin.site.register(model, type(theirs.__name__, (ServerAdmin, theirs, ModelAdmin), {"inlines": (TaskInline,)}))
admin.site.unregister(PeriodicTask)
admin.site.register(PeriodicTask, TaskAdmin)
