"""Bases for the admin: the operator's console, where state is looked at and actions call services."""

import json
from functools import cached_property
from typing import Any, cast

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline

# What lies further down is found by filters; counting or skipping a million rows for a page would take a second.
MAX_ROWS = 10_000


def pretty(document: Any) -> str:
    """A JSON document to be read by people."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return format_html('<pre style="white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>', text)


class CappedPaginator(Paginator[Any]):
    """Counts and reaches the first 10,000 rows only."""

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return min(rows.order_by().values("pk")[: MAX_ROWS + 1].count(), MAX_ROWS)


class BigTableAdmin(ModelAdmin):
    """For tables that grow without end."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50


class ReadOnlyAdmin(BigTableAdmin):
    """State that only the server writes. Actions may still be offered: they are services."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """For `@admin.action(permissions=["operate"])`: who could change the rows, were they not read-only."""
        allowed: bool = super().has_change_permission(request)
        return allowed


class ReadOnlyInline(TabularInline):
    """Rows that belong to the one shown."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
