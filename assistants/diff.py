"""What differs between two versions."""

import re
from collections.abc import Iterator
from typing import Any

from assistants.config import same

_PLAIN = re.compile(r"[\w-]+")


def changes(old: Any, new: Any) -> list[dict[str, Any]]:
    """The differences between two configurations, as `{path, op, from, to}` with `op` add, remove or replace.

    Objects are compared key by key. A list is one value, as it is to a PATCH: what replaces it is another list.
    """
    return list(_changes(old, new, ""))


def _changes(old: dict[str, Any], new: dict[str, Any], path: str) -> Iterator[dict[str, Any]]:
    for key in [*old, *(key for key in new if key not in old)]:
        here = _below(path, key)
        if key not in new:
            yield {"path": here, "op": "remove", "from": old[key], "to": None}
        elif key not in old:
            yield {"path": here, "op": "add", "from": None, "to": new[key]}
        elif isinstance(old[key], dict) and isinstance(new[key], dict):
            yield from _changes(old[key], new[key], here)
        elif not same(old[key], new[key]):
            yield {"path": here, "op": "replace", "from": old[key], "to": new[key]}


def _below(path: str, key: str) -> str:
    """`llm.temperature`; keys of users' own may hold dots, and are then written `metadata["a.b"]`."""
    if not _PLAIN.fullmatch(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key
