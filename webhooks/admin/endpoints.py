"""Webhooks: where events of a workspace are sent, how that goes, and their secrets, shown once."""

from collections.abc import Collection
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.acting import Act, ServicedAdmin, ServicedForm
from accounts.bodies import DEFAULT_OVERLAP_S
from accounts.permissions import identity_in
from core.admin import badge, moment
from core.db import Operation, Query, operation
from core.validation import validate
from webhooks import services
from webhooks.admin.deliveries import host_and_path
from webhooks.bodies import ChangeWebhook, CreateWebhook
from webhooks.kinds import SUBSCRIBABLE
from webhooks.models import Endpoint

# Of an endpoint with more deliveries a day, the share is of the latest of them.
SAMPLE = 1_000

# What has not been tried yet says nothing. The clock is one that stands still, so that the index is read from there on.
_SHARES = """
SELECT e.id, count(*) AS tried, count(*) FILTER (WHERE d.status = 'delivered') AS arrived
FROM unnest(%(ids)s::uuid[]) e (id) CROSS JOIN LATERAL (
    SELECT status, attempt_count FROM webhook_deliveries WHERE endpoint_id = e.id
        AND created_at > now() - interval '24 hours'
    ORDER BY created_at DESC, id DESC LIMIT %(sample)s) d
WHERE d.attempt_count > 0 GROUP BY e.id
"""


@operation()
def _shares(ids: list[UUID]) -> Operation[dict[UUID, tuple[int, int]]]:
    """By endpoint, how many deliveries of the last 24 hours arrived, and how many were tried."""
    rows = yield Query(_SHARES, {"ids": ids, "sample": SAMPLE})
    return {row["id"]: (row["arrived"], row["tried"]) for row in rows}


class WebhookForm(ServicedForm):
    """A webhook's fields as people type them."""

    events = forms.MultipleChoiceField(
        choices=[(kind, kind) for kind in SUBSCRIBABLE], widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    header_lines = forms.CharField(
        label="Headers",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Sent with each delivery, one a line: name: value.",
    )
    delays = forms.CharField(
        label="Retries",
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="The seconds before each further attempt, separated by commas; empty: the server's.",
    )
    enabled = forms.BooleanField(required=False, initial=True, widget=UnfoldBooleanSwitchWidget())
    secret = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}),
        help_text="Its own signing secret, whsec_ and base64; empty: one is made, and shown once.",
    )
    places = {"headers": "header_lines", "retry_delays_s": "delays"}

    class Meta:
        model = Endpoint
        fields = ["workspace", "name", "url"]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        stored = self.instance
        if stored.url:
            self.initial["events"] = stored.events
            self.initial["header_lines"] = "\n".join(f"{name}: {value}" for name, value in stored.headers.items())
            self.initial["delays"] = ", ".join(map(str, stored.retry_delays_s or ()))
            self.initial["enabled"] = stored.enabled

    def clean_header_lines(self) -> dict[str, str]:
        lines = [line.partition(":") for line in self.cleaned_data["header_lines"].splitlines() if line.strip()]
        if not all(colon for _, colon, _ in lines):
            raise forms.ValidationError("Each line is name: value.")
        return {name.strip(): value.strip() for name, _, value in lines}

    def clean_delays(self) -> list[int] | None:
        texts = [text.strip() for text in self.cleaned_data["delays"].split(",") if text.strip()]
        if not all(text.isascii() and text.isdigit() and len(text) < 10 for text in texts):
            raise forms.ValidationError("Whole seconds, separated by commas.")
        return [int(text) for text in texts] or None

    def body(self) -> dict[str, Any]:
        """What was filled in, as the API takes it."""
        given = self.cleaned_data
        body = {name: given[name] for name in ("name", "url", "events", "enabled")}
        body |= {"headers": given["header_lines"], "retry_delays_s": given["delays"]}
        return body | ({"secret": given["secret"]} if given.get("secret") else {})


