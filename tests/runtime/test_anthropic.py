from typing import Any

import pytest

from runtime.contract import Tool
from runtime.errors import AgentError, ModelError, ModelRateLimited, ModelServerError
from tests.runtime.driver import Conversation, react
from tests.runtime.test_react import Adder
from tests.stubs.anthropic import anthropic_stub
from tests.stubs.server import ModelStub, Reply

pytestmark = pytest.mark.usefixtures("open_loopback")


def claude(stub: ModelStub, *tools: Tool, **llm: Any) -> Conversation:
    base_url = f"http://{stub.address}"
    return react({"provider": "anthropic", "model": "claude-x", "base_url": base_url, **llm}, *tools)


async def test_the_body_carries_the_inference_parameters() -> None:
    with anthropic_stub(Reply("yes")) as stub:
        chat = claude(stub, temperature=0.5, max_tokens=64, top_p=0.9, stop_sequences=["END"])
        chat.agent.spec.config["system_prompt"] = "Be brief."
        assert await chat.say("hi") == "yes "
    wanted = {"model": "claude-x", "temperature": 0.5, "max_tokens": 64, "top_p": 0.9, "stop_sequences": ["END"]}
    assert stub.body.items() >= wanted.items()
    assert stub.body["system"] == "Be brief."
    record = chat.steps[0].model
    assert record is not None
    assert (record.usage.input_tokens, record.usage.output_tokens, record.finish_reason) == (11, 7, "end_turn")


async def test_tools_are_called_and_answered() -> None:
    called = Reply("Let me add", tool_calls=[("c1", "add", '{"a": 1, "b": 2}'), ("c2", "add", '{"a": "x"}')])
    with anthropic_stub(called, Reply("three")) as stub:
        chat = claude(stub, Adder())
        assert await chat.say("add") == "three "
    results = stub.body["messages"][-1]["content"]
    assert [(part["tool_use_id"], part.get("is_error")) for part in results] == [("c1", False), ("c2", True)]


async def test_reasoning_goes_back_to_its_author() -> None:
    called = Reply(reasoning="I should add.", tool_calls=[("c1", "add", '{"a": 1, "b": 2}')])
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with anthropic_stub(called, Reply("three")) as stub:
        chat = claude(stub, Adder(), settings={"thinking": thinking})
        await chat.say("add")
    assert chat.io.tokens[0] == ("reasoning", "I should add.")
    assert stub.body["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "I should add.",
        "signature": "signed",
    }


async def test_only_the_protocols_headers_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret-0123456789")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-ours: sk-ant-secret-0123456789")
    with anthropic_stub(Reply("yes")) as stub:
        await claude(stub).say("hi")
    assert "secret" not in str(stub.asked[0].headers)
    assert stub.asked[0].headers["x-api-key"] == "not-needed"


async def test_a_redirect_is_not_followed() -> None:
    with (
        anthropic_stub(Reply("caught")) as trap,
        anthropic_stub(Reply(status=307, headers={"location": f"http://{trap.address}/v1/messages"})) as stub,
    ):
        with pytest.raises(AgentError):
            await claude(stub).say("hi")
        assert stub.asked
        assert not trap.asked


@pytest.mark.parametrize(
    ("status", "kind"), [(429, ModelRateLimited), (529, ModelServerError), (500, ModelServerError), (401, ModelError)]
)
async def test_failures_are_classified(status: int, kind: type[AgentError]) -> None:
    with anthropic_stub(Reply(status=status, headers={"retry-after": "3"})) as stub:
        with pytest.raises(AgentError) as raised:
            await claude(stub).say("hi")
        assert len(stub.asked) == 1
    assert type(raised.value) is kind
    assert raised.value.message == f"anthropic answered {status}: the stub refuses"


async def test_an_overload_in_the_middle_of_a_stream_is_retryable() -> None:
    event = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'
    stub = ModelStub(lambda reply: iter([event]), Reply())
    with stub, pytest.raises(ModelServerError, match="529: busy"):
        await claude(stub).say("hi")
