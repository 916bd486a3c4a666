"""The files that a model keeps: its tools, what they refuse, and whose the files are."""

from typing import Any

import pytest
from pydantic import ValidationError

from runtime.contract import ToolRecord
from runtime.middleware.files import rules
from runtime.middleware.files.rules import KEY, BadPathError, TooMuchError, check_path, check_room, size_of
from runtime.middleware.files.settings import TOOL_NAMES, FilesSettings
from runtime.middleware.files.text import found_in, lines_of, numbered, replaced_lines
from tests.runtime.driver import Conversation, calls, script

POEM = "one\ntwo\nthree\n"


async def used(*turns: list[tuple[str, dict[str, Any]]], user: str | None = None, **settings: Any) -> Conversation:
    """A run in which the model makes these calls, turn by turn."""
    listed = [{"name": "files", "settings": settings}]
    talk = script(*(calls(*turn) for turn in turns), {"text": "Done."}, middleware=listed)
    talk.io.user_id = user
    await talk.say("go")
    return talk


async def last(*wanted: tuple[str, dict[str, Any]], **settings: Any) -> ToolRecord:
    """What came of the last of these calls, each in a turn of its own."""
    return (await used(*([call] for call in wanted), **settings)).io.results[-1]


def create(path: str = "/poem.txt", content: str = POEM) -> tuple[str, dict[str, Any]]:
    return "create_file", {"path": path, "content": content}


def on(tool: str, path: str = "/poem.txt", **args: Any) -> tuple[str, dict[str, Any]]:
    return tool, {"path": path, **args}


async def test_a_file_is_kept_in_the_state_by_its_path() -> None:
    talk = await used([create()])
    (kept,) = [value for key, value in talk.state.values.items() if key == KEY + "/poem.txt"]
    assert (kept["content"], kept["size"]) == (POEM, len(POEM))
    assert talk.io.results[0].status == "ok"


async def test_a_file_is_read_with_its_line_numbers() -> None:
    assert (await last(create(), on("read_file"))).result == "     1\tone\n     2\ttwo\n     3\tthree"
    part = await last(create(), on("read_file", start_line=2, limit=1))
    assert part.result == "     2\ttwo\n[Lines 2 to 2 of 3.]"
    assert (await last(create(), on("read_file", start_line=4))).error == "The file has 3 lines."
    assert (await last(on("read_file", "/none"))).error == "There is no file /none."


async def test_no_more_than_2000_lines_are_read_at_once() -> None:
    assert (await last(create(content="x\n" * 2_001), on("read_file"))).result.endswith("[Lines 1 to 2000 of 2001.]")
    assert (await last(create(), on("read_file", limit=2_001))).status == "error"


async def test_a_file_is_created_once() -> None:
    talk = await used([create()], [create(content="other")])
    assert talk.io.results[1].error == "/poem.txt exists already."
    assert talk.state.values[KEY + "/poem.txt"]["content"] == POEM


async def test_files_are_listed_by_pattern() -> None:
    made = [create("/b.md", "b"), create("/notes/a.md", "a"), create("/c.txt", "c")]
    assert [file["path"] for file in (await last(*made, ("list_files", {}))).result] == [
        "/b.md",
        "/c.txt",
        "/notes/a.md",
    ]
    for pattern, found in {"*.md": ["/b.md", "/notes/a.md"], "notes/*": ["/notes/a.md"], "/?.txt": ["/c.txt"]}.items():
        listed = await last(*made, ("list_files", {"pattern": pattern}))
        assert [file["path"] for file in listed.result] == found


async def test_a_text_is_replaced_where_it_occurs_once_or_everywhere() -> None:
    talk = await used([create()], [on("replace_file_text", old_text="two", new_text="2")])
    assert talk.state.values[KEY + "/poem.txt"]["content"] == "one\n2\nthree\n"
    twice = on("replace_file_text", old_text="o", new_text="0")
    assert "occurs 2 times" in ((await last(create(), twice)).error or "")
    talk = await used([create()], [on("replace_file_text", old_text="o", new_text="0", replace_all=True)])
    assert talk.state.values[KEY + "/poem.txt"]["content"] == "0ne\ntw0\nthree\n"
    assert "does not occur" in ((await last(create(), on("replace_file_text", old_text="x", new_text=""))).error or "")


