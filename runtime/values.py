"""The session's values, as one step changes them."""

from collections.abc import Iterator, Mapping, MutableMapping
from copy import deepcopy
from typing import Any

import orjson

METADATA = "metadata"  # what agents note of a session: readers find it as the session's `context`
MAX_METADATA_BYTES = 65_536


class Values(MutableMapping[str, Any]):
    """A working copy for one step: what is set and deleted is collected, and becomes what the step changes.

    Who reads a value gets a copy of it, so that a change counts only once it is set. All that takes part in a step
    shares one of these: parallel tool calls see each other's changes. Prefix your keys with your own name.
    """

    def __init__(self, before: Mapping[str, Any]):
        self._before = before
        self.changes: dict[str, Any] = {}
        self._removed: dict[str, None] = {}

    @property
    def removed(self) -> list[str]:
        """The keys that are deleted, of those that were there before."""
        return list(self._removed)

    def __getitem__(self, key: str) -> Any:
        if key in self.changes:
            return deepcopy(self.changes[key])
        if key in self._removed:
            raise KeyError(key)
        return deepcopy(self._before[key])

    def __setitem__(self, key: str, value: Any) -> None:
        self._removed.pop(key, None)
        self.changes[key] = value

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.changes.pop(key, None)
        if key in self._before:
            self._removed[key] = None

    def __contains__(self, key: object) -> bool:
        return key in self.changes or (key in self._before and key not in self._removed)

    def __iter__(self) -> Iterator[str]:
        yield from (key for key in self._before if key not in self._removed)
        yield from (key for key in self.changes if key not in self._before)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def merged(old: Any, change: Any) -> Any:
    """`old` with `change` applied: objects merge deeply, None takes a key away, anything else replaces."""
    if not isinstance(change, dict):
        return change
    kept = {key: value for key, value in old.items() if key not in change} if isinstance(old, dict) else {}
    before = old if isinstance(old, dict) else {}
    return kept | {key: merged(before.get(key), value) for key, value in change.items() if value is not None}


def check_metadata(metadata: Any) -> None:
    """Raises `ValueError` unless it is a JSON object of no more than 64 KiB: lists show it of many sessions at once."""
    if not isinstance(metadata, dict):
        raise ValueError(f"A session's metadata is an object, not {type(metadata).__name__}.")
    if len(orjson.dumps(metadata)) > MAX_METADATA_BYTES:
        raise ValueError(f"A session's metadata has at most {MAX_METADATA_BYTES} bytes.")
