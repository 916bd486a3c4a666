"""A conversation gets a title while its first answer is written."""

from typing import Any

import pytest

from runtime.errors import ModelError, MustWait
from tests.runtime.driver import Conversation, script


def titled(text: str = '"A  fine talk"', *, turns: list[dict[str, Any]] | None = None, **settings: Any) -> Conversation:
    naming = {"provider": "fake", "model": "script", "settings": {"turns": turns or [{"text": text}]}}
    entry = {"name": "conversation_title", "settings": {"llm": naming, **settings}}
    return script({"text": "one two", "delay_ms": 20}, middleware=[entry])


def title(talk: Conversation) -> Any:
    return talk.state.values.get("metadata", {}).get("conversation_title")


async def test_it_is_there_with_the_first_step() -> None:
    talk = titled()
    await talk.say("Hello")
    assert title(talk) == "A fine talk"
    assert talk.io.events == [("title_generated", {"title": "A fine talk"})]


async def test_it_is_made_beside_the_answer_and_counted() -> None:
    talk = titled()
    await talk.say("Hello")
    assert talk.io.tokens == [("text", "one "), ("text", "two")]
    assert talk.steps[0].model is not None
    assert talk.steps[0].model.usage.output_tokens == 5
    # The title, which waits for nothing, was there before the answer.
    assert [usage.output_tokens for usage in talk.io.used] == [3, 2]


async def test_it_is_made_once() -> None:
    talk = titled()
    await talk.say("Hello")
    await talk.say("And now?")
    assert len(talk.io.events) == 1
    assert len(talk.io.used) == 3


async def test_other_metadata_stays() -> None:
    talk = titled()
    talk.state.values = {"metadata": {"language": "en"}}
    await talk.say("Hello")
    assert talk.state.values["metadata"] == {"language": "en", "conversation_title": "A fine talk"}


async def test_what_is_no_metadata_makes_way() -> None:
    talk = titled()
    talk.state.values = {"metadata": ["odd"]}
    await talk.say("Hello")
    assert title(talk) == "A fine talk"


async def test_it_has_so_many_characters_at_most() -> None:
    talk = titled("A very long title", max_chars=8)
    await talk.say("Hello")
    assert title(talk) == "A very…"


@pytest.mark.parametrize(
    ("turn", "settings"),
    [
        ({"error": {"status": 500}}, {}),
        ({"text": "late", "delay_ms": 60_000}, {"timeout_s": 0.01}),
        ({"text": ' "" '}, {}),
    ],
    ids=["fails", "late", "empty"],
)
async def test_without_one_the_run_goes_on(turn: dict[str, Any], settings: dict[str, Any]) -> None:
    talk = titled(turns=[turn], **settings)
    assert await talk.say("Hello") == "one two"
    assert title(talk) is None
    assert talk.io.events == []


async def test_a_provider_without_room_for_it_does_not_put_the_run_off() -> None:
    talk = titled(llm={"provider": "fake", "model": "echo"})
    talk.io.refusals["echo"] = MustWait("Later.", retry_after_s=1)
    assert await talk.say("Hello") == "one two"


async def test_where_the_answer_fails_it_is_not_waited_for() -> None:
    talk = titled(turns=[{"text": "late", "delay_ms": 60_000}])
    talk.io.refusals["script"] = ModelError("Down.")
    with pytest.raises(ModelError):
        await talk.say("Hello")
