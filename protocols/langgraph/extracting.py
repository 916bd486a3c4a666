"""`extract` of a search: values out of a thread by paths, such as `values.messages[-1].content`."""

import re
from collections.abc import Mapping
from typing import Any

from core.errors import Invalid

ROOTS = ("config", "interrupts", "metadata", "values")
MAX_PATH = 1_000
_STEP = re.compile(r"\.([^.\[\]]+)|\[(-?\d{1,9})\]")

Path = tuple[str | int, ...]


def read_paths(given: Mapping[str, str]) -> dict[str, Path | None]:
    """The paths by name; None for one that leads nowhere. Raises Invalid for one that begins with no part of a thread
    that may be looked into."""
    return {name: _read(path) for name, path in given.items()}


def extract(thread: Mapping[str, Any], paths: Mapping[str, Path | None]) -> dict[str, Any]:
    """What the paths lead to, None where there is nothing."""
    return {name: None if path is None else _follow(thread, path) for name, path in paths.items()}


def _read(text: str) -> Path | None:
    root = re.split(r"[.\[]", text, maxsplit=1)[0]
    if root not in ROOTS or len(text) > MAX_PATH:
        raise Invalid(f"Extract path {text[:MAX_PATH]!r} must start with one of: {', '.join(ROOTS)}")
    steps: list[str | int] = [root]
    at = len(root)
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            return None
        steps.append(step[1] if step[1] is not None else int(step[2]))
        at = step.end()
    return tuple(steps)


def _follow(value: Any, path: Path) -> Any:
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return None
        elif not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value
