"""What is wrong, at the top of the admin's pages."""

from typing import Any

from django import template
from django.contrib import admin
from django.template.context import Context

from webhooks.models import Alert
from webhooks.notices import NONE, Notices, notices

register = template.Library()


@register.simple_tag(takes_context=True)
def open_alerts(context: Context) -> Notices:
    """The open alerts that who asks may see in the admin."""
    request: Any = context.get("request")
    alerts: Any = admin.site._registry[Alert]
    if request is None or not alerts.has_view_permission(request):
        return NONE
    return notices(alerts.get_queryset(request))
