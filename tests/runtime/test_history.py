"""A history that ends in tool calls is completed before a model sees it."""

from runtime.contract import Message, ToolCall
from runtime.history import answers_for_open_calls

ASKED = Message("1", "assistant", "", [ToolCall("a", "find", {}), ToolCall("b", "find", {})])
FOUND = Message("2", "tool", "here", tool_call_id="a", name="find")
DONE = Message("3", "assistant", "Done")


def test_every_open_call_gets_its_answer() -> None:
    assert [(m.role, m.tool_call_id, m.name) for m in answers_for_open_calls([ASKED])] == [
        ("tool", "a", "find"),
        ("tool", "b", "find"),
    ]


def test_what_is_answered_is_not_answered_again() -> None:
    assert [m.tool_call_id for m in answers_for_open_calls([ASKED, FOUND])] == ["b"]
    assert answers_for_open_calls([ASKED, FOUND, DONE]) == []


def test_nothing_was_said() -> None:
    assert answers_for_open_calls([]) == []
