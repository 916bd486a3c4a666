"""The audit trail for operators."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from accounts.models import AuditEntry
from accounts.wall import ADMINS, WalledAdmin
from core.admin import badge, facts, moment, spoken
from core.ids import parse_id


class LatestValuesFilter(admin.SimpleListFilter):
    """By a column, with the values of the latest entries: all of them would be a question to the whole table."""

    parameter_name = ""
    latest = 1_000

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        values = (
            model_admin.get_queryset(request).order_by("-id").values_list(self.parameter_name, flat=True)[: self.latest]
        )
        return [(value, spoken(value)) for value in sorted(set(values))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class ActionFilter(LatestValuesFilter):
    title = parameter_name = "action"


class SubjectTypeFilter(LatestValuesFilter):
    title, parameter_name = "subject", "subject_type"


@admin.register(AuditEntry)
class AuditEntryAdmin(WalledAdmin):
    """Who did what to which object, and when."""

    lookers = actors = ADMINS
    list_display = ("at", "actor", "did", "subject", "told", "workspace")
    list_filter = (ActionFilter, SubjectTypeFilter, "workspace")
    list_select_related = ("workspace",)
    search_fields = ("actor",)
    search_help_text = "A part of the actor's name, or the whole id of what it was done to."
    # A UUIDv7 sorts by time, and its index is there.
    ordering = ("-id",)
    sortable_by = ()
    fields = readonly_fields = ("at", "actor", "did", "subject_type", "subject_id", "told", "workspace")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry], search_term: str
    ) -> tuple[QuerySet[AuditEntry], bool]:
        if subject := parse_id(search_term.strip().lower()):
            return queryset.filter(subject_id=subject), False
        found: tuple[QuerySet[AuditEntry], bool] = super().get_search_results(request, queryset, search_term)
        return found

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list, whose rows know their subjects that are still there: one statement for each kind of them."""
        found = super().get_changelist_instance(request)
        ids: dict[str, set[UUID]] = defaultdict(set)
        for entry in found.result_list:
            ids[entry.subject_type].add(entry.subject_id)
        subjects = {kind: _subjects(kind, ids[kind], request) for kind in ids}
        for entry in found.result_list:
            entry.found = subjects[entry.subject_type].get(entry.subject_id)
        return found

    @admin.display(description="when (UTC)")
    def at(self, entry: AuditEntry) -> str:
        return moment(entry.created_at)

    @admin.display(description="action")
    def did(self, entry: AuditEntry) -> str:
        return badge(spoken(entry.action))

    @admin.display(description="subject")
    def subject(self, entry: AuditEntry) -> str:
        if found := vars(entry)["found"]:
            return format_html('{} <a href="{}" class="underline">{}</a>', entry.subject_type, found[0], found[1])
        return f"{entry.subject_type} {entry.subject_id}"

    @admin.display(description="details")
    def told(self, entry: AuditEntry) -> str:
        return format_html_join("", "<div>{}: {}</div>", details_of(entry))


def details_of(entry: AuditEntry) -> list[tuple[str, str]]:
    """What the entry tells beside who, what and when; nulls tell nothing."""
    return [(spoken(key), text) for key, text in facts({k: v for k, v in entry.details.items() if v is not None})]


def _subjects(kind: str, ids: Collection[UUID], request: HttpRequest) -> dict[UUID, tuple[str, str]]:
    """Address and name of the objects of this kind that are there and that who asks may view."""
    for model, model_admin in admin.site._registry.items():
        if model._meta.model_name == kind.replace("_", "") and model_admin.has_view_permission(request):
            address = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
            rows = model_admin.get_queryset(request).in_bulk(ids)
            return {key: (reverse(address, args=[key]), str(row)) for key, row in rows.items()}
    return {}
