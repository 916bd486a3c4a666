"""How the pages write numbers; `static/js/format.js` writes the live ones the same way."""

from django import template

from core.spans import duration

register = template.Library()
register.filter(duration)

STATUS_OF_CALL = {"ok": "success", "rejected": "cancelled", "waiting": "interrupted"}


@register.filter
def milliseconds(value: float | None) -> str:
    """`duration` of milliseconds."""
    return duration(None if value is None else value / 1000)


@register.filter
def call_status(status: str) -> str:
    """The status whose colours and icon a tool call's outcome has."""
    return STATUS_OF_CALL.get(status, status)


@register.filter
def first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0]


@register.filter
def thousands(number: int) -> str:
    """`12,431`"""
    return f"{number:,}"
