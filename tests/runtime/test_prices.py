"""What a model call costs."""

import re

import pytest

from runtime import middleware
from runtime.configuration import RuntimeSettings, configure
from runtime.contract import Usage
from runtime.errors import ModelError
from runtime.middleware import register_middleware
from runtime.middleware.base import Middleware, Turn
from runtime.prices import BUILT_IN, NO_PRICES, Price, price_of, read_prices
from tests.runtime.driver import react, script
from tests.stubs.anthropic import anthropic_stub
from tests.stubs.openai import openai_stub
from tests.stubs.server import Reply

OWN = {"fake/script": Price(2, 10), "fake/": Price(1, 1)}


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-5.1-chat-latest", "gpt-5.1-chat"),
    ],
)
def test_a_dated_version_costs_what_its_model_does(model: str, named: str) -> None:
    assert price_of("openai", model) == BUILT_IN[f"openai/{named}"]


@pytest.mark.parametrize("model", ["gpt-4o-audio-preview", "gpt-5-ultra", "gpt", "claude-opus-5", ""])
def test_what_is_not_known_has_no_price(model: str) -> None:
    assert price_of("openai", model) is None


def test_the_longest_name_of_a_deployments_own_table_counts() -> None:
    assert price_of("fake", "script", OWN) == Price(2, 10)
    assert price_of("fake", "scripted", OWN) == Price(2, 10)
    assert price_of("fake", "echo", OWN) == Price(1, 1)
    assert price_of("openai", "gpt-4o", {"openai/gpt-4o": Price(1, 1)}) == Price(1, 1)
    assert price_of("openai", "gpt-4o-mini", {"openai/gpt-4o": Price(1, 1)}) == BUILT_IN["openai/gpt-4o-mini"]
    assert price_of("openai", "gpt-4o-2024-08-06", {"openai/gpt-4o": Price(1, 1)}) == Price(1, 1)


def test_elsewhere_a_providers_own_prices_do_not_hold() -> None:
    assert price_of("openai", "gpt-4o", at_home=False) is None
    assert price_of("openai", "gpt-4o", {"openai/gpt-4o": Price(1, 1)}, at_home=False) == Price(1, 1)


def test_cached_input_has_its_own_price_if_it_has_one() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=100_000)
    assert Price(2, 10, 0.5).cost(usage, cached_tokens=600_000) == 0.8 + 0.3 + 1
    assert Price(2, 10).cost(usage, cached_tokens=600_000) == 3


def test_a_long_prompt_has_a_price_of_its_own() -> None:
    price = Price(1, 1, long_from=100_000, long=Price(5, 5))
    assert price.cost(Usage(100_000, 0)) == 0.1
    assert price.cost(Usage(100_001, 99_999)) == 1


