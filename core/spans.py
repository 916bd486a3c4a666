"""How long something takes, and how long ago it was, in words."""


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


def about(seconds: float) -> str:
    """A stretch of time in its largest unit, rounded down: `40 s`, `6 min`, `3 h`, `12 days`."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length * (2 if unit == "days" else 1):
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"
