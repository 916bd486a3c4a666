"""Lists that grow, stored as what has come behind an earlier version: bytes do not grow with the list.

A version's list goes on from that of its base, which may have a base of its own. Pieces are joined as digits are
carried: when the list passes a multiple of 8 the pieces since the last one become a single one, at 64 those of 8, and
so on. So an item is written a few times over, and a list is a few pieces, however long it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import orjson

from sessions.graph_queries import GraphPage, ValueKey

_RADIX = 8
# Shorter lists are stored whole: nothing is won.
_LEAST = 16
# Each call of a subgraph is a place of its own, and a run may make thousands of them.
_PLACES = 50


@dataclass(slots=True)
class _Pieces:
    """A stored list, as JSON too, and the versions that it is made of with the length of the list at each."""

    items: list[Any]
    written: bytes
    versions: list[tuple[str, int]] = field(default_factory=list)


class GrowingLists:
    """The lists that a run has read and written last, by their place."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Pieces] = {}

    @property
    def size(self) -> int:
        """What they take as JSON, in bytes."""
        return sum(len(pieces.written) for pieces in self._known.values())

    def learn(self, page: GraphPage, keys: Iterable[ValueKey]) -> None:
        """Go on from these, which were read."""
        for key in keys:
            items = page.value(key)
            if not isinstance(items, list):
                continue
            pieces, length = _Pieces(items, orjson.dumps(items)), len(items)
            version: str | None = key[2]
            while version is not None:
                value, base = page.values[(*key[:2], version)]
                # A version at which nothing was added is not worth going back over.
                if value:
                    pieces.versions.insert(0, (version, length))
                length, version = length - len(value), base
            self._remember(key[:2], pieces)

    def _remember(self, place: tuple[str, str], pieces: _Pieces) -> None:
        self._known.pop(place, None)
        self._known[place] = pieces
        if len(self._known) > _PLACES:
            del self._known[next(iter(self._known))]

    def store(self, key: ValueKey, items: list[Any]) -> tuple[list[Any], str | None]:
        """What is to be stored of the list at this version: its last items, and the version before them if any."""
        known, written = self._known.get(key[:2]), orjson.dumps(items)
        versions = _kept(known, items, written) if known and len(items) >= _LEAST else []
        if versions and versions[-1][1] == len(items):
            self._remember(key[:2], _Pieces(items, written, versions))
            return [], versions[-1][0]
        start = versions[-1][1] if versions else 0
        carried = _carry(start, len(items))
        while versions and _carry(versions[-2][1] if len(versions) > 1 else 0, versions[-1][1]) < carried:
            versions.pop()
        base_version, start = versions[-1] if versions else (None, 0)
        self._remember(key[:2], _Pieces(items, written, [*versions, (key[2], len(items))]))
        return items[start:], base_version


def _kept(known: _Pieces, items: list[Any], written: bytes) -> list[tuple[str, int]]:
    """The versions whose whole list the new one begins with. Compared as they are written: to Python 1 and True are
    the same."""
    same = len(known.items)
    if not (written.startswith(known.written[:-1]) and written[len(known.written) - 1 :][:1] in (b",", b"]")):
        pairs = zip(known.items, items, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: orjson.dumps(pair[0]) == orjson.dumps(pair[1]), pairs))
    return [(version, length) for version, length in known.versions if 0 < length <= same]


def _carry(start: int, end: int) -> int:
    """The highest power of the radix of which a list passes a multiple when it grows from `start` to `end` items."""
    power = 0
    while end // _RADIX ** (power + 1) > start // _RADIX ** (power + 1):
        power += 1
    return power
