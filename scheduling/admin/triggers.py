"""Triggers: where other systems start runs, and who called."""

from collections.abc import Collection
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.acting import Act, ServicedAdmin, ServicedForm
from accounts.admin.audit import details_of
from accounts.audit import entries_of
from accounts.permissions import identity_in
from accounts.wall import WalledAdmin
from core.admin import badge, moment, spoken
from core.ids import new_id
from core.validation import validate
from scheduling import triggers
from scheduling.admin.marks import status_badge
from scheduling.admin.schedules import version_policy
from scheduling.models import Trigger, TriggerCall
from scheduling.trigger_bodies import ChangeTrigger, CreateTrigger, RotateTrigger
from sessions.admin import FoundById

CALLS, CHANGES = 50, 20


class TriggerForm(ServicedForm):
    """A trigger's fields. How callers prove themselves is said once."""

    secret = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}),
        help_text="What the sender signs with; empty: one is made, and shown once.",
    )
    proof = ("verification", "signature_header", "secret")

    class Meta:
        model = Trigger
        fields = [
            "assistant",
            "name",
            "version",
            "tag",
            "session_id",
            "user_id",
            "enabled",
            "verification",
            "signature_header",
        ]
        labels = {
            "session_id": "Session",
            "user_id": "User",
            "version": "Version (fixed)",
            "tag": "Version (tag)",
            "signature_header": "Header of the signature",
        }
        help_texts = {
            "version": "Without one, and without a tag, each run takes the current version.",
            "verification": "The three headers of Standard Webhooks, or one header with the HMAC, as GitHub sends it.",
        }

    def body(self, names: list[str]) -> dict[str, Any]:
        """These fields as the API takes them."""
        given = self.cleaned_data
        body: dict[str, Any] = {name: None if given[name] == "" else given[name] for name in names}
        body.pop("assistant", None)
        if body.get("session_id"):
            body["session_id"] = str(body["session_id"])
        if body.get("verification") != "sha256":
            # What the form holds there by itself.
            body.pop("signature_header", None)
        return body


