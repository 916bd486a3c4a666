"""Runs and workers for operators: state is looked at, actions call the services."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts.permissions import identity_in
from accounts.wall import LOOKERS, ServerAdmin, WalledAdmin
from assistants.models import Assistant
from core.admin import ReadOnlyAdmin, ReadOnlyInline, pretty
from core.errors import AppError
from runs import services
from runs.announce import announce_rows_after_commit
from runs.assistants_admin import AssistantAdmin
from runs.models import Run, RunEvent, RunPayload, RunStep, Worker
from runs.notices import stop_after_commit
from sessions.admin import FoundById
from sessions.admin import SessionAdmin as Sessions
from sessions.models import Session

ROWS_PER_PAGE = 20

admin.site.register(Assistant, AssistantAdmin)


@admin.register(Session)
class SessionAdmin(Sessions):
    actions = ("close",)

    @admin.action(description="Close", permissions=["operate"])
    def close(self, request: HttpRequest, queryset: QuerySet[Session]) -> None:
        for session in queryset:
            closed = services.close_session(identity_in(request, session.workspace_id), session.id).run()
            stop_after_commit(closed.sessions)
            announce_rows_after_commit(closed.ended)
            self.message_user(request, f"{session}: closed.", messages.SUCCESS)


class StepInline(ReadOnlyInline):
    model = RunStep
    per_page = ROWS_PER_PAGE
    fields = readonly_fields = ("index", "kind", "status", "attempt", "started_at", "duration_ms", "tool_calls")


class EventInline(ReadOnlyInline):
    model = RunEvent
    per_page = ROWS_PER_PAGE
    fields = readonly_fields = ("seq", "event", "ts", "data")


@admin.register(Run)
class RunAdmin(FoundById, WalledAdmin):
    # An operator cancels.
    actors = LOOKERS
    found_by = ("id", "session_id", "assistant_id", "schedule_id")
    list_display = ("id", "status", "assistant", "user_id", "attempt", "priority", "created_at", "finished_at")
    list_filter = ("status", "workspace")
    list_select_related = ("assistant",)
    actions = ("cancel",)
    inlines = (StepInline, EventInline)
    fields = (
        "id",
        "status",
        "workspace",
        "assistant",
        "assistant_version",
        "session",
        "number",
        "user_id",
        "schedule",
        "webhook_text",
        "input",
        "output",
        "error",
        "interrupt",
        "interrupted_at",
        "interrupt_expires_at",
        "attempt",
        "failures",
        "crashes",
        "priority",
        "ready",
        "lease_owner",
        "last_worker_id",
        "epoch",
        "step_count",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "metadata",
        "retry_policy",
        "timeout_s",
        "multitask_strategy",
        "durability",
        "from_checkpoint_id",
        "checkpoint_id",
        "cancel_requested_at",
        "next_attempt_at",
        "created_at",
        "queued_at",
        "claimed_at",
        "started_at",
        "finished_at",
    )
    readonly_fields = fields

    @admin.display(description="schedule")
    def schedule(self, run: Run) -> str:
        """What made it, by its address: the room of schedules is above this one."""
        if run.schedule_id is None:
            return "\N{EN DASH}"
        address = reverse("admin:scheduling_schedule_change", args=[run.schedule_id])
        return format_html('<a class="underline" href="{}">{}</a>', address, run.schedule_id)

    @admin.display(description="webhook")
    def webhook_text(self, run: Run) -> str:
        return pretty(run.webhook) if run.webhook else "\N{EN DASH}"

    @admin.display(description="input")
    def input(self, run: Run) -> str:
        return pretty(run.payload.input)

    @admin.display(description="output")
    def output(self, run: Run) -> str:
        return pretty(run.payload.output)

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        for run in queryset:
            try:
                status = services.cancel_run(identity_in(request, run.workspace_id), run.id).run()
            except AppError as fault:
                self.message_user(request, f"{run}: {fault.detail}", messages.ERROR)
            else:
                stop_after_commit([run.id])
                announce_rows_after_commit([{"id": run.id, "session_id": run.session_id}])
                self.message_user(request, f"{run}: asked to stop, {status} now.", messages.SUCCESS)


class OfRun(FoundById, WalledAdmin):
    """What belongs to a run, found by the run's id."""

    workspace_path = "run__workspace"
    found_by: tuple[str, ...] = ("run_id",)
    search_help_text = "A run's whole id."


@admin.register(RunPayload)
class RunPayloadAdmin(OfRun):
    ordering = ("-run_id",)
    list_display = ("run_id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RunPayload]:
        rows: QuerySet[RunPayload] = super().get_queryset(request).defer("input", "output")
        return rows


@admin.register(RunStep)
class RunStepAdmin(OfRun):
    list_display = ("run_id", "index", "kind", "status", "attempt", "started_at", "duration_ms")
    list_filter = ("kind", "status")


@admin.register(RunEvent)
class RunEventAdmin(OfRun):
    list_display = ("run_id", "seq", "event", "ts")
    list_filter = ("event",)


@admin.register(Worker)
class WorkerAdmin(ServerAdmin, ReadOnlyAdmin):  # type: ignore[misc]  # Unfold's bases are untyped
    list_display = ("host", "pid", "slots", "used", "types", "labels", "state", "heartbeat_at", "started_at")
    list_filter = ("state",)
