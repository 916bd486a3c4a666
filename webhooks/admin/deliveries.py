"""What was sent, to whom, and what came back. Nothing of it is rendered: answers are strangers' words."""

import json
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from accounts.acting import Act, ActingAdmin
from accounts.models import Workspace
from accounts.permissions import identity_in, sees_everything
from accounts.wall import LOOKERS
from core.admin import badge, moment, pretty
from core.clock import ClockTimestamp
from core.ids import parse_id
from core.spans import about, duration
from webhooks import services
from webhooks.kinds import Kind
from webhooks.models import Attempt, Delivery, DeliveryStatus, Endpoint

ATTEMPTS = 50
COLOURS = {DeliveryStatus.DELIVERED: "success", DeliveryStatus.DEAD: "danger", DeliveryStatus.CANCELLED: ""}
ICONS = {
    DeliveryStatus.PENDING: "schedule",
    DeliveryStatus.DELIVERED: "check",
    DeliveryStatus.DEAD: "close",
    DeliveryStatus.CANCELLED: "block",
}
# The longest reason that a list shows.
WORDS = 60


def outcome(status: str, status_code: int | None, error: str) -> str:
    """What came of it, in a word or two: the answer's status, or why there was none."""
    if status == DeliveryStatus.CANCELLED:
        return "cancelled"
    if status_code is not None:
        return str(status_code)
    if error:
        return error if len(error) <= WORDS else f"{error[: WORDS - 1]}…"
    return "not sent yet"


