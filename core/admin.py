"""Bases for the admin: the operator's console, where state is looked at and actions call services."""

import json
from datetime import datetime
from functools import cached_property
from typing import Any, cast

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline

# What lies further down is found by filters; counting or skipping a million rows for a page would take a second.
MAX_ROWS = 10_000


def pretty(document: Any) -> str:
    """A JSON document to be read by people."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return format_html('<pre style="white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>', text)


def badge(text: str, colour: str = "", look: str = "", icon: str = "") -> str:
    """A short word that stands out; `colour` is success, info, warning, danger or none, `look` a class of CSS."""
    shown = {"text": text, "variant": colour, "class": look, "icon": icon}
    label: str = render_to_string("unfold/helpers/label.html", shown)
    return label


def moment(at: datetime) -> str:
    """A moment to the second, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def facts(document: dict[str, Any]) -> list[tuple[str, str]]:
    """The members of a flat JSON object as texts; of others, what is nested stays JSON."""
    return [(key, _told(value)) for key, value in document.items()]


def spoken(name: str) -> str:
    """`rolled_back` as people write it."""
    return name.replace("_", " ")


def _told(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


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

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        found = super().get_changelist_instance(request)
        if not found.query and not found.has_active_filters:
            # Else Unfold offers to show all, though all are shown.
            found.full_result_count = found.result_count
        return found


class ReadOnlyAdmin(BigTableAdmin):
    """State that only the server writes. Actions may still be offered: they are services."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyInline(TabularInline):
    """Rows that belong to the one shown."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Who may see the row that they belong to has been asked for that one.
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
