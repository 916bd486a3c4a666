"""API keys and secrets for operators."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextInputWidget,
)

from accounts import services
from accounts.admin.limits import LimitFields
from accounts.identity import SCOPES
from accounts.models import ApiKey, Secret
from accounts.permissions import identity_in
from accounts.wall import ADMINS, WalledAdmin
from core.errors import Invalid


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
