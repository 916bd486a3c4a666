"""Changes to a configuration: objects merge deeply, lists are replaced, null returns to the default."""

from typing import Any

from core.canonical import canonical

# Objects whose keys are the user's own: there null takes a key away, known or not.
_OPEN = {
    ("interrupt_on",),
    ("input_schema",),
    ("output_schema",),
    ("llm", "settings"),
    ("metadata",),
    ("config",),
    ("context",),
}


def merged(old: Any, change: Any, path: tuple[str, ...] = (), *, is_open: bool = False) -> Any:
    """`old` with `change` applied. What null took away is missing, so that validation fills in its default.

    A null under a key that the configuration does not have is kept: validation refuses the key as unknown.
    """
    if not isinstance(change, dict):
        return change
    is_open = is_open or path in _OPEN
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in change.items():
        if value is None and (is_open or key in result):
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value, (*path, key), is_open=is_open)
    return result


def same(one: Any, other: Any) -> bool:
    """Whether two documents are the same JSON; unlike `==`, it tells true from 1."""
    return canonical(one) == canonical(other)
