"""What was said long ago is shown to the model as a summary; the session keeps all of it."""

from typing import Any

import pytest

from runtime.contract import Message, ToolCall
from runtime.errors import ModelServerError, MustWait
from runtime.middleware.summarization import parted, shortened
from tests.runtime.driver import Conversation, calls, script
from tests.runtime.test_middleware import Count

SUMMING = {"provider": "fake", "model": "script", "settings": {"turns": [{"text": "They said hello."}]}}
ECHO = {"provider": "fake", "model": "echo"}
SEEN = "This is a summary of the conversation so far:\n\nThey said hello."


def long_talk(*said: str, keep: int = 2, **settings: Any) -> Conversation:
    """A talk that shows what its model sees: each answer is how many words that was."""
    entry = {
        "name": "summarization",
        "settings": {"max_tokens_before_summary": 70, "messages_to_keep": keep, "llm": SUMMING, **settings},
    }
    talk = script({"text": "Yes."}, middleware=[entry])
    roles = ("user", "assistant")
    talk.state.messages = [Message(f"m{n}", roles[n % 2], text) for n, text in enumerate(said)]  # type: ignore[arg-type]
    return talk


LONG = ["one " * 20, "two " * 20, "three " * 20, "four"]


async def test_all_but_the_last_messages_are_summed_up() -> None:
    talk = long_talk(*LONG)
    await talk.say("five")
    assert talk.state.values["summary"] == {"text": "They said hello.", "through": "m2"}
    ((name, value),) = talk.io.events
    assert (name, value["messages"]) == ("summarized", 3)
    assert value["tokens_before"] > 70 > value["tokens_after"]
    # The model saw the summary, and two messages of a word each.
    assert talk.io.used[1].input_tokens == len(SEEN.split()) + 2
    assert len(talk.state.messages) == 6


async def test_what_it_took_is_counted_with_the_step() -> None:
    talk = long_talk(*LONG)
    await talk.say("five")
    summing, answering = talk.io.used
    assert talk.steps[0].model is not None
    assert talk.steps[0].model.usage.input_tokens == summing.input_tokens + answering.input_tokens
    assert talk.io.tokens == [("text", "Yes.")]


async def test_it_is_made_once_and_not_at_each_step() -> None:
    talk = long_talk(*LONG)
    await talk.say("five")
    await talk.say("six")
    assert [name for name, _ in talk.io.events] == ["summarized"]
    assert talk.io.used[-1].input_tokens == len(SEEN.split()) + 4


async def test_a_later_summary_takes_in_the_earlier_one() -> None:
    talk = long_talk(*LONG, llm=ECHO)
    await talk.say("five")
    await talk.say("six")
    summary = talk.state.values["summary"]
    assert summary["through"] == talk.state.messages[-4].id
    assert summary["text"].startswith("user: This is a summary of the conversation so far:\n\nuser: one one")
    assert summary["text"].endswith("assistant: four\n\nuser: five")


async def test_a_short_talk_is_shown_as_it_is() -> None:
    talk = long_talk("one", "two")
    await talk.say("three")
    assert talk.io.events == []
    assert talk.io.used[0].input_tokens == 3


@pytest.mark.parametrize("turn", [{"error": {"status": 500}}, {"text": " "}])
async def test_where_it_fails_the_model_is_shown_everything(turn: dict[str, Any]) -> None:
    talk = long_talk(*LONG, llm={**SUMMING, "settings": {"turns": [turn]}})
    await talk.say("five")
    assert [name for name, _ in talk.io.events] == ["summary_failed"]
    assert talk.io.used[-1].input_tokens == 62
    assert "summary" not in talk.state.values


async def test_a_provider_that_takes_no_more_calls_is_waited_for() -> None:
    talk = long_talk(*LONG, llm=ECHO)
    talk.io.refusals["echo"] = MustWait("Later.", retry_after_s=1)
    with pytest.raises(MustWait):
        await talk.say("five")
    talk.io.refusals["echo"] = ModelServerError("Down.")
    assert (await talk.step()).done


async def test_a_run_that_does_not_have_its_last_message_does_without() -> None:
    messages = [Message("a", "user", "Hello")]
    assert shortened(messages, {"text": "Before.", "through": "gone"}) is messages
    assert shortened(messages, None) is messages


def test_a_tools_result_stays_with_its_call() -> None:
    asked = Message("asked", "assistant", "", [ToolCall("a", "find", {}), ToolCall("b", "find", {})])
    results = [Message(call, "tool", "here", tool_call_id=call) for call in ("a", "b")]
    messages = [Message("said", "user", "Hello"), asked, *results]
    for keep in (1, 2, 3):
        assert parted(messages, keep) == (messages[:1], messages[1:])
    assert parted(messages, 4) == ([], messages)
    assert parted(messages, 9) == ([], messages)


async def test_what_tools_gave_is_in_what_is_summed_up() -> None:
    settings = {"max_tokens_before_summary": 1, "messages_to_keep": 1, "llm": ECHO}
    turns = calls(("count", {})), {"text": "Done."}
    talk = script(*turns, tools=(Count(),), middleware=[{"name": "summarization", "settings": settings}])
    await talk.say("go")
    await talk.say("again")
    text = talk.state.values["summary"]["text"]
    assert "[calls count with {}]" in text
    assert "tool (count): 1" in text
