"""The store for operators: its documents are looked at, and deleted."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.permissions import identity_in
from accounts.wall import WalledAdmin
from core.admin import pretty
from memory.models import StoreItem
from memory.services import delete_item


@admin.register(StoreItem)
class StoreItemAdmin(WalledAdmin):
    list_display = ("name", "user_id", "ttl_minutes", "expires_at", "updated_at", "workspace")
    list_filter = ("workspace",)
    list_select_related = ("workspace",)
    # A UUIDv7 sorts by time, and its index is there.
    ordering = ("-id",)
    sortable_by = ()
    fields = (
        *("id", "workspace", "user_id", "namespace", "key", "shown", "ttl_minutes", "expires_at"),
        *("created_at", "updated_at"),
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[StoreItem]:
        # Lists show many at once, and a value may be large.
        rows: QuerySet[StoreItem] = super().get_queryset(request).defer("value")
        return rows

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_operate_permission(request, obj)

    def delete_model(self, request: HttpRequest, obj: StoreItem) -> None:
        delete_item(identity_in(request, obj.workspace_id), obj.pk).run()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[StoreItem]) -> None:
        for item in queryset:
            self.delete_model(request, item)

    @admin.display(description="name")
    def name(self, item: StoreItem) -> str:
        return f"{'.'.join(item.namespace)} / {item.key}"

    @admin.display(description="value")
    def shown(self, item: StoreItem) -> str:
        return pretty(item.value)
