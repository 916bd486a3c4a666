"""What an operator may write in AGENT_SERVER_PROVIDER_LIMITS."""

import re

import pytest

from runtime.providers.limits import Limit, limits_for, read_limits


def test_limits_are_of_providers_and_of_models() -> None:
    text = (
        '{"openai": {"concurrent_calls": 50, "tokens_per_minute": 200000}, "openai:llama3:8b": {"calls_per_minute": 5}}'
    )
    limits = read_limits(text)
    assert limits == {
        "openai": Limit(concurrent_calls=50, tokens_per_minute=200_000),
        "openai:llama3:8b": Limit(calls_per_minute=5),
    }
    assert limits_for(limits, "openai", "llama3:8b") == ["openai", "openai:llama3:8b"]
    assert limits_for(limits, "openai", "gpt-4o") == ["openai"]
    assert limits_for(limits, "fake", "echo") == []


@pytest.mark.parametrize("text", ["", " ", "{}"])
def test_nothing_limits_nothing(text: str) -> None:
    assert read_limits(text) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("openai=5", "not JSON"),
        ("[]", "must be an object"),
        ('{"openai": {"concurrent_calls": 1}, "openai": {"concurrent_calls": 2}}', "same key twice"),
        ('{"opnai": {"concurrent_calls": 1}}', "no provider 'opnai'; there are anthropic, fake, openai"),
        ('{"openai:": {"concurrent_calls": 1}}', "no provider 'openai:'"),
        ('{"openai": {"calls": 1}}', "'openai' has 'calls'; it takes concurrent_calls, calls_per_minute"),
        ('{"openai": {}}', "at least one of concurrent_calls"),
        ('{"openai": 5}', "at least one of concurrent_calls"),
        ('{"openai": {"concurrent_calls": 0}}', "at least 1, not 0"),
        ('{"openai": {"concurrent_calls": true}}', "at least 1, not true"),
        ('{"openai": {"concurrent_calls": 1.5}}', "at least 1, not 1.5"),
        ('{"openai": {"concurrent_calls": null}}', "at least 1, not null"),
        ('{"openai": {"concurrent_calls": 9007199254740993}}', "not 9007199254740993"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as refused:
        read_limits(text)

    assert "\n" not in str(refused.value)
