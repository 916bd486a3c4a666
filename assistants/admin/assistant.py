"""The admin class of assistants: the list, and the addresses of the pages."""

from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.html import format_html_join

from assistants.admin import moving
from assistants.admin.comparing import ComparePage, RollBackPage
from assistants.admin.editing import NewAssistantPage, NewVersionPage
from assistants.admin.overview import HistoryPage, OverviewPage, VersionPage
from assistants.admin.page import AssistantPage, Button
from assistants.admin.tagging import TagPage
from assistants.models import Assistant, AssistantTag, Status
from core.admin import badge
from core.ids import path_id

STATUS_COLOURS = {Status.CREATED: "info", Status.ACTIVE: "success", Status.ARCHIVED: "warning"}


class ChecksFilter(admin.SimpleListFilter):
    """By what the automatic checks found."""

    title = "checks"
    parameter_name = "checks"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("passed", "Passed"), ("failed", "Failed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Assistant]) -> QuerySet[Assistant]:
        return queryset.filter(validation__status=self.value()) if self.value() else queryset


class AssistantAdmin(moving.MoveActions):
    """Assistants are added, moved and changed through the services, each on a page of its own.

    Registered by `runs.admin`, which adds what concerns their runs.
    """

    list_display: tuple[str, ...] = ("name", "type", "state", "checks", "version", "tags", "workspace", "updated")
    list_filter = ("status", ChecksFilter, "type", "workspace")
    search_fields = ("name", "description", "id_text", "metadata_text")
    search_help_text = "A part of the name, description, id or metadata."
    ordering = ("-updated_at",)

    class Media:
        css = {"all": ["css/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Assistant]:
        rows: QuerySet[Assistant] = super().get_queryset(request)
        return rows.select_related("workspace").prefetch_related(
            Prefetch("version_tags", AssistantTag.objects.order_by("name"))
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Assistant], search_term: str
    ) -> tuple[QuerySet[Assistant], bool]:
        texts = {"id_text": Cast("id", TextField()), "metadata_text": Cast("metadata", TextField())}
        found: tuple[QuerySet[Assistant], bool] = super().get_search_results(
            request, queryset.alias(**texts), search_term
        )
        return found

    @admin.display(description="status", ordering="status")
    def state(self, assistant: Assistant) -> str:
        return badge(assistant.status, STATUS_COLOURS[Status(assistant.status)])

    @admin.display(description="checks")
    def checks(self, assistant: Assistant) -> str:
        found = assistant.validation["status"]
        return badge(found, "success" if found == "passed" else "danger")

    @admin.display(description="tags")
    def tags(self, assistant: Assistant) -> str:
        tags = assistant.version_tags.all()
        return format_html_join(" ", "{}", ([badge(f"{tag.name} → {tag.version}", "info", "verbatim")] for tag in tags))

    @admin.display(description="updated", ordering="updated_at")
    def updated(self, assistant: Assistant) -> str:
        return f"{assistant.updated_at:%Y-%m-%d %H:%M}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        # The base adds nothing.
        return self.has_operate_permission(request)

    def buttons(self, page: AssistantPage) -> list[Button]:
        """What leads on from an assistant's page, for who asks and in the state that it is in."""
        may_operate, may_change = page.may_operate(), page.may_change()
        moves = moving.buttons(page) if may_operate else []
        # One stands out: before it is active that is to activate it.
        variant = "primary" if page.assistant.status == Status.ACTIVE else "default"
        return [
            *(button for button in moves if button.posts),
            *([Button("New version", "edit", page.address("new_version"), variant)] if may_change else []),
            Button("Compare versions", "difference", page.address("compare")),
            Button("History", "history", page.address("history")),
            *(button for button in moves if not button.posts),
        ]

    def get_urls(self) -> list[URLPattern]:
        pages = [
            self._page("compare/", "compare", ComparePage),
            self._page("new-version/", "new_version", NewVersionPage),
            self._page("versions/<int:number>/", "version", VersionPage),
            self._page("versions/<int:number>/rollback/", "roll_back", RollBackPage),
            self._page("versions/<int:number>/tags/", "tags", TagPage),
            *(self._page(f"{move.name}/", move.name, moving.MovePage, move=move) for move in moving.MOVES),
        ]
        urls: list[URLPattern] = super().get_urls()
        return pages + urls

    def _page(self, route: str, name: str, view: type[AssistantPage], **options: Any) -> URLPattern:
        page = self.admin_site.admin_view(view.as_view(model_admin=self, **options))
        pattern: URLPattern = path(f"<uuid:assistant_id>/{route}", page, name=f"assistants_assistant_{name}")
        return pattern

    # The addresses that Django's own pages have.

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponseBase:
        return NewAssistantPage.as_view(model_admin=self)(request)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        return OverviewPage.as_view(model_admin=self)(request, assistant_id=path_id(object_id))

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponseBase:
        return HistoryPage.as_view(model_admin=self)(request, assistant_id=path_id(object_id))
