"""Schedules: what runs when, whether it is late, how it went, and what comes next."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, JSONObject
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts.acting import Act, ServicedAdmin
from accounts.admin.audit import details_of
from accounts.audit import entries_of
from accounts.permissions import identity_in
from core.admin import badge, moment, pretty, spoken
from core.clock import ClockTimestamp
from core.errors import AppError
from core.spans import about
from core.validation import validate
from runs.models import Run
from scheduling import firing, services
from scheduling.admin.form import ScheduleForm
from scheduling.admin.marks import status_badge, strip, word_of
from scheduling.bodies import ChangeSchedule, CreateSchedule
from scheduling.models import Firing, Schedule
from scheduling.planning import rule_of, upcoming
from scheduling.timing import in_words

MARKS, NEXT, HISTORY, CHANGES = 20, 10, 50, 20
STATUSES = ("success", "error", "timeout", "cancelled")


def _overdue() -> Q:
    return Q(enabled=True, next_run_at__lt=ClockTimestamp() - timedelta(seconds=settings.SCHEDULE_GRACE_S))


class StateFilter(admin.SimpleListFilter):
    """On, paused, late, or over."""

    title = parameter_name = "state"
    states = {
        "on": Q(enabled=True, next_run_at__isnull=False),
        "paused": Q(enabled=False),
        "ended": Q(enabled=True, next_run_at=None),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("on", "On"), ("late", "Late"), ("paused", "Paused"), ("ended", "Ended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> QuerySet[Schedule]:
        if self.value() == "late":
            return queryset.filter(_overdue())
        wanted = self.states.get(str(self.value()))
        return queryset if wanted is None else queryset.filter(wanted)


class LastStatusFilter(admin.SimpleListFilter):
    """By how the latest run ended."""

    title, parameter_name = "last run", "last_status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status, status) for status in STATUSES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> QuerySet[Schedule]:
        return queryset.filter(last_status=self.value()) if self.value() else queryset


def version_policy(row: Any) -> str:
    """Which version runs: the live one, a fixed one, or the one that a tag points at."""
    if row.session_id is not None:
        return "of its session"
    return f"v{row.version}" if row.version else row.tag or "live"


def both_clocks(at: datetime, timezone: str) -> tuple[str, str]:
    """A moment as clocks in the zone show it, and in UTC."""
    return f"{at.astimezone(ZoneInfo(timezone)):%a %Y-%m-%d %H:%M:%S %Z}", moment(at)


@admin.register(Schedule)
class ScheduleAdmin(ServicedAdmin):
    form = ScheduleForm
    list_display = ("name", "state", "when", "who", "next_run", "last_run", "went", "workspace")
    list_filter = (StateFilter, LastStatusFilter, "workspace")
    list_select_related = ("workspace", "assistant")
    search_fields = ("name",)
    search_help_text = "A part of the name."
    ordering = (F("next_run_at").asc(nulls_last=True), "-id")
    autocomplete_fields = ("assistant",)
    change_form_after_template = "admin/scheduling/schedule.html"
    actions = ("pause", "resume", "trigger")
    acts = (
        Act("pause", "Pause", "pause", effect="Pauses this schedule; the assistant still answers."),
        Act("resume", "Resume", "play_arrow", "primary"),
        Act("trigger", "Run now", "bolt", effect="Starts a run at once, whatever the rules say."),
    )
    readonly_fields = ("state", "when", "next_run", "last_run", "failures", "metadata_text", "created_by", "created_at")
    rule = ("cron", "interval_s", "at", "timezone")
    target = ("input", "version", "tag", "session_id", "user_id")
    policy = ("skip_if_running", "max_active_runs", "misfire", "jitter_s", "end_time", "alert_after")

    def get_fieldsets(self, request: HttpRequest, obj: Schedule | None = None) -> Any:
        about_it = ("state", "when", "next_run", "last_run", "failures") if obj else ("enabled",)
        found = [
            (None, {"fields": ("assistant", "name", *about_it)}),
            ("When", {"fields": self.rule}),
            ("What", {"fields": self.target}),
            ("Rules", {"fields": self.policy}),
        ]
        if obj is not None:
            found.append(("More", {"fields": ("metadata_text", "created_by", "created_at")}))
        return found

    def get_readonly_fields(self, request: HttpRequest, obj: Schedule | None = None) -> tuple[str, ...]:
        return ("assistant", *self.readonly_fields) if obj else self.readonly_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        latest = Firing.objects.filter(schedule=OuterRef("pk")).order_by("-created_at", "-id")
        running = Subquery(Run.objects.filter(id=OuterRef("run_id")).values("status"))
        told = JSONObject(
            outcome="outcome",
            status=Coalesce("run_status", running),
            reason="reason",
            at=Coalesce("slot", "created_at"),
        )
        rows: QuerySet[Schedule] = super().get_queryset(request)
        # PostgreSQL looks for them in the rows of a page alone.
        return rows.annotate(now=ClockTimestamp(), firings_told=ArraySubquery(latest.values_list(told)[:MARKS]))

    # -- what is shown -----------------------------------------------------------------------------------------------

    @admin.display(description="assistant", ordering="assistant__name")
    def who(self, schedule: Schedule) -> str:
        return format_html("<div>{} {}</div>", schedule.assistant, badge(version_policy(schedule), "info", "verbatim"))

    @admin.display(description="when")
    def when(self, schedule: Schedule) -> str:
        words = in_words(rule_of(schedule))
        if schedule.cron is None:
            return words
        return format_html('<div>{} <code class="cron">{}</code></div>', words, schedule.cron)

    @admin.display(description="next run (UTC)", ordering="next_run_at")
    def next_run(self, schedule: Schedule) -> str:
        return moment(schedule.next_run_at) if schedule.enabled and schedule.next_run_at else "\N{EN DASH}"

    @admin.display(description="last run (UTC)", ordering="last_run_at")
    def last_run(self, schedule: Schedule) -> str:
        if schedule.last_run_at is None:
            return "\N{EN DASH}"
        status = status_badge(schedule.last_status) if schedule.last_status else ""
        return format_html("<div>{} {}</div>", moment(schedule.last_run_at), status)

    @admin.display(description="latest slots")
    def went(self, schedule: Schedule) -> str:
        found = [{**told, "at": datetime.fromisoformat(told["at"])} for told in vars(schedule)["firings_told"]]
        return strip(found[::-1])

    @admin.display(description="state")
    def state(self, schedule: Schedule) -> str:
        if not schedule.enabled:
            return badge("paused", "warning", icon="pause")
        if schedule.next_run_at is None:
            return badge("ended", icon="stop")
        late_s = (vars(schedule)["now"] - schedule.next_run_at).total_seconds()
        if late_s > settings.SCHEDULE_GRACE_S:
            return badge(f"late by {about(late_s)}", "danger", icon="schedule")
        return badge("on", "success", icon="check")

    @admin.display(description="failures in a row")
    def failures(self, schedule: Schedule) -> str:
        return f"{schedule.consecutive_failures} (an alert at {schedule.alert_after})"

    @admin.display(description="metadata")
    def metadata_text(self, schedule: Schedule) -> str:
        return pretty(schedule.metadata)

    def told(self, request: HttpRequest, row: Schedule) -> dict[str, Any]:
        firings = Firing.objects.filter(schedule=row).order_by("-created_at", "-id")
        running = Subquery(Run.objects.filter(id=OuterRef("run_id")).values("status"))
        history: list[Any] = list(firings.annotate(status=Coalesce("run_status", running))[:HISTORY])
        identity = identity_in(request, row.workspace_id)
        entries = entries_of(identity, "schedule", row.pk).order_by("-created_at", "-id")[:CHANGES]
        return {
            "timezone": row.timezone,
            "coming": self._coming(row),
            "history": [(firing, status_badge(word_of(firing.outcome, firing.status))) for firing in history],
            "most": HISTORY,
            "entries": [(entry, spoken(entry.action), details_of(entry)) for entry in entries],
            "all_firings": f"{reverse('admin:scheduling_firing_changelist')}?q={row.pk}",
        }

    def _coming(self, schedule: Schedule) -> list[tuple[str, str]]:
        try:
            found = upcoming(schedule, vars(schedule)["now"], NEXT)
        except AppError:
            # The zone, or what the expression says, is not known any more: the next slot will say so.
            return []
        return [both_clocks(slot, schedule.timezone) for slot in found]

    # -- what is done ------------------------------------------------------------------------------------------------

    def offered(self, row: Schedule) -> Collection[str]:
        return ("pause", "trigger") if row.enabled else ("resume", "trigger")

    def save_model(self, request: HttpRequest, obj: Schedule, form: Any, change: bool) -> None:
        typed = cast("ScheduleForm", form)
        if change:
            if typed.changed_data:
                changes = validate(ChangeSchedule, typed.body(typed.changed_data))
                services.change_schedule(identity_in(request, obj.workspace_id), obj.pk, changes)
            return
        assistant = typed.cleaned_data["assistant"]
        body = validate(CreateSchedule, typed.body(typed.filled_in()))
        stored = services.create_schedule(identity_in(request, assistant.workspace_id), assistant.pk, body)
        obj.pk, obj.name = stored.pk, stored.name

    def delete_model(self, request: HttpRequest, obj: Schedule) -> None:
        services.delete_schedule(identity_in(request, obj.workspace_id), obj.pk)

    @admin.action(description="Pause", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        for schedule in queryset:
            services.pause_schedule(identity_in(request, schedule.workspace_id), schedule.pk)
            self.message_user(request, f"{schedule}: paused. The assistant still answers.", messages.SUCCESS)

    @admin.action(description="Resume", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        for schedule in queryset:
            self._try(request, schedule, services.resume_schedule, "goes on.")

    @admin.action(description="Run now", permissions=["operate"])
    def trigger(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        for schedule in queryset:
            self._try(request, schedule, firing.start_now, "a run is started.")

    def _try(self, request: HttpRequest, schedule: Schedule, act: Any, done: str) -> None:
        try:
            act(identity_in(request, schedule.workspace_id), schedule.pk)
        except AppError as fault:
            self.message_user(request, f"{schedule}: {fault.detail}", messages.ERROR)
        else:
            self.message_user(request, f"{schedule}: {done}", messages.SUCCESS)
