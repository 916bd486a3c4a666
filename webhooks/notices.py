"""Open alerts as one line each: at the top of the admin's pages and of the console's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, QuerySet, Window
from django.urls import reverse

from core.ids import parse_id
from webhooks.kinds import Kind
from webhooks.models import Alert

SHOWN = 3


@dataclass(frozen=True, slots=True)
class Notice:
    """What is wrong, where, and the admin's page about it."""

    message: str
    workspace: str
    address: str


@dataclass(frozen=True, slots=True)
class Notices:
    """The latest of the open alerts, and how many there are beside them."""

    latest: Sequence[Notice]
    more: int

    def __bool__(self) -> bool:
        return bool(self.latest)


NONE = Notices((), 0)


def notices(alerts: QuerySet[Alert]) -> Notices:
    """Those of the alerts that are open. One statement, over the index of the open ones."""
    found = alerts.filter(resolved_at=None).select_related("workspace").order_by("-opened_at", "-id")
    rows: list[Any] = list(found.annotate(open=Window(Count("*")))[:SHOWN])
    latest = [Notice(row.message, row.workspace.name if row.workspace else "", address_of(row)) for row in rows]
    return Notices(latest, rows[0].open - len(rows)) if rows else NONE


def address_of(alert: Alert) -> str:
    """The admin's page about what the alert is about; its own where that has none for everybody."""
    if alert.kind == Kind.SCHEDULE_FAILED and (schedule_id := parse_id(alert.subject)):
        return reverse("admin:scheduling_schedule_change", args=[schedule_id])
    if alert.kind == Kind.DELIVERY_DEAD:
        return f"{reverse('admin:webhooks_delivery_changelist')}?{urlencode({'q': alert.subject})}"
    if alert.kind == Kind.QUEUE_STUCK:
        pending = {"status__exact": "pending", "workspace__id__exact": alert.workspace_id}
        return f"{reverse('admin:runs_run_changelist')}?{urlencode(pending)}"
    return reverse("admin:webhooks_alert_change", args=[alert.pk])
