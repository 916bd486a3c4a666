"""Alerts: what is wrong stands first."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from accounts.acting import Act, ActingAdmin
from accounts.permissions import identity_in, sees_everything
from accounts.wall import Roles, reach
from core.admin import badge, moment
from webhooks import services
from webhooks.models import Alert
from webhooks.notices import address_of


class StateFilter(admin.SimpleListFilter):
    """Open ones, or those that are well again."""

    title = parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("resolved", "Resolved")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        return queryset if self.value() is None else queryset.filter(resolved_at__isnull=self.value() == "open")


@admin.register(Alert)
class AlertAdmin(ActingAdmin):
    """Of the workspaces, and of the whole server, which concerns everybody. Who may change webhooks resolves."""

    list_display = ("at", "message", "state", "what", "where")
    list_display_links = ("at", "message")
    list_filter = (StateFilter, "kind", "workspace")
    list_select_related = ("workspace",)
    search_fields = ("message", "subject")
    search_help_text = "A part of the message, or the id of what it is about."
    ordering = (F("resolved_at").desc(nulls_first=True), "-opened_at", "-id")
    sortable_by = ()
    actions = ("resolve",)
    acts = (Act("resolve", "Resolve", "check"),)
    fields = readonly_fields = ("message", "state", "what", "about", "where", "opened_at", "resolved_at")

    def _within(self, request: HttpRequest, rows: QuerySet[Any], roles: Roles) -> QuerySet[Any]:
        if sees_everything(request):
            return rows
        reached = reach(request, roles)
        return rows.filter(Q(workspace__in=reached) | Q(workspace=None) if reached else Q(pk=None))

    def _may(self, request: HttpRequest, roles: Roles, row: Any) -> bool:
        # The server's is everybody's who has such a role anywhere.
        of_server = row is not None and row.workspace_id is None
        return super()._may(request, roles, None if of_server else row)

    @admin.display(description="since (UTC)")
    def at(self, alert: Alert) -> str:
        return moment(alert.opened_at)

    @admin.display(description="state")
    def state(self, alert: Alert) -> str:
        if alert.resolved_at is None:
            return badge("open", "danger", icon="error")
        since = format_html('<span class="whitespace-nowrap">{} UTC</span>', moment(alert.resolved_at))
        return format_html("<div>{} {}</div>", badge("resolved", "success", icon="check"), since)

    @admin.display(description="kind")
    def what(self, alert: Alert) -> str:
        return badge(alert.kind, "", "verbatim")

    @admin.display(description="workspace")
    def where(self, alert: Alert) -> str:
        return str(alert.workspace or "the whole server")

    @admin.display(description="about")
    def about(self, alert: Alert) -> str:
        return format_html('<a class="underline" href="{}">{}</a>', address_of(alert), alert.subject)

    def offered(self, row: Alert) -> list[str]:
        # The server's is resolved when all is well again.
        return ["resolve"] if row.resolved_at is None and row.workspace_id else []

    @admin.action(description="Resolve", permissions=["operate"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        for alert in queryset.filter(resolved_at=None):
            if alert.workspace_id is None:
                self.message_user(request, f"{alert} It is resolved when all is well again.", messages.WARNING)
                continue
            services.close_alert(identity_in(request, alert.workspace_id), alert.pk)
            self.message_user(request, f"Resolved: {alert}", messages.SUCCESS)
