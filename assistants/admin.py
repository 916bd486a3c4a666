"""Assistants for operators. A configuration is read here; it is written through the same services as by the API."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.identity import Identity
from accounts.permissions import identity_in
from assistants import services
from assistants.config import CreateAssistant, parse
from assistants.documents import in_order
from assistants.models import Assistant, AssistantVersion
from core.admin import ReadOnlyAdmin, ReadOnlyInline, pretty
from core.errors import AppError
from core.strict_json import parse_json

EXAMPLE = {"name": "my-assistant", "llm": {"provider": "fake", "model": "echo"}, "system_prompt": ""}
VERSIONS_PER_PAGE = 10


class NewAssistantForm(forms.ModelForm[Assistant]):
    """A new assistant: the body of `POST /assistants`, as JSON."""

    configuration = forms.CharField(
        widget=UnfoldAdminTextareaWidget({"rows": 24, "class": "font-mono"}),
        initial=json.dumps(EXAMPLE, indent=2),
        help_text="The body of POST /assistants. Only name and llm are required.",
    )

    class Meta:
        model = Assistant
        fields = ["workspace"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if "configuration" not in cleaned or "workspace" not in cleaned:
            return cleaned
        try:
            body = parse_json(cleaned["configuration"].encode(errors="replace"))
            name = parse(CreateAssistant, body).name
        except AppError as fault:
            places = [f"{'.'.join(map(str, error.loc))}: {error.message}" for error in fault.errors if error.loc]
            self.add_error("configuration", places or [fault.detail])
            return cleaned
        if Assistant.objects.filter(workspace=cleaned["workspace"], name=name).exists():
            self.add_error("configuration", f"An assistant named {name!r} exists.")
        return {**cleaned, "body": body}


class VersionInline(ReadOnlyInline):
    """The versions, the latest first; they never change."""

    model = AssistantVersion
    per_page = VERSIONS_PER_PAGE
    fields = readonly_fields = ("number", "change_note", "created_by", "created_at", "configuration")

    @admin.display(description="configuration")
    def configuration(self, version: AssistantVersion) -> str:
        return format_html("<details><summary>Show</summary>{}</details>", pretty(in_order(version.config)))


@admin.register(Assistant)
class AssistantAdmin(ReadOnlyAdmin):
    """Assistants are added and moved here; a change is a new version, made by the API."""

    list_display = ("name", "type", "status", "version", "workspace", "updated_at")
    list_filter = ("status", "type", "workspace")
    list_select_related = ("workspace",)
    search_fields = ("name", "description")
    ordering = ("-updated_at",)
    inlines = (VersionInline,)
    actions = ("activate", "archive", "restore")
    readonly_fields = (
        "id",
        "name",
        "type",
        "status",
        "version",
        "checks",
        "configuration",
        "created_by",
        "created_at",
        "updated_at",
    )

    @admin.display(description="configuration")
    def configuration(self, assistant: Assistant) -> str:
        return pretty(in_order(assistant.versions.get(number=assistant.version).config))

    @admin.display(description="automatic checks")
    def checks(self, assistant: Assistant) -> str:
        lines = (
            ("✓" if check["ok"] else "✗", check["name"], check["message"]) for check in assistant.validation["checks"]
        )
        return format_html_join(mark_safe("<br>"), "{} <b>{}</b> {}", lines)

    def get_form(self, request: HttpRequest, obj: Assistant | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewAssistantForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Assistant | None = None) -> Any:
        return ("workspace", "configuration") if obj is None else ("workspace", *self.readonly_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Assistant | None = None) -> Any:
        return () if obj is None else self.readonly_fields

    def get_inlines(self, request: HttpRequest, obj: Assistant | None) -> Any:
        return () if obj is None else self.inlines

    def has_add_permission(self, request: HttpRequest) -> bool:
        allowed: bool = super(ReadOnlyAdmin, self).has_add_permission(request)
        return allowed

    def save_model(self, request: HttpRequest, obj: Assistant, form: Any, change: bool) -> None:
        created = services.create_assistant(identity_in(request, obj.workspace_id), form.cleaned_data["body"])
        obj.id, obj.name = created.id, created.name
        for check in created.validation["checks"]:
            if not check["ok"]:
                self.message_user(request, check["message"], messages.WARNING)

    @admin.action(description="Activate", permissions=["operate"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Assistant]) -> None:
        self._move(request, queryset, services.activate_assistant, "activated")

    @admin.action(description="Archive", permissions=["operate"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Assistant]) -> None:
        self._move(request, queryset, services.delete_assistant, "archived")

    @admin.action(description="Restore", permissions=["operate"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Assistant]) -> None:
        self._move(request, queryset, services.restore_assistant, "restored")

    def _move(
        self,
        request: HttpRequest,
        queryset: QuerySet[Assistant],
        move: Callable[[Identity, UUID], Assistant],
        verb: str,
    ) -> None:
        for assistant in queryset:
            try:
                move(identity_in(request, assistant.workspace_id), assistant.id)
            except AppError as fault:
                self.message_user(request, f"{assistant.name}: {fault.detail}", messages.ERROR)
            else:
                self.message_user(request, f"{assistant.name}: {verb}.", messages.SUCCESS)
