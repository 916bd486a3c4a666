"""A sum over the last minute, with the clock in the test's hand."""

from runs.worker.traffic.window import Window


def test_what_is_older_than_the_window_is_forgotten() -> None:
    window = Window(60)
    window.add(3, now=100)
    window.add(2, now=110)
    assert [window.total(now) for now in (110, 160, 161, 171)] == [5, 5, 2, 0]


def test_nothing_leaves_before_its_time() -> None:
    window = Window(60)
    window.add(1, now=100.999)
    assert window.total(160.998) == 1


def test_room_comes_when_enough_has_left() -> None:
    window = Window(60)
    window.add(3, now=100)
    window.add(2, now=110)
    assert [window.room_in_s(allowed, 120) for allowed in (6, 5, 3, 2, 1)] == [0, 41, 41, 51, 51]
    assert window.total(120) == 5


def test_many_additions_take_little_room() -> None:
    window = Window(60)
    for now in range(0, 1_000_000, 7):
        window.add(1, now=now / 1_000)
    assert len(window._parts) <= 62


def test_a_cleared_window_is_empty() -> None:
    window = Window(60)
    window.add(3, now=100)
    window.clear()
    assert (window.total(100), window.room_in_s(1, 100)) == (0, 0)
