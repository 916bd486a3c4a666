"""Time is PostgreSQL's: every stored moment comes from `clock_timestamp()`."""

from datetime import UTC, datetime

from django.db.models import DateTimeField, Func


class ClockTimestamp(Func):
    """`clock_timestamp()`: the moment of the statement, also inside a long transaction."""

    template = "clock_timestamp()"
    arity = 0
    output_field = DateTimeField()


def isoformat(moment: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SS.ffffffZ`, always six digits, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