@admin.register(Trigger)
class TriggerAdmin(ServicedAdmin):
    form = TriggerForm
    list_display = ("name", "state", "who", "verification", "last_call", "workspace")
    list_filter = ("enabled", "verification", "workspace")
    list_select_related = ("workspace", "assistant")
    search_fields = ("name",)
    search_help_text = "A part of the name."
    ordering = ("-created_at", "-id")
    autocomplete_fields = ("assistant",)
    change_form_after_template = "admin/scheduling/trigger.html"
    actions = ("enable", "disable", "rotate")
    acts = (
        Act("enable", "Switch on", "play_arrow", "primary"),
        Act("disable", "Switch off", "pause", effect="Calls are answered as those of no trigger."),
        Act("rotate", "New secret", "autorenew", effect="The former one is taken for a day more."),
    )
    readonly_fields = ("state", "address", "last_call", "created_by", "created_at")

    def get_fields(self, request: HttpRequest, obj: Trigger | None = None) -> tuple[str, ...]:
        target = ("version", "tag", "session_id", "user_id")
        if obj is None:
            return ("assistant", "name", *target, "enabled", *TriggerForm.proof)
        proof = TriggerForm.proof[:2] if obj.verification == "sha256" else TriggerForm.proof[:1]
        return ("assistant", "name", "state", "address", *proof, *target, *self.readonly_fields[2:])

    def get_readonly_fields(self, request: HttpRequest, obj: Trigger | None = None) -> tuple[str, ...]:
        return ("assistant", *TriggerForm.proof[:2], *self.readonly_fields) if obj else self.readonly_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trigger]:
        rows: QuerySet[Trigger] = super().get_queryset(request)
        return rows.defer("sealed_secret", "previous_secret")

    def offered(self, row: Trigger) -> Collection[str]:
        return ("disable", "rotate") if row.enabled else ("enable", "rotate")

    # -- what is shown -----------------------------------------------------------------------------------------------

    @admin.display(description="state", ordering="enabled")
    def state(self, trigger: Trigger) -> str:
        return badge("on", "success", icon="check") if trigger.enabled else badge("off", "warning", icon="pause")

    @admin.display(description="assistant", ordering="assistant__name")
    def who(self, trigger: Trigger) -> str:
        return format_html("<div>{} {}</div>", trigger.assistant, badge(version_policy(trigger), "info", "verbatim"))

    @admin.display(description="last call (UTC)", ordering="last_called_at")
    def last_call(self, trigger: Trigger) -> str:
        return moment(trigger.last_called_at) if trigger.last_called_at else "\N{EN DASH}"

    @admin.display(description="address")
    def address(self, trigger: Trigger) -> str:
        return format_html('<code class="wrap">POST /triggers/{}</code>', trigger.token)

    def told(self, request: HttpRequest, row: Trigger) -> dict[str, Any]:
        calls = TriggerCall.objects.filter(trigger=row).order_by("-created_at", "-id")[:CALLS]
        identity = identity_in(request, row.workspace_id)
        entries = entries_of(identity, "trigger", row.pk).order_by("-created_at", "-id")[:CHANGES]
        return {
            "calls": [(call, status_badge(call.outcome)) for call in calls],
            "most": CALLS,
            "all_calls": f"{reverse('admin:scheduling_triggercall_changelist')}?q={row.pk}",
            "entries": [(entry, spoken(entry.action), details_of(entry)) for entry in entries],
        }

    # -- what is done ------------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Trigger, form: Any, change: bool) -> None:
        typed = cast("TriggerForm", form)
        if change:
            if typed.changed_data:
                changes = validate(ChangeTrigger, typed.body(typed.changed_data))
                triggers.change_trigger(identity_in(request, obj.workspace_id), obj.pk, changes)
            return
        assistant = typed.cleaned_data["assistant"]
        filled = [name for name, value in typed.cleaned_data.items() if value not in (None, "")]
        body = validate(CreateTrigger, typed.body(filled))
        identity = identity_in(request, assistant.workspace_id)
        stored, secret = triggers.create_trigger(identity, assistant.pk, body, new_id())
        obj.pk, obj.name = stored.pk, stored.name
        self._show(request, f"{stored}: its secret", secret)

    def delete_model(self, request: HttpRequest, obj: Trigger) -> None:
        triggers.delete_trigger(identity_in(request, obj.workspace_id), obj.pk)

    @admin.action(description="Switch on", permissions=["operate"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Trigger]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Switch off", permissions=["operate"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Trigger]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, found: QuerySet[Trigger], *, enabled: bool) -> None:
        body = validate(ChangeTrigger, {"enabled": enabled})
        for trigger in found:
            triggers.change_trigger(identity_in(request, trigger.workspace_id), trigger.pk, body)
            self.message_user(request, f"{trigger}: switched {'on' if enabled else 'off'}.", messages.SUCCESS)

    @admin.action(description="New secret (the former one is taken for another day)", permissions=["operate"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[Trigger]) -> None:
        for trigger in queryset:
            identity = identity_in(request, trigger.workspace_id)
            _, secret = triggers.rotate_trigger(identity, trigger.pk, validate(RotateTrigger, {}))
            self._show(request, f"{trigger}: its new secret, beside which the former one is taken for a day", secret)

    def _show(self, request: HttpRequest, what: str, secret: str) -> None:
        self.message_user(request, format_html("{}, shown this once: <code>{}</code>", what, secret), messages.WARNING)


@admin.register(TriggerCall)
class TriggerCallAdmin(FoundById, WalledAdmin):
    """Who proved themselves, and what came of it."""

    workspace_path = "trigger__workspace"
    found_by = ("id", "trigger_id", "run_id")
    search_help_text = "A whole id: its own, or of its trigger or run."
    list_display = ("at", "of", "came_of_it", "reason", "delivery_id", "run")
    list_display_links = ("at",)
    list_filter = ("outcome",)
    list_select_related = ("trigger",)
    fields = readonly_fields = ("at", "of", "came_of_it", "reason", "delivery_id", "run")

    @admin.display(description="when (UTC)")
    def at(self, call: TriggerCall) -> str:
        return moment(call.created_at)

    @admin.display(description="trigger")
    def of(self, call: TriggerCall) -> str:
        address = reverse("admin:scheduling_trigger_change", args=[call.trigger_id])
        return format_html('<a class="underline" href="{}">{}</a>', address, call.trigger)

    @admin.display(description="outcome")
    def came_of_it(self, call: TriggerCall) -> str:
        return status_badge(call.outcome)

    @admin.display(description="run")
    def run(self, call: TriggerCall) -> str:
        if call.run_id is None:
            return "\N{EN DASH}"
        address = reverse("admin:runs_run_change", args=[call.run_id])
        return format_html('<a class="underline" href="{}">{}</a>', address, str(call.run_id)[-8:])