async def test_lines_are_replaced_from_the_first_to_the_last() -> None:
    talk = await used([create()], [on("replace_file_lines", start_line=1, end_line=2, new_text="1\n1b\n2")])
    assert talk.state.values[KEY + "/poem.txt"]["content"] == "1\n1b\n2\nthree\n"


def test_the_end_of_a_text_is_kept_when_its_lines_are_replaced() -> None:
    assert replaced_lines("a\nb", 2, 2, "c") == "a\nc"
    assert replaced_lines("a\nb\n", 2, 2, "c") == "a\nc\n"
    assert replaced_lines("a\nb", 2, 2, "c\n") == "a\nc\n"
    assert replaced_lines("a\nb\n", 1, 1, "") == "b\n"
    assert replaced_lines("a\n", 1, 1, "") == ""
    assert lines_of("a\n\n") == ["a", ""]
    assert numbered("", 1, 10) == "The file is empty."


@pytest.mark.parametrize(("first", "end"), [(2, 1), (3, 4), (0, 1)])
async def test_lines_that_are_not_there_are_not_replaced(first: int, end: int) -> None:
    talk = await used([create()], [on("replace_file_lines", start_line=first, end_line=end, new_text="x")])
    assert talk.io.results[1].status == "error"
    assert talk.state.values[KEY + "/poem.txt"]["content"] == POEM


async def test_lines_are_found_by_a_regular_expression() -> None:
    found = await last(create(), on("find_in_file", pattern="^t"))
    assert found.result == {"found": [{"line": 2, "text": "two"}, {"line": 3, "text": "three"}], "more": False}
    assert (await last(create(), on("find_in_file", pattern="("))).status == "error"
    assert (await last(create(), on("find_in_file", pattern="(?=o)"))).status == "error"


def test_the_first_50_lines_are_found() -> None:
    found, more = found_in("x\n" * 51, "x")
    assert ([number for number, _ in found], more) == (list(range(1, 51)), True)
    assert found_in("x\n" * 50, "x")[1] is False


async def test_a_file_is_deleted_and_moved() -> None:
    talk = await used([create()], [on("move_file", new_path="/a/b.txt")], [on("delete_file", "/a/b.txt")])
    assert [record.status for record in talk.io.results] == ["ok"] * 3
    assert not [key for key in talk.state.values if key.startswith(KEY)]
    assert (await last(on("delete_file"))).error == "There is no file /poem.txt."
    taken = await last(create(), create("/other"), on("move_file", new_path="/other"))
    assert taken.error == "/other exists already."


async def test_calls_of_one_turn_see_each_other() -> None:
    edits = [
        on("replace_file_text", old_text="one", new_text="1"),
        on("replace_file_text", old_text="two", new_text="2"),
    ]
    talk = await used([create()], edits)
    assert talk.state.values[KEY + "/poem.txt"]["content"] == "1\n2\nthree\n"
    everywhere = {"path": "/", "scope": "assistant"}
    talk = await used([create()], edits, directories=[everywhere])
    assert talk.io.files.kept == {("assistant", "/poem.txt"): "1\n2\nthree\n"}


@pytest.mark.parametrize(
    "path",
    ["poem.txt", "/../etc/passwd", "/a/../b", "~/x", "/~root/x", "/", "//a", "/a/", "/a/./b", "/a\nb", "/\0", "/" * 9],
)
async def test_bad_paths_are_refused(path: str) -> None:
    with pytest.raises(BadPathError):
        check_path(path)
    if "\0" in path:  # of what a model says it is taken out
        return
    assert (await last(create(path))).status == "error"
    assert (await last(create(), on("move_file", new_path=path))).status == "error"


