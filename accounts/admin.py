"""Workspaces, people and keys for operators."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.contrib.postgres.forms import SimpleArrayField
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextInputWidget,
)

from accounts import members, services
from accounts.admin_limits import LimitFields, limit_fieldset
from accounts.alert_emails import MOST_ADDRESSES, set_alert_emails
from accounts.identity import SCOPES
from accounts.models import ApiKey, AuditEntry, Membership, Secret, User, Workspace
from accounts.permissions import identity_in
from accounts.wall import ADMINS, ServerAdmin, WalledAdmin
from core.admin import ReadOnlyInline, badge, facts, moment, spoken
from core.errors import Invalid
from core.ids import parse_id

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


class NewApiKeyForm(LimitFields, forms.ModelForm[ApiKey]):
    """A new key; the server makes its text."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in sorted(SCOPES)], widget=UnfoldAdminCheckboxSelectMultipleWidget
    )

    class Meta:
        model = ApiKey
        fields = ["workspace", "name", "scopes", "user_id", "expires_at"]


@admin.register(ApiKey)
class ApiKeyAdmin(WalledAdmin):
    """A key is made and revoked here, and shown once; nothing of it is changed."""

    lookers = actors = ADMINS

    list_display = ("name", "prefix", "workspace", "scopes", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_filter = ("workspace",)
    list_select_related = ("workspace",)
    search_fields = ("name", "prefix")
    exclude = ("digest",)
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_operate_permission(request)

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewApiKeyForm
        return super().get_form(request, obj, change, **kwargs)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        identity = identity_in(request, obj.workspace.id)
        stored, key = services.grant_api_key(
            identity,
            obj.name,
            obj.scopes,
            user_id=obj.user_id or None,
            expires_at=obj.expires_at,
            limits=form.limits(),
        )
        obj.pk, obj.prefix = stored.pk, stored.prefix
        shown_once = format_html("The key, shown this once: <code>{}</code>", key)
        self.message_user(request, shown_once, messages.WARNING)

    @admin.action(description="Revoke", permissions=["operate"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            services.revoke_api_key(identity_in(request, key.workspace_id), key.id)
        self.message_user(request, "Revoked. Requests with these keys are refused from now on.")


class SecretForm(forms.ModelForm[Secret]):
    """A secret's value is typed in and never shown; its hosts change with it only."""

    value = forms.CharField(widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}), strip=False)
    hosts = forms.CharField(
        widget=UnfoldAdminTextInputWidget(),
        help_text="Where it may be sent, as host or host:port, separated by commas. "
        "Whoever changes this gives the value again.",
    )

    class Meta:
        model = Secret
        fields = ["workspace", "name"]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.instance.hosts:
            self.initial["hosts"] = ", ".join(self.instance.hosts)

    def clean_hosts(self) -> list[str]:
        return [host.strip() for host in self.cleaned_data["hosts"].split(",") if host.strip()]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        name = given.get("name") or self.instance.name
        if {"value", "hosts"} <= given.keys():
            try:
                services.check_secret(name, given["value"], given["hosts"])
            except Invalid as fault:
                raise forms.ValidationError(fault.detail) from None
        return given


@admin.register(Secret)
class SecretAdmin(WalledAdmin):
    """Values that assistants use by name. What is kept cannot be read here, only replaced or deleted."""

    lookers = actors = ADMINS
    form = SecretForm
    list_display = ("name", "workspace", "hosts", "created_by", "created_at", "updated_at")
    list_filter = ("workspace",)
    list_select_related = ("workspace",)
    search_fields = ("name",)
    fields = ("workspace", "name", "value", "hosts")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_operate_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Secret | None = None) -> bool:
        return self.has_operate_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Secret | None = None) -> bool:
        return self.has_operate_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Secret | None = None) -> tuple[str, ...]:
        return ("workspace", "name") if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Secret]:
        rows: QuerySet[Secret] = super().get_queryset(request)
        return rows.defer("ciphertext")

    def save_model(self, request: HttpRequest, obj: Secret, form: Any, change: bool) -> None:
        given, identity = form.cleaned_data, identity_in(request, obj.workspace_id)
        stored, _ = services.put_secret(identity, obj.name, given["value"], given["hosts"])
        obj.pk = stored.pk

    def delete_model(self, request: HttpRequest, obj: Secret) -> None:
        services.delete_secret(identity_in(request, obj.workspace_id), obj.name)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Secret]) -> None:
        for secret in queryset:
            self.delete_model(request, secret)


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
