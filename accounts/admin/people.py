"""Workspaces, people, and who belongs to which workspace, for operators."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.contrib.postgres.forms import SimpleArrayField
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts import members, services
from accounts.admin.limits import LimitFields, limit_fieldset
from accounts.alert_emails import MOST_ADDRESSES, set_alert_emails
from accounts.models import Membership, User, Workspace
from accounts.permissions import identity_in
from accounts.wall import ADMINS, ServerAdmin, WalledAdmin
from core.admin import ReadOnlyInline

admin.site.unregister(Group)


class MembershipInline(ReadOnlyInline):
    """Who belongs where; roles are given and taken on the membership's own page."""

    model = Membership
    fields = readonly_fields = ("user", "workspace", "role", "created_at")


class WorkspaceForm(LimitFields, forms.ModelForm[Workspace]):
    """A workspace with a number for each of its limits, and whom its alerts are mailed to."""

    alert_emails = SimpleArrayField(
        forms.EmailField(),
        required=False,
        max_length=MOST_ADDRESSES,
        widget=UnfoldAdminTextInputWidget,
        help_text="Addresses that its alerts are mailed to, separated by commas.",
    )

    class Meta:
        model = Workspace
        fields = ["name", "slug", "alert_emails"]


@admin.register(Workspace)
class WorkspaceAdmin(ServerAdmin, ModelAdmin):
    list_display = ("name", "slug", "created_at")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}
    readonly_fields = ("created_at",)
    inlines = (MembershipInline,)

    def get_form(self, request: HttpRequest, obj: Workspace | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            kwargs["form"] = WorkspaceForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Workspace | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("name", "slug", "created_at")})]
        return [(None, {"fields": ("name", "slug", "alert_emails", "created_at")}), limit_fieldset()]

    def save_model(self, request: HttpRequest, obj: Workspace, form: Any, change: bool) -> None:
        if not isinstance(form, WorkspaceForm):
            actor = f"user:{request.user.get_username()}"
            obj.pk = services.create_workspace(obj.name, obj.slug, actor=actor, login_id=request.user.pk).pk
            return
        identity = identity_in(request, obj.id)
        services.rename_workspace(identity, obj.name, obj.slug)
        services.limit_workspace(identity, form.limits())
        set_alert_emails(identity, form.cleaned_data["alert_emails"])

    def has_delete_permission(self, request: HttpRequest, obj: Workspace | None = None) -> bool:
        # Everything in it would go at once, runs under way included.
        return False


@admin.register(User)
class UserAdmin(ServerAdmin, DjangoUserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    inlines = (MembershipInline,)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()


@admin.register(Group)
class GroupAdmin(ServerAdmin, DjangoGroupAdmin, ModelAdmin):
    """Permissions within the admin; what the API allows is a membership's role."""


class NewMemberForm(forms.ModelForm[Membership]):
    """A person by name, and what they may do."""

    username = forms.CharField(
        max_length=150,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off", "autocapitalize": "off"}),
        help_text="Whoever nobody on this server knows by this name is made, and gets a link to choose a password.",
    )

    class Meta:
        model = Membership
        fields = ["workspace", "role"]


@admin.register(Membership)
class MembershipAdmin(WalledAdmin):
    """Who belongs to which workspace, as what. All of it is done by the services, which keep the last admin."""

    lookers = actors = ADMINS
    list_display = ("user", "workspace", "role", "created_by", "created_at")
    list_filter = ("role", "workspace")
    list_select_related = ("user", "workspace")
    search_fields = ("user__username",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_operate_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        return self.has_operate_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        return self.has_operate_permission(request, obj)

    def get_form(self, request: HttpRequest, obj: Membership | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewMemberForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Membership | None = None) -> tuple[str, ...]:
        return ("workspace", "user", "role", "created_by", "created_at") if obj else ("workspace", "username", "role")

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> tuple[str, ...]:
        return ("workspace", "user", "created_by", "created_at") if obj else ()

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        identity = identity_in(request, obj.workspace.pk)
        if change:
            members.change_role(identity, obj.pk, obj.role)
            return
        stored, invitation = members.add_member(identity, form.cleaned_data["username"], obj.role)
        obj.pk, obj.user = stored.pk, stored.user
        if invitation:
            link = request.build_absolute_uri(invitation)
            self.message_user(request, format_html("Send them this link, shown this once: {}", link), messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        members.remove_member(identity_in(request, obj.workspace.pk), obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for member in queryset:
            self.delete_model(request, member)
