"""The admin's sidebar: what belongs together stands together, whichever app it comes from."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

GROUPS = {
    "Agents": {"assistants.Assistant": "smart_toy"},
    "Conversations": {
        "agent_sessions.Session": "forum",
        "agent_sessions.Message": "chat",
        "agent_sessions.Checkpoint": "flag",
        "agent_sessions.SharedFile": "draft",
        "memory.StoreItem": "inventory_2",
    },
    "Execution": {"runs.Run": "play_circle", "runs.RunEvent": "list", "runs.Worker": "dns"},
    "Schedules and triggers": {
        "scheduling.Schedule": "calendar_clock",
        "scheduling.Firing": "history",
        "scheduling.Trigger": "bolt",
        "scheduling.TriggerCall": "call_received",
    },
    "Webhooks": {
        "webhooks.Endpoint": "webhook",
        "webhooks.Delivery": "outgoing_mail",
        "webhooks.Alert": "notifications_active",
    },
    "People and keys": {
        "accounts.Workspace": "domain",
        "accounts.User": "person",
        "accounts.Membership": "group",
        "accounts.ApiKey": "key",
        "accounts.Secret": "lock",
        "accounts.AuditEntry": "policy",
        "auth.Group": "shield_person",
    },
    "Beat": {
        "django_celery_beat.PeriodicTask": "task",
        "django_celery_beat.IntervalSchedule": "timelapse",
        "django_celery_beat.CrontabSchedule": "update",
        "django_celery_beat.ClockedSchedule": "alarm",
        "django_celery_beat.SolarSchedule": "sunny",
    },
}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Unfold's `SIDEBAR.navigation`, with what this person may see."""
    groups = [{"title": title, "separator": True, "items": _items(request, models)} for title, models in GROUPS.items()]
    return [group for group in groups if group["items"]]


def _items(request: HttpRequest, models: dict[str, str]) -> list[dict[str, Any]]:
    items = []
    for label, icon in models.items():
        model = apps.get_model(label)
        options = model._meta
        if admin.site._registry[model].has_view_permission(request):
            items.append(
                {
                    "title": str(options.verbose_name_plural).capitalize().replace("Api ", "API "),
                    "icon": icon,
                    "link": reverse(f"admin:{options.app_label}_{options.model_name}_changelist"),
                }
            )
    return items
