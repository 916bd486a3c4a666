"""langchain's runnables as agents."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda

from runtime import registry
from runtime.contract import AgentSpec, Step
from runtime.errors import AgentError
from runtime.registry import agent_class, agent_type
from runtime.runnables import register_runnable
from runtime.testing import FakeChatModel, Script
from tests.runtime.driver import Conversation


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})


def chat_with(runnable: Any, config: Any = None, **options: Any) -> Conversation:
    register_runnable("Chain", runnable, **options)
    return Conversation(agent_class("Chain")(AgentSpec("Chain", config or {})))


async def given(chat: Conversation, value: Any) -> Step:
    chat.state.input = value
    return await chat.step()


async def test_a_chat_model_answers_the_conversation_token_by_token_and_is_counted() -> None:
    chat = chat_with(FakeChatModel())
    assert await chat.say("one two") == "one two"
    assert chat.io.tokens == [("text", "one "), ("text", "two")]
    record = chat.steps[-1].model
    assert record is not None
    assert (record.provider, record.model) == ("runnable", "Chain")
    assert (record.usage.input_tokens, record.usage.output_tokens) == (2, 2)


async def test_a_chain_sees_what_was_said_before_below_the_system_prompt() -> None:
    seen: list[list[str]] = []

    def look(messages: list[BaseMessage]) -> str:
        seen.append([message.type for message in messages])
        return "ok"

    chat = chat_with(RunnableLambda(look), {"system_prompt": "Be brief."})
    await chat.say("a")
    await chat.say("b")
    assert seen == [["system", "human"], ["system", "human", "ai", "human"]]


async def test_without_memory_it_sees_its_run_only() -> None:
    chat = chat_with(RunnableLambda(lambda messages: str(len(messages))), {"memory": {"scope": "none"}})
    assert [await chat.say("a"), await chat.say("b")] == ["1", "1"]


async def test_a_chain_of_the_input_streams_its_text_and_all_its_models_are_counted() -> None:
    prompt = ChatPromptTemplate.from_messages([("user", "Weather in {city}?")])
    chain: Runnable[Any, Any] = prompt | FakeChatModel() | StrOutputParser()
    chat = chat_with(chain, takes="input")
    step = await given(chat, {"city": "Bern"})
    assert (chat.state.messages[-1].text, step.structured) == ("Weather in Bern?", None)
    assert "".join(text for _, text in chat.io.tokens) == "Weather in Bern?"
    assert step.model is not None
    assert step.model.usage.output_tokens == 3


async def test_what_is_no_text_is_structured() -> None:
    step = await given(chat_with(RunnableLambda(lambda value: {"doubled": value["n"] * 2}), takes="input"), {"n": 2})
    assert (step.structured, step.messages[0].content) == ({"doubled": 4}, '{"doubled":4}')
    assert step.model is None


@pytest.mark.parametrize(
    ("pieces", "result"), [(["a", "b"], "ab"), ([{"a": 1}, {"b": 2}], {"b": 2}), ([[1], [2]], [1, 2])]
)
async def test_pieces_are_added_up_and_else_the_last_one_counts(pieces: list[Any], result: Any) -> None:
    async def stream(_: AsyncIterator[Any]) -> AsyncIterator[Any]:
        for piece in pieces:
            yield piece

    step = await given(chat_with(RunnableGenerator(stream), takes="input"), {})
    assert (step.structured or step.messages[0].content) == result


async def test_a_factory_makes_one_for_each_version() -> None:
    def make(spec: AgentSpec) -> Runnable[Any, Any]:
        turns = [{"text": spec.config["llm"]["model"]}]
        return FakeChatModel(model="script", script=Script.model_validate({"turns": turns}))

    chat = chat_with(make, {"llm": {"model": "large"}}, description="Says its model's name.")
    assert await chat.say("who?") == "large"
    assert agent_type("Chain").description == "Says its model's name."


async def test_tools_that_nobody_calls_are_refused() -> None:
    asks = AIMessage("", tool_calls=[{"name": "pay", "args": {}, "id": "1"}])
    with pytest.raises(AgentError, match="asks for tools"):
        await chat_with(RunnableLambda(lambda _: asks)).say("pay")


async def test_the_messages_it_is_given_are_its_own() -> None:
    def spoil(messages: list[BaseMessage]) -> str:
        before = messages[0].text
        messages[0].content = "spoilt"
        return before

    chat = chat_with(RunnableLambda(spoil))
    assert [await chat.say("first"), await chat.say("second")] == ["first", "first"]
