"""What a worker remembers of sessions between their runs has a bound, in number and in bytes."""

from uuid import uuid4

import pytest

from runs.worker import conversation
from runs.worker.conversation import Conversation, Conversations
from runtime.contract import Message, ToolCall

SIZE = 10_000


def _said(text: str) -> Message:
    return Message(id=str(uuid4()), role="assistant", content=text)


def _conversation(name: str, size: int = SIZE) -> Conversation:
    return Conversation(name, None, 0, [_said("x" * size)], {})


@pytest.fixture
def conversations(monkeypatch: pytest.MonkeyPatch) -> Conversations:
    monkeypatch.setattr(conversation, "MAX_WARM_BYTES", 3 * SIZE + 3 * 1_000)
    return Conversations()


def _warm(conversations: Conversations) -> list[str]:
    return list(conversations._warm)


def test_the_least_recently_used_give_way_to_what_is_new(conversations: Conversations) -> None:
    for name in "abcd":
        conversations.keep(_conversation(name))
    assert _warm(conversations) == ["b", "c", "d"]


def test_a_conversation_that_grows_counts_with_what_it_has_grown_by(conversations: Conversations) -> None:
    growing = _conversation("a")
    for name in "bc":
        conversations.keep(_conversation(name))
    conversations.keep(growing)
    growing.messages.append(_said("y" * SIZE))
    conversations.keep(growing)
    assert _warm(conversations) == ["c", "a"]


def test_parts_and_the_arguments_of_tool_calls_count_too() -> None:
    calls = [ToolCall("1", "write", {"text": "z" * SIZE})]
    parts = [{"type": "text", "text": "x" * SIZE}, {"type": "image", "base64": "y" * SIZE, "mime_type": "image/png"}]
    said = Message(id=str(uuid4()), role="assistant", content=parts, tool_calls=calls)
    assert Conversation("a", None, 0, [said], {}).measure() >= 3 * SIZE


def test_one_that_is_larger_than_the_bound_stays_until_the_next_comes(conversations: Conversations) -> None:
    conversations.keep(_conversation("small"))
    conversations.keep(_conversation("huge", 10 * SIZE))
    assert _warm(conversations) == ["huge"]
    conversations.keep(_conversation("next"))
    assert _warm(conversations) == ["next"]
