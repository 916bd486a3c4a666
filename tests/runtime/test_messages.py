"""What a model is shown is made of a message once, and anew where the message is another."""

import pytest

from runtime import messages
from runtime.contract import Message
from runtime.messages import to_langchain
from runtime.metadata import REASONING


def said(text: str = "hello", message_id: str = "1") -> Message:
    return Message(message_id, "user", text)


def test_it_is_made_once() -> None:
    history = [said("one", "1"), Message("2", "assistant", "two")]
    for first, again in zip(to_langchain(history), to_langchain(history), strict=True):
        assert first is again


def test_another_text_or_another_message_is_shown_as_it_is() -> None:
    message = said()
    to_langchain([message])
    message.content = "changed"
    assert [shown.content for shown in to_langchain([message])] == ["changed"]
    assert [shown.content for shown in to_langchain([said("another")])] == ["another"]


def test_reasoning_goes_back_to_its_author_only() -> None:
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "s"}]
    message = Message("1", "assistant", "so", metadata={REASONING: {"provider": "anthropic", "blocks": blocks}})
    for _ in range(2):
        assert [shown.content for shown in to_langchain([message], "openai")] == ["so"]
        assert [shown.content for shown in to_langchain([message], "anthropic")] == [
            [*blocks, {"type": "text", "text": "so"}]
        ]


def test_what_has_parts_is_made_anew() -> None:
    message = Message("1", "user", [{"type": "text", "text": "hello"}])
    assert to_langchain([message])[0] is not to_langchain([message])[0]


def test_no_more_is_kept_than_the_last_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_KEPT", 2)
    monkeypatch.setattr(messages, "_kept", type(messages._kept)())
    one, two, three = history = [said(name, name) for name in ("one", "two", "three")]
    shown = to_langchain([one, two])
    to_langchain([one, three])
    assert to_langchain([one])[0] is shown[0]
    assert to_langchain([two])[0] is not shown[1]
    assert len(messages._kept) == 2 < len(history)