def test_paths_and_sizes_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    check_path("/" + "x" * 1_023)
    check_room(1_000, 20_971_520)
    assert size_of("ä" * 524_288) == 1_048_576
    for too_much in (lambda: size_of("ä" * 524_289), lambda: check_room(1_001, 0), lambda: check_room(1, 20_971_521)):
        with pytest.raises(TooMuchError):
            too_much()
    with pytest.raises(BadPathError):
        check_path("/" + "x" * 1_024)


async def test_there_is_no_room_beyond_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_FILES", 1)
    assert "at most 1 files" in ((await last(create(), create("/b"))).error or "")
    moved = await last(create(), on("move_file", new_path="/b"))
    assert moved.status == "ok"
    monkeypatch.setattr(rules, "MAX_BYTES", len(POEM))
    grown = await last(create(), on("replace_file_text", old_text="one", new_text="once"))
    assert "All files together" in (grown.error or "")


async def test_only_enabled_tools_are_there() -> None:
    assert [tool.name for tool in (await used()).agent.stack.all[0].tools()] == list(TOOL_NAMES)  # type: ignore[attr-defined]
    refused = await last(create(), enabled_tools=["read_file"])
    assert refused.error == "Tool 'create_file' is not available."


@pytest.mark.parametrize(
    "settings",
    [
        {"enabled_tools": ["format_disk"]},
        {"directories": [{"path": "notes"}]},
        {"directories": [{"path": "/a/../b"}]},
        {"directories": [{"path": "/a"}, {"path": "/a"}]},
        {"directories": [{"path": "/a", "scope": "world"}]},
        {"other": 1},
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FilesSettings.model_validate(settings)


def test_the_longest_directory_counts() -> None:
    listed = [{"path": "/docs", "scope": "assistant"}, {"path": "/docs/mine", "scope": "user"}]
    settings = FilesSettings.model_validate({"directories": listed})
    assert [settings.directory_of(path).scope for path in ("/docs/a", "/docs/mine/a", "/docsa", "/a")] == [
        "assistant",
        "user",
        "session",
        "session",
    ]


async def test_what_may_only_be_read_is_not_changed() -> None:
    talk = await used(
        [create()],
        [create("/fixed/a")],
        [on("move_file", new_path="/fixed/a")],
        [("list_files", {})],
        directories=[{"path": "/fixed", "read_only": True}],
    )
    assert [record.status for record in talk.io.results] == ["ok", "error", "error", "ok"]
    assert talk.io.results[1].error == "What is in /fixed may only be read."
    assert talk.io.results[3].result == [{"path": "/poem.txt", "size": len(POEM)}]


async def test_shared_files_are_not_in_the_session() -> None:
    directories = [{"path": "/ours", "scope": "assistant"}, {"path": "/mine", "scope": "user"}]
    talk = await used(
        [create("/ours/a"), create("/mine/b"), create("/c")],
        [on("move_file", "/c", new_path="/mine/c")],
        [("list_files", {})],
        [on("delete_file", "/ours/a")],
        user="ann",
        directories=directories,
    )
    assert [record.error for record in talk.io.results] == [None] * 6
    assert [file["path"] for file in talk.io.results[4].result] == ["/mine/b", "/mine/c", "/ours/a"]
    assert set(talk.io.files.kept) == {("user", "/mine/b"), ("user", "/mine/c")}
    assert not [key for key in talk.state.values if key.startswith(KEY)]


async def test_a_session_of_no_user_has_no_files_of_a_user() -> None:
    mine = [{"path": "/mine", "scope": "user"}]
    talk = await used([create("/mine/a")], [("list_files", {})], directories=mine)
    assert talk.io.results[0].error == "This session is no user's, so there are no files of its user."
    assert talk.io.results[1].result == []


async def test_the_model_is_told_what_is_shared() -> None:
    talk = await used(directories=[{"path": "/docs", "scope": "assistant", "read_only": True}])
    talk.agent.spec.config["llm"]["model"] = "prompt"
    said = await Conversation(type(talk.agent)(talk.agent.spec)).say("go")
    assert said.endswith("- /docs: shared by all conversations, read-only")
