"""What became of each slot, for who looks further back than a schedule's page shows."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts.wall import WalledAdmin
from core.admin import moment
from scheduling.admin.marks import status_badge, word_of
from scheduling.models import Firing
from sessions.admin import FoundById


@admin.register(Firing)
class FiringAdmin(FoundById, WalledAdmin):
    workspace_path = "schedule__workspace"
    found_by = ("id", "schedule_id", "run_id")
    search_help_text = "A whole id: its own, or of its schedule or run."
    list_display = ("at", "of", "went", "reason", "run")
    list_display_links = ("at",)
    list_filter = ("outcome",)
    list_select_related = ("schedule",)
    fields = readonly_fields = ("at", "of", "went", "outcome", "reason", "run", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Firing]:
        rows: QuerySet[Firing] = super().get_queryset(request).select_related("schedule")
        return rows

    @admin.display(description="slot (UTC)")
    def at(self, firing: Firing) -> str:
        return moment(firing.slot) if firing.slot else f"by hand, {moment(firing.created_at)}"

    @admin.display(description="schedule")
    def of(self, firing: Firing) -> str:
        address = reverse("admin:scheduling_schedule_change", args=[firing.schedule_id])
        return format_html('<a class="underline" href="{}">{}</a>', address, firing.schedule)

    @admin.display(description="outcome")
    def went(self, firing: Firing) -> str:
        return status_badge(word_of(firing.outcome, firing.run_status))

    @admin.display(description="run")
    def run(self, firing: Firing) -> str:
        if firing.run_id is None:
            return "\N{EN DASH}"
        address = reverse("admin:runs_run_change", args=[firing.run_id])
        return format_html('<a class="underline" href="{}">{}</a>', address, str(firing.run_id)[-8:])
