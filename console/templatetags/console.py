"""How the pages write numbers; `static/js/format.js` writes the live ones the same way."""

from django import template

register = template.Library()

STATUS_OF_CALL = {"ok": "success", "rejected": "cancelled", "waiting": "interrupted"}


@register.filter
def duration(seconds: float | None) -> str:
    """`420 ms`, `4.2 s`, `3 min 12 s`, `2 h 05 min`; a dash for what is not known."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 0.001:
        return "< 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


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
