"""What an agent notes of its session: deeply merged, bounded, and a part of the state."""

from typing import Any

import pytest

from runtime.contract import Json, Tool, ToolContext
from runtime.values import check_metadata, merged
from tests.runtime.driver import Conversation, calls, script


class Note(Tool):
    """Remembers its arguments."""

    name, description = "note", "Notes it."

    async def acall(self, args: Any, context: ToolContext) -> Json:
        context.remember(NOTED.pop(0))
        return "noted"


NOTED: list[dict[str, Any]] = []


async def noted(*notes: dict[str, Any]) -> Conversation:
    """A run in which a tool notes these, all of them in one turn."""
    NOTED[:] = notes
    talk = script(calls(*(("note", {}) for _ in notes)), {"text": "Done."}, tools=(Note(),))
    await talk.say("go")
    return talk


async def test_what_tools_note_is_merged_deeply() -> None:
    talk = await noted({"user": {"name": "Ann"}, "topics": ["a"]}, {"user": {"age": 3}, "topics": ["b"]})
    assert talk.state.values["metadata"] == {"user": {"name": "Ann", "age": 3}, "topics": ["b"]}
    NOTED[:] = [{"user": {"name": None}}]
    talk.state.session_model_calls = 0
    await talk.say("again")
    assert talk.state.values["metadata"] == {"user": {"age": 3}, "topics": ["b"]}


async def test_too_much_is_an_error_of_the_tool() -> None:
    talk = await noted({"a": 1}, {"b": "x" * 65_536})
    assert [record.status for record in talk.io.results] == ["ok", "error"]
    assert talk.state.values["metadata"] == {"a": 1}


def test_objects_merge_and_all_else_replaces() -> None:
    assert merged({"a": {"b": 1}, "c": [1]}, {"a": {"d": 2}, "c": [2]}) == {"a": {"b": 1, "d": 2}, "c": [2]}
    assert merged({"a": 1}, {"a": {"b": None, "c": 1}}) == {"a": {"c": 1}}
    assert merged(None, {"a": None}) == {}
    for bad in (None, [], "x", {"a": "x" * 65_536}):
        with pytest.raises(ValueError, match="A session's metadata"):
            check_metadata(bad)
