"""Two configurations, line by line."""

import pytest

from assistants.admin.side_by_side import MAX_LINES, Row, lines_of, side_by_side


def rows(old: dict[str, object], new: dict[str, object]) -> list[Row]:
    return [row for stretch in side_by_side(old, new) for row in stretch.rows]


def texts(row: Row) -> list[str | None]:
    return [cell and cell.sign + "".join(text for _, text in cell.parts) for cell in (row.old, row.new)]


def changed(old: dict[str, object], new: dict[str, object]) -> list[list[str | None]]:
    return [texts(row) for row in rows(old, new) if row.kind != "equal"]


def test_a_configuration_is_written_as_json() -> None:
    config: dict[str, object] = {"a": {"b": [1, True], "c": {}}, "d": "é"}
    assert [texts(row)[1] for row in rows(config, config)] == [
        "{",
        '  "a": {',
        '    "b": [',
        "      1,",
        "      true",
        "    ],",
        '    "c": {}',
        "  },",
        '  "d": "é"',
        "}",
    ]


def test_a_text_of_several_lines_stands_in_lines() -> None:
    assert list(lines_of("one\n two\n", before='"prompt": ', after=",")) == [
        '"prompt": """',
        "  one",
        "   two",
        "  ",
        '""",',
    ]


def test_what_would_deceive_the_eye_is_spelled_out() -> None:
    assert list(lines_of("a\r\nb\u202ec\u200b\td")) == ['"""', "  a\\u000d", "  b\\u202ec\\u200b\td", '"""']


def test_a_changed_line_has_its_words_marked() -> None:
    (row,) = [row for row in rows({"steps": 50, "x": 1}, {"steps": 20, "x": 1}) if row.kind != "equal"]
    assert row.old
    assert row.new
    assert (row.old.sign, row.old.parts) == ("~", [(False, '  "steps": '), (True, "50"), (False, ",")])
    assert (row.new.sign, row.new.parts) == ("~", [(False, '  "steps": '), (True, "20"), (False, ",")])


def test_lines_come_and_go() -> None:
    old = {"p": "first\nsecond\nthird"}
    assert changed(old, {"p": "first\nthird"}) == [["-    second", None]]
    assert changed({"p": "first\nthird"}, old) == [[None, "+    second"]]
    assert changed({"p": "a\nlike this\nc"}, {"p": "a\nnothing alike\nc"}) == [["-    like this", "+    nothing alike"]]


def test_a_line_stands_beside_the_one_that_is_most_like_it() -> None:
    old = {"p": "x\n2. Look it up.\n3. Answer, and ask whether it helped.\ny"}
    new = {"p": "x\n2. Look it up here.\n3. Check the date.\n4. Answer, and ask whether it helped.\ny"}
    assert changed(old, new) == [
        ["~    2. Look it up.", "~    2. Look it up here."],
        [None, "+    3. Check the date."],
        ["~    3. Answer, and ask whether it helped.", "~    4. Answer, and ask whether it helped."],
    ]


def test_a_line_of_one_setting_is_not_taken_for_anothers() -> None:
    assert changed({"a": "x", "b": "y"}, {"a": "y", "b": "x"}) == [
        ['~  "a": "x",', '~  "a": "y",'],
        ['~  "b": "y"', '~  "b": "x"'],
    ]


def test_a_setting_that_only_one_has_is_added_or_removed() -> None:
    assert changed({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}) == [['~  "b": 2', '~  "b": 2,'], [None, '+  "c": 3']]


def test_lines_are_numbered_on_each_side() -> None:
    found = rows({"p": "1\n2\n3", "q": 1}, {"p": "1\n3", "q": 1})
    assert [row.old.number for row in found if row.old] == list(range(1, 9))
    assert [row.new.number for row in found if row.new] == list(range(1, 8))


def test_what_is_far_from_changes_is_folded() -> None:
    old = {f"key{number}": number for number in range(20)}
    folds = [(stretch.folded, len(stretch.rows)) for stretch in side_by_side(old, {**old, "key10": -1})]
    assert folds == [(True, 8), (False, 7), (True, 7)]
    assert [stretch.folded for stretch in side_by_side(old, old)] == [True]


def test_too_many_lines_are_not_aligned() -> None:
    long = "\n".join(map(str, range(MAX_LINES)))
    with pytest.raises(ValueError, match="p has more than 10,000 lines"):
        side_by_side({"p": long}, {"p": long + "\n"})
    assert side_by_side({"p": long, "q": 1}, {"p": long, "q": 2})
