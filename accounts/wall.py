"""The walls between workspaces in the admin: every admin class is one of the two bases that stand here.

`is_staff` opens the admin; what a staff person sees and does there is what their roles in workspaces allow. A superuser
sees everything. Django's own permissions and groups are not asked: they know no workspaces.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import FieldDoesNotExist
from django.db.models import ForeignKey, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase

from accounts.models import Role, Workspace
from accounts.permissions import roles_of, sees_everything
from core.admin import ReadOnlyAdmin
from core.errors import AppError

Roles = frozenset[Role]

# A member has the chat, and nothing to look for in the admin.
LOOKERS: Roles = frozenset({Role.OPERATOR, Role.EDITOR, Role.ADMIN})
EDITORS: Roles = frozenset({Role.EDITOR, Role.ADMIN})
ADMINS: Roles = frozenset({Role.ADMIN})


def reach(request: HttpRequest, roles: Roles) -> list[UUID]:
    """The workspaces where who asks has one of these roles; not to be asked for a superuser, who reaches all."""
    return [workspace for workspace, role in roles_of(request).items() if role in roles]


def workspaces_in_reach(request: HttpRequest, roles: Roles) -> QuerySet[Workspace]:
    """`reach` as rows, for a superuser too."""
    found = Workspace.objects.all()
    return found if sees_everything(request) else found.filter(id__in=reach(request, roles))


class ReachFilter(admin.RelatedFieldListFilter):
    """A filter by a related object, that offers no other than those which may be seen."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        seen = model_admin.related_rows(field.remote_field.model, request)
        ordering = self.field_admin_ordering(field, request, model_admin)
        return field.get_choices(
            include_blank=False, ordering=ordering, limit_choices_to={"pk__in": seen.order_by().values("pk")}
        )


class WalledAdmin(ReadOnlyAdmin):
    """Rows that belong to a workspace: shown to its `lookers`, acted on by its `actors`, for others not there.

    `workspace_path` is the lookup from a row to its workspace. What is not read-only says so by its own
    `has_*_permission`, made of `has_operate_permission`. Actions get the rows that who asks may act on.
    """

    workspace_path = "workspace"
    lookers = LOOKERS
    actors: Roles = EDITORS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self._within(request, super().get_queryset(request), self.lookers)

    def _within(self, request: HttpRequest, rows: QuerySet[Any], roles: Roles) -> QuerySet[Any]:
        if sees_everything(request):
            return rows
        return rows.filter(**{f"{self.workspace_path}__in": reach(request, roles)})

    # -- who may -----------------------------------------------------------------------------------------------------

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.lookers, obj)

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """For `@admin.action(permissions=["operate"])`: whether who asks may act on the row, or on any."""
        return self._may(request, self.actors, obj)

    def _may(self, request: HttpRequest, roles: Roles, row: Any) -> bool:
        if sees_everything(request):
            return True
        found = reach(request, roles)
        return bool(found) if row is None else self.workspace_of(row) in found

    def workspace_of(self, row: Any) -> UUID:
        """The workspace that the row belongs to."""
        *way, last = self.workspace_path.split("__")
        for step in way:
            row = getattr(row, step)
        found: UUID = getattr(row, f"{last}_id")
        return found

    # -- what can be reached -----------------------------------------------------------------------------------------

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row. Django leads on from one that is not there; here it is not found, like a stranger's."""
        found = super().get_object(request, object_id, from_field)
        if found is None:
            raise Http404
        return found

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [(item, ReachFilter) if self._is_reference(item) else item for item in super().get_list_filter(request)]

    def _is_reference(self, item: Any) -> bool:
        try:
            return isinstance(item, str) and isinstance(self.opts.get_field(item), ForeignKey)
        except FieldDoesNotExist:
            return False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", self.related_rows(db_field.remote_field.model, request, self.actors))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def related_rows(self, model: type[Model], request: HttpRequest, roles: Roles | None = None) -> QuerySet[Any]:
        """What of a model may be chosen: workspaces where one has such a role, else what its own admin shows."""
        if model is Workspace:
            return workspaces_in_reach(request, roles or self.lookers)
        found = self.admin_site._registry.get(model)
        if found is not None and found.has_view_permission(request):
            rows: QuerySet[Any] = found.get_queryset(request)
            return rows
        return model._default_manager.none()

    # -- what the services refuse ------------------------------------------------------------------------------------

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self._told(super().changeform_view, request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self._told(super().delete_view, request, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self._told(super().changelist_view, request, *args, **kwargs)

    def _told(self, view: Callable[..., Any], request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The view; what a service refuses is said on the page that one came from."""
        try:
            response: HttpResponseBase = view(request, *args, **kwargs)
        except AppError as fault:
            if request.method != "POST":
                raise
            self.message_user(request, fault.detail, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return response

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        """Carry an action out on those rows that who asks may act on; the list shows more of them."""
        allowed = self._within(request, queryset, self.actors)
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if not sees_everything(request) and allowed.filter(pk__in=chosen).count() < len(set(chosen)):
            self.message_user(request, "Your role does not allow this for all of these.", messages.WARNING)
        response: HttpResponseBase | None = super().response_action(request, allowed)
        return response


class ServerAdmin(admin.ModelAdmin[Any]):
    """What belongs to the whole server, which the workspaces share: for superusers. It stands before another base."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return sees_everything(request) and bool(super().has_module_permission(request))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return sees_everything(request) and bool(super().has_view_permission(request, obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return sees_everything(request) and bool(super().has_add_permission(request))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return sees_everything(request) and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return sees_everything(request) and bool(super().has_delete_permission(request, obj))
