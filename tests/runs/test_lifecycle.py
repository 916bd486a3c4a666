import re
from pathlib import Path

from runs.lifecycle import ACTIVE, TERMINAL, TRANSITIONS, Status

DOC = Path(__file__).resolve().parents[2] / "docs" / "run_lifecycle.md"


def test_the_diagram_shows_every_move_and_no_other() -> None:
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)$", DOC.read_text(), re.MULTILINE))
    assert drawn == {(str(old), str(new)) for new, olds in TRANSITIONS.items() for old in olds}


def test_nothing_leaves_a_terminal_status() -> None:
    assert not {old for olds in TRANSITIONS.values() for old in olds} & set(TERMINAL)


def test_a_status_is_active_or_terminal() -> None:
    assert sorted([*ACTIVE, *TERMINAL]) == sorted(Status.values)


def test_every_status_is_explained() -> None:
    text = DOC.read_text()
    assert all(f"| `{status}` |" in text for status in Status.values)