def host_and_path(url: str) -> str:
    """Where an address leads, without its query, in which a receiver's tokens stand."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}"


class KindFilter(admin.SimpleListFilter):
    """By what is told. The kinds are known: the table is not asked for them."""

    title, parameter_name = "event", "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(kind), str(kind)) for kind in Kind]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class EndpointFilter(admin.SimpleListFilter):
    """By one of the webhooks that who asks may see."""

    title, parameter_name = "webhook", "endpoint"
    most = 200

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        seen = model_admin.related_rows(Endpoint, request).order_by("name", "id")
        return [(str(pk), name) for pk, name in seen.values_list("pk", "name")[: self.most]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        if not self.value():
            return queryset
        wanted = parse_id(str(self.value()))
        return queryset.filter(endpoint_id=wanted) if wanted else queryset.none()


@admin.register(Delivery)
class DeliveryAdmin(ActingAdmin):
    """The log. An operator looks; who may change webhooks sends again."""

    lookers = LOOKERS
    list_display = ("at", "kind", "to", "came_back", "attempts_made", "took", "next_try")
    list_display_links = ("at",)
    list_filter = ("status", KindFilter, EndpointFilter, "workspace")
    search_fields = ("id",)
    search_help_text = "A whole id: of the delivery, its event (webhook-id) or its webhook."
    # An event's id is a UUIDv7, which sorts by time; a delivery's is none.
    ordering = ("-event_id", "-id")
    sortable_by = ()
    list_before_template = "admin/webhooks/kept_for.html"
    change_form_after_template = "admin/webhooks/attempts.html"
    actions = ("redeliver",)
    acts = (Act("redeliver", "Send again", "send"),)
    fields = readonly_fields = (
        "came_back",
        "kind",
        "url",
        "endpoint_name",
        "event_id",
        "run_id",
        "workspace",
        "attempts_made",
        "next_try",
        "last_error",
        "secret_env",
        "created_at",
        "finished_at",
        "body",
    )

    @property
    def kept_days(self) -> int:
        """After so many days they are deleted."""
        days: int = settings.WEBHOOK_LOG_DAYS
        return days

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        last = Attempt.objects.filter(delivery=OuterRef("pk")).order_by("-number")
        rows: QuerySet[Delivery] = super().get_queryset(request)
        if sees_everything(request):
            # The indexes begin with the workspace.
            rows = rows.filter(workspace__in=list(Workspace.objects.values_list("pk", flat=True)))
        return rows.annotate(now=ClockTimestamp(), took_ms=Subquery(last.values("duration_ms")[:1]))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        if not search_term.strip():
            return queryset, False
        wanted = parse_id(search_term.strip().lower())
        if wanted is None:
            return queryset.none(), False
        # One after the other: each has an index of its own.
        for name in ("id", "event_id", "endpoint_id"):
            found = queryset.filter(**{name: wanted})
            if found.exists():
                return found, False
        return queryset.none(), False

    @admin.display(description="when (UTC)")
    def at(self, delivery: Delivery) -> str:
        return moment(delivery.created_at)

    @admin.display(description="to")
    def to(self, delivery: Delivery) -> str:
        return host_and_path(delivery.url)

    @admin.display(description="outcome")
    def came_back(self, delivery: Delivery) -> str:
        status = DeliveryStatus(delivery.status)
        failing = status == DeliveryStatus.PENDING and delivery.attempt_count > 0
        text = outcome(status, delivery.last_status_code, delivery.last_error)
        return badge(text, "warning" if failing else COLOURS.get(status, "info"), "verbatim", ICONS[status])

    @admin.display(description="attempt")
    def attempts_made(self, delivery: Delivery) -> str:
        return f"{delivery.attempt_count} of {delivery.max_attempts}"

    @admin.display(description="took")
    def took(self, delivery: Delivery) -> str:
        ms = vars(delivery)["took_ms"]
        return duration(None if ms is None else ms / 1000)

    @admin.display(description="next try")
    def next_try(self, delivery: Delivery) -> str:
        if delivery.status != DeliveryStatus.PENDING or delivery.next_attempt_at is None:
            return "\N{EN DASH}"
        wait = (delivery.next_attempt_at - vars(delivery)["now"]).total_seconds()
        return f"in {about(wait)}" if wait >= 1 else "now"

    @admin.display(description="webhook")
    def endpoint_name(self, delivery: Delivery) -> str:
        if delivery.endpoint_id is None:
            return "the run's own"
        found = Endpoint.objects.filter(pk=delivery.endpoint_id).first()
        if found is None:
            return "deleted"
        return format_html('<a class="underline" href="{}">{}</a>', _page("endpoint", found.pk), found)

    @admin.display(description="run")
    def run_id(self, delivery: Delivery) -> str:
        run = delivery.event.run_id
        if run is None:
            return "\N{EN DASH}"
        return format_html('<a class="underline" href="{}">{}</a>', reverse("admin:runs_run_change", args=[run]), run)

    @admin.display(description="body")
    def body(self, delivery: Delivery) -> str:
        """What is sent; before the first attempt that is not made yet, and this is what it is made of."""
        event = delivery.event
        return pretty(_document(event.body) if event.body is not None else event.data)

    def offered(self, row: Delivery) -> list[str]:
        return [] if row.status == DeliveryStatus.CANCELLED else ["redeliver"]

    def told(self, request: HttpRequest, row: Delivery) -> dict[str, Any]:
        attempts = list(row.attempts.order_by("-number")[:ATTEMPTS])
        return {"attempts": [(attempt, _shown(attempt)) for attempt in attempts], "shown": ATTEMPTS}

    @admin.action(description="Send again", permissions=["operate"])
    def redeliver(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        for delivery in queryset:
            services.redeliver(identity_in(request, delivery.workspace_id), delivery.pk)
            self.message_user(request, f"{delivery}: sent again, with the same webhook-id.", messages.SUCCESS)


def _page(model: str, pk: UUID) -> str:
    return reverse(f"admin:webhooks_{model}_change", args=[pk])


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _shown(attempt: Attempt) -> dict[str, Any]:
    ok = attempt.status_code is not None and 200 <= attempt.status_code < 300
    return {
        "at": moment(attempt.started_at),
        "outcome": outcome(DeliveryStatus.PENDING, attempt.status_code, attempt.error),
        "colour": "success" if ok else "danger",
        "icon": "check" if ok else "close",
        "took": duration(attempt.duration_ms / 1000),
        "sent": _headers(attempt.request_headers),
        "answered": _headers(attempt.response_headers),
        "answer": attempt.response_body,
    }


def _headers(headers: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())