def test_a_table_is_read() -> None:
    text = '{"openai/llama": {"input": 0.2, "output": 1, "cached_input": 0}}'
    assert read_prices(text) == {"openai/llama": Price(0.2, 1, 0)}
    assert read_prices("{}") == NO_PRICES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("input=1", "not JSON"),
        ("[]", "must be an object"),
        ('{"gpt-4o": {"input": 1, "output": 1}}', "'gpt-4o' must be a provider and a model"),
        ('{"openai/x": {"input": 1}}', "must have input and output"),
        ('{"openai/x": {"input": 1, "output": 1, "price": 1}}', "must have input and output"),
        ('{"openai/x": 5}', "must have input and output"),
        ('{"openai/x": {"input": "1", "output": 1}}', "input of 'openai/x' must be a number of USD, not \"1\""),
        ('{"openai/x": {"input": 1, "output": -1}}', "not -1"),
        ('{"openai/x": {"input": 1, "output": NaN}}', "not NaN"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_prices(text)


async def test_a_call_of_a_model_without_a_price_has_no_cost() -> None:
    chat = script({"text": "hi"})
    await chat.say("go")
    assert chat.state.usage.cost_usd is None


async def test_each_call_costs_what_its_tokens_do() -> None:
    configure(RuntimeSettings(prices=OWN))
    chat = script({"text": "hi", "usage": {"input_tokens": 1_000, "output_tokens": 100}})
    await chat.say("go")
    await chat.step()
    assert chat.steps[0].model is not None
    assert chat.steps[0].model.document()["usage"]["cost_usd"] == 0.003
    assert chat.state.usage.cost_usd == 0.006


@pytest.mark.usefixtures("open_loopback")
async def test_what_openai_had_in_its_cache_costs_less() -> None:
    prices = {"openai/local": Price(2, 10, 0.5)}
    configure(RuntimeSettings(url_allowlist=("127.0.0.1",), prices=prices))
    with openai_stub(Reply("yes", input_tokens=1_000_000, cached_tokens=400_000, output_tokens=0)) as stub:
        chat = react({"provider": "openai", "model": "local", "base_url": f"http://{stub.address}/v1"})
        await chat.say("hi")
    assert chat.state.usage == Usage(1_000_000, 0, 1.4)


@pytest.mark.usefixtures("open_loopback")
async def test_what_anthropic_had_in_its_cache_costs_less() -> None:
    prices = {"anthropic/claude": Price(2, 10, 0.5)}
    configure(RuntimeSettings(url_allowlist=("127.0.0.1",), prices=prices))
    with anthropic_stub(Reply("yes", input_tokens=1_000_000, cached_tokens=400_000, output_tokens=0)) as stub:
        chat = react({"provider": "anthropic", "model": "claude-x", "base_url": f"http://{stub.address}"})
        await chat.say("hi")
    assert chat.state.usage == Usage(1_000_000, 0, 1.4)


@pytest.mark.usefixtures("open_loopback")
async def test_a_model_of_that_name_elsewhere_has_no_price() -> None:
    with openai_stub(Reply("yes")) as stub:
        chat = react({"provider": "openai", "model": "gpt-4o", "base_url": f"http://{stub.address}/v1"})
        await chat.say("hi")
    assert chat.state.usage.cost_usd is None


@pytest.mark.usefixtures("open_loopback")
async def test_where_the_operator_sends_all_calls_the_price_is_the_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    with openai_stub(Reply("yes", input_tokens=1_000_000)) as stub:
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://{stub.address}/v1")
        chat = react({"provider": "openai", "model": "gpt-4o-mini"})
        await chat.say("hi")
    assert chat.state.usage.cost_usd == pytest.approx(0.15, rel=0.01)


async def test_the_model_that_answers_sets_the_price_and_the_failure_is_told() -> None:
    configure(RuntimeSettings(prices=OWN))
    failing = {"provider": "fake", "model": "script", "settings": {"turns": [{"error": {"status": 503}}]}}
    chat = react({**failing, "fallbacks": [{"provider": "fake", "model": "echo"}]})
    assert await chat.say("one two three") == "one two three"
    assert chat.state.usage == Usage(3, 3, 0.000006)
    message = "fake: the script's error with status 503"
    told = {"provider": "fake", "model": "script", "code": "model_server_error", "message": message}
    assert chat.io.events == [("model_failed", told)]


async def test_a_failure_without_a_fallback_is_no_event_of_its_own() -> None:
    chat = script({"error": {"status": 400}})
    with pytest.raises(ModelError):
        await chat.say("hi")
    assert chat.io.events == []


async def test_what_middleware_took_counts_though_the_call_after_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "_registered", {})

    @register_middleware
    class Thinker(Middleware):
        name = "thinker"

        async def before_model(self, turn: Turn) -> None:
            turn.used(Usage(30, 20, 0.5))

    chat = script({"error": {"status": 400}}, middleware=[{"name": "thinker"}])
    with pytest.raises(ModelError) as raised:
        await chat.say("hi")
    assert raised.value.record is not None
    assert raised.value.record.usage == Usage(30, 20, 0.5)


@pytest.mark.usefixtures("open_loopback")
async def test_what_a_failed_call_has_taken_is_counted() -> None:
    configure(RuntimeSettings(url_allowlist=("127.0.0.1",), prices={"openai/": Price(1, 1), **OWN}))
    cut = Reply("", input_tokens=1_000, output_tokens=0, cut_after=2)
    with openai_stub(cut) as stub:
        llm = {"provider": "openai", "model": "local", "base_url": f"http://{stub.address}/v1"}
        with pytest.raises(ModelError) as raised:
            await react(llm).say("hi")
        assert raised.value.record is not None
        assert raised.value.record.usage == Usage(1_000, 0, 0.001)
        chat = react({**llm, "fallbacks": [{"provider": "fake", "model": "echo"}]})
        await chat.say("hi")
    assert chat.state.usage == Usage(1_001, 1, 0.001002)