@admin.register(Endpoint)
class EndpointAdmin(ServicedAdmin):
    form = WebhookForm
    list_display = ("name", "state", "to", "told_of", "share", "last_success", "last_failure", "workspace")
    list_filter = ("enabled", "workspace")
    list_select_related = ("workspace",)
    search_fields = ("name", "url")
    search_help_text = "A part of the name or the address."
    ordering = ("-created_at", "-id")
    actions = ("enable", "disable", "test", "rotate")
    acts = (
        Act("test", "Send a test", "send"),
        Act("enable", "Switch on", "play_arrow", "primary"),
        Act("disable", "Switch off", "pause"),
        Act("rotate", "New secret", "autorenew"),
    )
    readonly_fields = ("state", "last_success_at", "last_failure_at", "deliveries", "created_by", "created_at")

    def get_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> tuple[str, ...]:
        typed = ("name", "url", "events", "header_lines", "delays", "enabled")
        if obj is None:
            return ("workspace", *typed, "secret")
        shown = typed if self.has_change_permission(request, obj) else ("name", "url", "events", "retry_delays_s")
        return ("workspace", *shown, *self.readonly_fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> tuple[str, ...]:
        return ("workspace", *self.readonly_fields) if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        rows: QuerySet[Endpoint] = super().get_queryset(request)
        return rows.defer("sealed_secret", "previous_secret")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list, whose rows know how their deliveries went: one statement for all of them."""
        found = super().get_changelist_instance(request)
        shares = _shares([row.pk for row in found.result_list]).run()
        for endpoint in found.result_list:
            endpoint.share = shares.get(endpoint.pk)
        return found

    def offered(self, row: Endpoint) -> Collection[str]:
        return ("test", "disable", "rotate") if row.enabled else ("test", "enable", "rotate")

    # -- what is shown -----------------------------------------------------------------------------------------------

    @admin.display(description="to", ordering="url")
    def to(self, endpoint: Endpoint) -> str:
        return host_and_path(endpoint.url)

    @admin.display(description="events")
    def told_of(self, endpoint: Endpoint) -> str:
        if set(endpoint.events) >= set(SUBSCRIBABLE):
            return "all"
        kinds = format_html_join(" ", "{}", ([badge(kind, "", "verbatim")] for kind in endpoint.events))
        return format_html("<div>{}</div>", kinds)

    @admin.display(description="state", ordering="enabled")
    def state(self, endpoint: Endpoint) -> str:
        if endpoint.enabled:
            return badge("on", "success", icon="check")
        if endpoint.disabled_reason:
            return format_html(
                "<div>{} {}</div>", badge("switched off", "danger", icon="close"), endpoint.disabled_reason
            )
        return badge("off", "warning", icon="pause")

    @admin.display(description="last success (UTC)", ordering="last_success_at")
    def last_success(self, endpoint: Endpoint) -> str:
        return moment(endpoint.last_success_at) if endpoint.last_success_at else "\N{EN DASH}"

    @admin.display(description="last failure (UTC)", ordering="last_failure_at")
    def last_failure(self, endpoint: Endpoint) -> str:
        return moment(endpoint.last_failure_at) if endpoint.last_failure_at else "\N{EN DASH}"

    @admin.display(description="arrived, 24 h")
    def share(self, endpoint: Endpoint) -> str:
        found: tuple[int, int] | None = vars(endpoint)["share"]
        if found is None:
            return "\N{EN DASH}"
        arrived, tried = found
        of = f"the last {tried:,}" if tried == SAMPLE else f"{tried:,}"
        # Rounded down: what is 100 % has no exception.
        return f"{100 * arrived // tried} % of {of}"

    @admin.display(description="deliveries")
    def deliveries(self, endpoint: Endpoint) -> str:
        address = reverse("admin:webhooks_delivery_changelist")
        return format_html('<a class="underline" href="{}?endpoint={}">What was sent there</a>', address, endpoint.pk)

    # -- what is done ------------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        body = cast("WebhookForm", form).body()
        if change:
            identity = identity_in(request, obj.workspace_id)
            services.change_endpoint(identity, obj.pk, validate(ChangeWebhook, body))
            return
        identity = identity_in(request, form.cleaned_data["workspace"].pk)
        stored, secret = services.create_endpoint(identity, validate(CreateWebhook, body))
        obj.pk, obj.name = stored.pk, stored.name
        self._show(request, f"{stored}: its signing secret", secret)

    def delete_model(self, request: HttpRequest, obj: Endpoint) -> None:
        services.delete_endpoint(identity_in(request, obj.workspace_id), obj.pk)

    @admin.action(description="Switch on", permissions=["operate"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Switch off", permissions=["operate"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, endpoints: QuerySet[Endpoint], *, enabled: bool) -> None:
        body = validate(ChangeWebhook, {"enabled": enabled})
        for endpoint in endpoints:
            services.change_endpoint(identity_in(request, endpoint.workspace_id), endpoint.pk, body)
            self.message_user(request, f"{endpoint}: switched {'on' if enabled else 'off'}.", messages.SUCCESS)

    @admin.action(description="Send a test", permissions=["operate"])
    def test(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        for endpoint in queryset:
            services.send_test(identity_in(request, endpoint.workspace_id), endpoint.pk)
            self.message_user(request, f"{endpoint}: a test is on its way.", messages.SUCCESS)

    @admin.action(description="New secret (the former one signs for another day)", permissions=["operate"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        for endpoint in queryset:
            identity = identity_in(request, endpoint.workspace_id)
            _, secret = services.rotate_secret(identity, endpoint.pk, DEFAULT_OVERLAP_S)
            self._show(request, f"{endpoint}: its new secret, beside which the former one signs for a day", secret)

    def _show(self, request: HttpRequest, what: str, secret: str) -> None:
        self.message_user(request, format_html("{}, shown this once: <code>{}</code>", what, secret), messages.WARNING)
