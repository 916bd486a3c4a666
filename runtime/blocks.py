"""The models that an assistant's configuration names."""

from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]

_KEY = "llm"


def llm_blocks(config: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Each `llm` block with its place: the assistant's own, and those in the settings of its middleware."""
    if isinstance(own := config.get(_KEY), Mapping):
        yield (_KEY,), own
    for index, entry in enumerate(config.get("middleware") or ()):
        yield from blocks_within(entry.get("settings"), "middleware", index, "settings")


def blocks_within(settings: Any, *place: str | int) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The `llm` blocks in the settings of a middleware that is at `place`, wherever in them they are."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if key == _KEY and isinstance(value, Mapping):
                yield (*place, key), value
            else:
                yield from blocks_within(value, *place, key)
    elif isinstance(settings, list):
        for index, value in enumerate(settings):
            yield from blocks_within(value, *place, index)
