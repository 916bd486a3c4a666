import time
from typing import Any

import pytest

from runtime.providers import check_llm
from tests.runtime.driver import echo, script


@pytest.mark.parametrize("text", ["", "one", " lead and  double\nlines\t", "ünï \u3000 wide"])
async def test_the_tokens_joined_are_the_text(text: str) -> None:
    chat = echo()
    assert await chat.say(text) == text
    assert "".join(token for _, token in chat.io.tokens) == text


async def test_echo_answers_the_last_users_text_part() -> None:
    parts = [{"type": "text", "text": "what is this?"}, {"type": "image", "url": "https://example.org/a.png"}]
    assert await echo().say(parts) == "what is this?"


async def test_each_token_waits_its_delay() -> None:
    begun = time.monotonic()
    await script({"text": "one two three", "delay_ms": 30}).say("go")
    assert time.monotonic() - begun > 0.08


@pytest.mark.parametrize(
    ("llm", "loc"),
    [
        ({"model": "gpt"}, ("model",)),
        ({"model": "script"}, ("settings", "turns")),
        ({"model": "script", "settings": {"turns": []}}, ("settings", "turns")),
        ({"model": "script", "settings": {"turns": [{"txt": "x"}]}}, ("settings", "turns", 0, "txt")),
        ({"model": "script", "settings": {"turns": [{"error": {"status": 200}}]}}, None),
        ({"model": "echo", "settings": {"speed": 1}}, ("settings", "speed")),
    ],
)
def test_bad_settings_are_problems(llm: dict[str, Any], loc: tuple[str | int, ...] | None) -> None:
    problems = check_llm({"provider": "fake", **llm})
    assert problems
    assert loc is None or problems[0].loc == loc


def test_good_settings_are_none() -> None:
    turns = [{"tool_calls": [{"name": "x", "args": {}}]}, {"text": "ok", "delay_ms": 5}]
    assert check_llm({"provider": "fake", "model": "script", "settings": {"turns": turns}}) == []
    assert check_llm({"provider": "fake", "model": "echo", "temperature": None, "settings": {}}) == []


def test_problems_of_a_fallback_name_it() -> None:
    llm = {"provider": "fake", "model": "echo", "fallbacks": [{"provider": "nobody", "model": "x"}]}
    assert [problem.loc for problem in check_llm(llm)] == [("fallbacks", 0, "provider")]
