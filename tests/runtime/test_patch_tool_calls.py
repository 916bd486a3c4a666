"""A model is shown a history in which each tool call has its result."""

from collections.abc import Sequence

import pytest

from runtime.contract import Message, ToolCall
from runtime.middleware.patch_tool_calls import patched
from tests.runtime.driver import echo


def asked(*calls: str) -> Message:
    return Message("".join(calls), "assistant", "", [ToolCall(call, "find", {}) for call in calls])


def found(call: str) -> Message:
    return Message(f"found {call}", "tool", f"{call} is here", tool_call_id=call, name="find")


SAID, DONE = Message("said", "user", "Hello"), Message("done", "assistant", "Done")
CANCELLED = "The call of find was cancelled"


def shown(messages: Sequence[Message]) -> list[str]:
    """The history in short: a result by its call, in brackets where it is made up."""
    out = []
    for message in messages:
        made_up = message.text.startswith(CANCELLED)
        out.append(f"({message.tool_call_id})" if made_up else message.tool_call_id or message.id)
    return out


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([SAID, asked("a"), SAID], ["said", "a", "(a)", "said"]),
        ([asked("a", "b"), found("b"), SAID], ["ab", "(a)", "b", "said"]),
        ([asked("a"), asked("b"), found("b")], ["a", "(a)", "b", "b"]),
        ([asked("a"), SAID, found("a"), DONE], ["a", "a", "said", "done"]),
        ([SAID, asked("a")], ["said", "a", "(a)"]),
        ([found("a"), SAID], ["said"]),
        ([asked("a"), found("a"), found("a"), SAID], ["a", "a", "said"]),
    ],
    ids=["no result", "one of two", "two turns", "a result too late", "at the end", "no call", "twice"],
)
def test_what_is_missing_is_made_up_and_what_is_lost_is_left_out(history: list[Message], expected: list[str]) -> None:
    assert shown(patched(history)) == expected


def test_a_history_that_is_right_is_the_same_list() -> None:
    history = [SAID, asked("a", "b"), found("b"), found("a"), DONE, SAID]
    assert patched(history) is history


async def test_only_what_the_model_sees_is_patched() -> None:
    talk = echo(middleware=[{"name": "patch_tool_calls"}])
    talk.state.messages = [SAID, asked("a")]
    assert await talk.say("Go on") == "Go on"
    assert shown(talk.state.messages) == ["said", "a", "id-1", "id-2"]
    # The fake model counts the words that it was shown: three of ours, and what was made up.
    assert talk.io.used[0].input_tokens > 3 + len(CANCELLED.split())
