"""Answers that have to fit a JSON Schema."""

import json
from typing import Any

import pytest

from runtime.contract import AgentSpec, Content
from runtime.errors import OutputInvalid
from runtime.middleware.structured_output import FAULTS
from runtime.react import ReactAgent
from tests.runtime.driver import Conversation, calls, react, script
from tests.runtime.test_react import Adder
from tests.stubs.openai import openai_stub
from tests.stubs.server import Reply

SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}


def answers(*texts: str, **config: Any) -> Conversation:
    return script(*({"text": text} for text in texts), output_schema=SCHEMA, **config)


async def output(chat: Conversation, content: Content = "hi") -> Any:
    await chat.say(content)
    return chat.steps[-1].structured


@pytest.mark.parametrize(
    "text", ['{"sum": 3}', ' {"sum":3}\n', '```json\n{"sum": 3}\n```', 'Here it is:\n```\n{"sum": 3}\n```\nBye.']
)
async def test_an_answer_that_fits_is_the_output(text: str) -> None:
    chat = answers(text)
    assert await output(chat) == {"sum": 3}
    assert chat.state.messages[-1].text == text
    assert chat.kinds == ["model"]


async def test_the_model_is_told_the_schema() -> None:
    chat = react({"provider": "fake", "model": "prompt"}, output_schema=SCHEMA, system_prompt="Be exact.")
    with pytest.raises(OutputInvalid):
        await chat.say("hi")
    told = chat.state.messages[1].text
    assert told.startswith("Be exact.\n\n")
    assert json.dumps(SCHEMA, separators=(",", ":")) in told


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ("three", "It is not JSON"),
        ('{"sum": "3"}', "sum: '3' is not of type 'integer'"),
        ("{}", "'sum' is a required property"),
        ("[3]", "[3] is not of type 'object'"),
        ('{"sum": NaN}', "It is not JSON"),
        ("", "It is not JSON"),
    ],
)
async def test_what_is_wrong_is_told_to_the_model_which_answers_again(wrong: str, fault: str) -> None:
    chat = answers(wrong, '{"sum": 3}')
    assert await output(chat) == {"sum": 3}
    assert chat.kinds == ["model", "model"]
    _, said, told, _ = chat.state.messages
    assert said.text == wrong
    assert (told.role, told.metadata[FAULTS][0]["message"] in told.text) == ("user", True)
    assert fault in told.text
    assert told.text.endswith("Answer again, with JSON that fits.")


async def test_after_two_corrections_the_run_fails_and_all_answers_stay() -> None:
    chat = answers("one", "two", "three", '{"sum": 3}')
    with pytest.raises(OutputInvalid) as raised:
        await chat.say("hi")
    assert raised.value.code == "output_invalid"
    assert not raised.value.retryable
    assert [m.text for m in chat.state.messages if m.role == "assistant"] == ["one", "two", "three"]
    assert "Answer again" not in chat.state.messages[-1].text


async def test_the_next_run_begins_to_count_anew() -> None:
    chat = answers("one", "two", '{"sum": 1}', "four", "five", '{"sum": 2}')
    assert await output(chat) == {"sum": 1}
    assert await output(chat) == {"sum": 2}


async def test_tools_are_called_before_the_answer() -> None:
    turns = [calls(("add", {"a": 1, "b": 2})), {"text": '{"sum": 3}'}]
    assert await output(script(*turns, tools=(Adder(),), output_schema=SCHEMA)) == {"sum": 3}


async def test_tokens_are_heard_as_ever() -> None:
    chat = answers('{"sum": 3}')
    await chat.say("hi")
    assert chat.io.tokens == [("text", '{"sum": '), ("text", "3}")]


async def test_without_a_schema_nothing_is_asked_for() -> None:
    chat = react({"provider": "fake", "model": "prompt"}, system_prompt="Be exact.")
    assert await chat.say("hi") == "Be exact."
    assert chat.steps[-1].structured is None


@pytest.mark.usefixtures("open_loopback")
async def test_openai_is_told_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    called = Reply(tool_calls=[("c1", "add", '{"a": 1, "b": 2}')])
    with openai_stub(called, Reply('{"sum": 3}')) as stub:
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://{stub.address}/v1")
        chat = react({"provider": "openai", "model": "gpt-4o"}, Adder(), output_schema=SCHEMA)
        assert await output(chat) == {"sum": 3}
    assert stub.body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert [tool["function"]["name"] for tool in stub.body["tools"]] == ["add"]
    assert [message["role"] for message in stub.body["messages"]] == ["user", "assistant", "tool"]


@pytest.mark.usefixtures("open_loopback")
@pytest.mark.parametrize(
    ("model", "schema"), [("gpt-4-turbo", SCHEMA), ("gpt-4o", {"type": "array"}), ("local", SCHEMA)]
)
async def test_a_model_without_that_way_is_told_in_the_prompt(
    model: str, schema: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with openai_stub(Reply("[]" if schema["type"] == "array" else '{"sum": 3}')) as stub:
        url = f"http://{stub.address}/v1"
        monkeypatch.setenv("OPENAI_BASE_URL", url if model != "local" else "")
        llm = {"provider": "openai", "model": model, "base_url": url if model == "local" else None}
        await react(llm, output_schema=schema).say("hi")
    assert "response_format" not in stub.body
    assert "JSON Schema" in stub.body["messages"][0]["content"]


@pytest.mark.usefixtures("open_loopback")
async def test_with_a_fallback_of_another_kind_the_prompt_tells_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with openai_stub(Reply('{"sum": 3}')) as stub:
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://{stub.address}/v1")
        llm = {"provider": "openai", "model": "gpt-4o", "fallbacks": [{"provider": "fake", "model": "echo"}]}
        await react(llm, output_schema=SCHEMA).say("hi")
    assert stub.body["response_format"]["type"] == "json_schema"
    assert "JSON Schema" in stub.body["messages"][0]["content"]


def test_the_agent_is_made_without_a_provider_that_is_not_there() -> None:
    llm = {"provider": "nobody", "model": "x"}
    assert ReactAgent(AgentSpec("ReactAgent", {"llm": llm, "output_schema": SCHEMA})).stack.all
