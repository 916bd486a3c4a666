"""Lists that grow are stored as what is new, in a few pieces, and are read as what they were."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from graphs.growing import GrowingLists
from sessions.graph_queries import GraphPage

items = st.integers(0, 2) | st.booleans() | st.just(1.0)
# How a list becomes the next one: so many items stay, and these follow.
changes = st.lists(st.tuples(st.integers(0, 40), st.lists(items, max_size=20)), min_size=1, max_size=12)


def store(lists: GrowingLists, page: GraphPage, version: int, held: list[Any]) -> int:
    """Gives how many items that took."""
    key = ("", "c", str(version))
    page.values[key] = lists.store(key, list(held))
    return len(page.values[key][0])


@settings(max_examples=60, deadline=None)
@given(changes, st.integers(0, 12))
def test_whatever_becomes_of_a_list_each_of_its_versions_is_read_as_it_was(
    steps: list[tuple[int, list[Any]]], read_again: int
) -> None:
    lists, page = GrowingLists(), GraphPage()
    held: list[Any] = [0] * 30
    was: list[list[Any]] = []
    for version, (stay, new) in enumerate(steps):
        held = [*held[:stay], *new]
        store(lists, page, version, held)
        was.append(held)
        if version == read_again:
            lists = GrowingLists()
            lists.learn(page, [("", "c", str(version))])
    for version, expected in enumerate(was):
        assert repr(page.value(("", "c", str(version)))) == repr(expected)


def test_a_list_is_few_pieces_and_an_item_is_written_few_times() -> None:
    lists, page = GrowingLists(), GraphPage()
    written = sum(store(lists, page, version, list(range(version))) for version in range(1, 2_001))
    assert written < 2_000 * 5
    pieces, version = 0, "2000"
    while version is not None:
        pieces, version = pieces + 1, page.values["", "c", version][1]
    assert pieces <= 7 * 4


def test_a_list_to_which_nothing_is_added_becomes_no_longer_a_chain() -> None:
    lists, page = GrowingLists(), GraphPage()
    for version in range(9):
        store(lists, page, version, list(range(20)))
    assert page.values["", "c", "8"] == ([], "0")
    lists.learn(page, [("", "c", "8")])
    store(lists, page, 9, list(range(20)))
    assert page.values["", "c", "9"] == ([], "0")


def test_what_only_python_takes_for_the_same_is_another_item() -> None:
    lists, page = GrowingLists(), GraphPage()
    store(lists, page, 1, [1] * 20)
    store(lists, page, 2, [*[1] * 19, True, 2])
    assert repr(page.value(("", "c", "2"))) == repr([*[1] * 19, True, 2])


def test_of_many_places_those_that_were_used_last_are_remembered() -> None:
    lists, page = GrowingLists(), GraphPage()
    held = list(range(20))
    for number in range(60):
        store(lists, page, 1, held)
        lists.store((f"inner:{number}", "c", "1"), held)
    assert lists.store(("inner:0", "c", "2"), [*held, 20]) == ([*held, 20], None)
    assert lists.store(("inner:59", "c", "2"), [*held, 20]) == ([20], "1")
    assert lists.store(("", "c", "2"), [*held, 20]) == ([20], "1")
