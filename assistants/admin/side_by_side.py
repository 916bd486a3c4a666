"""Two configurations beside each other, aligned line by line."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby, product, zip_longest
from operator import itemgetter
from typing import Any

from assistants.config import Config

CONTEXT_LINES = 3
# A setting of more lines is not aligned, one of more than some is not compared by words: a page must come soon.
MAX_LINES = 10_000
MAX_LINES_BY_WORDS = 500
MAX_CHARACTERS_BY_WORDS = 2_000
# So many lines may each be compared with so many, to find which replaces which.
MAX_PAIRS, MAX_CHARACTERS_OF_PAIRS = 400, 20_000
# From here on a line is a changed one, and not another.
ALIKE = 0.5

# Stands for the closing brace; no key of a configuration is called so.
_END = "}"
_WORDS = re.compile(r"\w+|\s+|.")
# Control characters, and those that would turn or hide what the eye reads.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Cell:
    """A line of one side: its number, `-`, `+`, `~` or nothing, and its text in (is it marked?, text) parts."""

    number: int
    sign: str
    parts: list[tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class Row:
    """What stands beside each other; `kind` is equal, changed, removed, added or replaced."""

    kind: str
    old: Cell | None
    new: Cell | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows that are shown, or unchanged ones that are folded."""

    rows: list[Row]
    folded: bool


def lines_of(value: Any, indent: str = "", before: str = "", after: str = "") -> Iterator[str]:
    """JSON in lines, two blanks for a level; a text of several lines stands as lines between triple quotes."""
    if value and isinstance(value, dict):
        yield f"{indent}{before}{{"
        yield from _entries([(f"{_json(key)}: ", item) for key, item in value.items()], indent)
        yield f"{indent}}}{after}"
    elif value and isinstance(value, list):
        yield f"{indent}{before}["
        yield from _entries([("", item) for item in value], indent)
        yield f"{indent}]{after}"
    elif isinstance(value, str) and "\n" in value:
        yield f'{indent}{before}"""'
        yield from (f"{indent}  {_visible(line)}" for line in value.split("\n"))
        yield f'{indent}"""{after}'
    else:
        yield f"{indent}{before}{_json(value)}{after}"


def _entries(entries: list[tuple[str, Any]], indent: str) -> Iterator[str]:
    for index, (before, item) in enumerate(entries, 1):
        yield from lines_of(item, indent + "  ", before, "," if index < len(entries) else "")


def side_by_side(old: Config, new: Config) -> list[Stretch]:
    """The rows of both; the unchanged ones that are more than three lines away from a change are folded.

    Raises ValueError for texts that are too long to be aligned.
    """
    rows = list(_rows(old, new))
    near: set[int] = set()
    for index, row in enumerate(rows):
        if row.kind != "equal":
            near.update(range(index - CONTEXT_LINES, index + CONTEXT_LINES + 1))
    stretches = []
    for is_near, group in groupby(enumerate(rows), lambda item: item[0] in near):
        found = [row for _, row in group]
        # A fold takes a line itself.
        stretches.append(Stretch(found, folded=not is_near and len(found) > 1))
    return stretches


def _rows(old: Config, new: Config) -> Iterator[Row]:
    at_old = at_new = 1
    # Setting by setting: a line of one is never taken for a line of another.
    mine, theirs = _settings(old), _settings(new)
    for key in [*old, *(key for key in new if key not in old), _END]:
        one, other = mine.get(key, []), theirs.get(key, [])
        lines = max(len(one), len(other))
        if lines > MAX_LINES and one != other:
            raise ValueError(f"{key} has more than {MAX_LINES:,} lines.")
        for kind, i1, i2, j1, j2 in SequenceMatcher(None, one, other).get_opcodes():
            pairs = zip_longest if kind == "equal" else _paired
            for left, right in pairs(one[i1:i2], other[j1:j2]):
                yield _row(kind == "equal", left, right, at_old, at_new, by_words=lines <= MAX_LINES_BY_WORDS)
                at_old += left is not None
                at_new += right is not None


def _settings(config: Config) -> dict[str, list[str]]:
    """The lines of each key of the configuration, which together are the whole."""
    keys = list(config)
    lines = {
        key: [*lines_of(value, "  ", f"{_json(key)}: ", "," if key != keys[-1] else "")]
        for key, value in config.items()
    }
    if keys:
        lines[keys[0]].insert(0, "{")
        lines[_END] = [_END]
    return lines


def _paired(old: list[str], new: list[str]) -> Iterator[tuple[str | None, str | None]]:
    """Lines that replace each other: the two that are most alike side by side, then what is above and below them."""
    alike, i, j = 0.0, 0, 0
    if len(old) * len(new) <= MAX_PAIRS and sum(map(len, old + new)) <= MAX_CHARACTERS_OF_PAIRS:
        for (i1, one), (j1, other) in product(enumerate(old), enumerate(new)):
            alike, i, j = max((alike, i, j), (_alikeness(one, other), i1, j1), key=itemgetter(0))
    if alike < ALIKE:
        yield from zip_longest(old, new)
    else:
        yield from _paired(old[:i], new[:j])
        yield old[i], new[j]
        yield from _paired(old[i + 1 :], new[j + 1 :])


def _alikeness(one: str, other: str) -> float:
    """How much of the words of two lines are the same: 0 to 1."""
    mine, theirs = (Counter(word for word in _WORDS.findall(line) if not word.isspace()) for line in (one, other))
    both = mine.total() + theirs.total()
    return 2 * (mine & theirs).total() / both if both else 0.0


def _row(is_equal: bool, old: str | None, new: str | None, at_old: int, at_new: int, *, by_words: bool) -> Row:
    if old is None or new is None:
        removed = Cell(at_old, "-", [(False, old)]) if old is not None else None
        added = Cell(at_new, "+", [(False, new)]) if new is not None else None
        return Row("removed" if removed else "added", removed, added)
    if is_equal:
        return Row("equal", Cell(at_old, "", [(False, old)]), Cell(at_new, "", [(False, new)]))
    if by_words and len(old) + len(new) <= MAX_CHARACTERS_BY_WORDS:
        if _alikeness(old, new) < ALIKE:
            return Row("replaced", Cell(at_old, "-", [(False, old)]), Cell(at_new, "+", [(False, new)]))
        mine, theirs = _marked(old, new)
    else:
        mine, theirs = [(False, old)], [(False, new)]
    return Row("changed", Cell(at_old, "~", mine), Cell(at_new, "~", theirs))


def _marked(old: str, new: str) -> tuple[list[tuple[bool, str]], list[tuple[bool, str]]]:
    """Both lines, with the words that differ marked."""
    mine, theirs = _WORDS.findall(old), _WORDS.findall(new)
    found = SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes()
    return (
        [(kind != "equal", "".join(mine[i1:i2])) for kind, i1, i2, _, _ in found if i1 < i2],
        [(kind != "equal", "".join(theirs[j1:j2])) for kind, _, _, j1, j2 in found if j1 < j2],
    )


def _json(value: Any) -> str:
    return _visible(json.dumps(value, ensure_ascii=False))


def _visible(text: str) -> str:
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
