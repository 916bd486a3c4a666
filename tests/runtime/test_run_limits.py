"""The middleware `limits`: what one run may take."""

from typing import Any

import pytest
from pydantic import ValidationError

from runtime.configuration import RuntimeSettings, configure
from runtime.errors import AgentError, NotSupported
from runtime.middleware.limits import Limits, LimitsSettings
from runtime.prices import Price
from tests.runtime.driver import Conversation, calls, script
from tests.runtime.test_react import Adder

ADD = ("add", {"a": 1, "b": 2})
USED = {"usage": {"input_tokens": 400, "output_tokens": 100}}
CALLING = {**calls(ADD), **USED}


def limited(*turns: dict[str, Any], **settings: Any) -> Conversation:
    return script(*turns, tools=(Adder(),), middleware=[{"name": "limits", "settings": settings}])


async def refused(chat: Conversation) -> AgentError:
    with pytest.raises(AgentError) as raised:
        await chat.say("go")
    assert not raised.value.retryable
    return raised.value


async def test_a_model_that_goes_on_and_on_stops_at_its_tokens() -> None:
    chat = limited(CALLING, max_tokens=1_200)
    error = await refused(chat)
    assert (error.code, error.message) == ("token_limit_exceeded", "The run took 1500 tokens; it may take 1200.")
    assert chat.kinds == ["model", "tools"] * 3


async def test_the_answer_that_goes_beyond_is_kept() -> None:
    assert await limited({"text": "done", **USED}, max_tokens=10).say("go") == "done"


async def test_each_run_has_its_own() -> None:
    chat = limited({"text": "done", **USED}, max_tokens=500)
    assert [await chat.say("go"), await chat.say("go")] == ["done", "done"]


async def test_a_run_stops_at_its_cost() -> None:
    configure(RuntimeSettings(prices={"fake/script": Price(1_000, 1_000)}))
    error = await refused(limited(CALLING, max_cost_usd=0.8))
    assert (error.code, error.message) == ("cost_limit_exceeded", "The run cost 1 USD; it may cost 0.8.")


async def test_without_a_price_there_is_no_run_that_is_limited_by_it() -> None:
    chat = limited({"text": "done"}, max_cost_usd=1)
    assert isinstance(await refused(chat), NotSupported)
    assert chat.steps == []


async def test_tool_calls_beyond_are_not_carried_out() -> None:
    chat = limited(calls(ADD, ADD), max_tool_calls=3)
    error = await refused(chat)
    assert (error.code, error.message) == ("tool_limit_exceeded", "The run wants 4 tool calls; it may have 3.")
    assert len(chat.io.results) == 2


async def test_each_tool_has_a_limit_of_its_own() -> None:
    chat = limited(calls(ADD), max_tool_calls_by_tool={"add": 1, "other": 0})
    error = await refused(chat)
    assert (error.code, error.message) == ("tool_limit_exceeded", "The run wants 2 calls of 'add'; it may have 1.")
    assert len(chat.io.results) == 1


async def test_up_to_the_limit_all_is_carried_out() -> None:
    chat = limited(calls(ADD), calls(ADD), {"text": "done"}, max_tool_calls=2, max_tool_calls_by_tool={"add": 2})
    assert await chat.say("go") == "done"
    chat = limited({"text": "done"}, max_tool_calls=0)
    assert await chat.say("go") == "done"


async def test_what_a_person_rejects_is_no_call() -> None:
    limits = {"name": "limits", "settings": {"max_tool_calls": 1}}
    turns = [calls(ADD), calls(ADD), {"text": "done"}]
    chat = script(*turns, tools=(Adder(),), middleware=[limits], interrupt_on={"add": True})
    await chat.until_it_waits("go")
    await chat.answer({"decisions": [{"tool_call_id": "call_0_0", "type": "reject"}]})
    await chat.step()
    await chat.step()
    await chat.answer({"decisions": [{"tool_call_id": "call_1_0", "type": "approve"}]})
    assert (await chat.step()).done


@pytest.mark.parametrize(
    "settings",
    [{}, {"max_tokens": 0}, {"max_cost_usd": 0}, {"max_tool_calls": -1}, {"max_tool_calls_by_tool": {"add": -1}}],
)
def test_a_limit_that_cannot_be_meant_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LimitsSettings.model_validate(settings)


def test_a_cost_is_limited_where_all_models_have_a_price_only() -> None:
    settings = LimitsSettings(max_cost_usd=1)
    priced = {"provider": "openai", "model": "gpt-4o"}
    assert list(Limits.unfit(settings, {"llm": priced})) == []
    [(place, message)] = Limits.unfit(
        settings, {"llm": {**priced, "fallbacks": [{"provider": "fake", "model": "echo"}]}}
    )
    assert place == ("max_cost_usd",)
    assert "fake/echo" in message
