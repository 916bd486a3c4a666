import asyncio
from typing import Any

import pytest

from runtime.configuration import RuntimeSettings, configure
from runtime.contract import Tool
from runtime.errors import (
    AgentError,
    MissingSecret,
    ModelError,
    ModelRateLimited,
    ModelServerError,
    ModelTimeout,
    ModelUnreachable,
)
from runtime.providers import check_llm
from runtime.providers.connection import close_connections
from tests.runtime.driver import Conversation, react
from tests.runtime.test_react import Adder
from tests.stubs.openai import openai_stub
from tests.stubs.server import ModelStub, Reply

pytestmark = pytest.mark.usefixtures("open_loopback")
KEY = "sk-secret-0123456789"


def local(stub: ModelStub, *tools: Tool, **llm: Any) -> Conversation:
    return react({"provider": "openai", "model": "local", "base_url": f"http://{stub.address}/v1", **llm}, *tools)


async def fault(chat: Conversation) -> AgentError:
    with pytest.raises(AgentError) as raised:
        await chat.say("hi")
    return raised.value


async def test_the_body_carries_the_inference_parameters() -> None:
    with openai_stub(Reply("yes")) as stub:
        chat = local(stub, temperature=0.5, max_tokens=64, top_p=0.9, stop_sequences=["END"])
        chat.agent.spec.config["system_prompt"] = "Be brief."
        await chat.say("hi")
    wanted = {"model": "local", "temperature": 0.5, "max_tokens": 64, "top_p": 0.9, "stop": ["END"], "stream": True}
    assert stub.body.items() >= wanted.items()
    assert "max_completion_tokens" not in stub.body
    assert stub.asked[0].path == "/v1/chat/completions"
    assert stub.body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]


async def test_settings_are_passed_on() -> None:
    settings = {"seed": 7, "presence_penalty": 0.1, "response_format": {"type": "json_object"}}
    with openai_stub(Reply("{}")) as stub:
        await local(stub, settings=settings).say("hi")
    assert stub.body.items() >= settings.items()


async def test_tokens_usage_and_reason_come_through() -> None:
    with openai_stub(Reply("a b c", input_tokens=5, output_tokens=3)) as stub:
        chat = local(stub)
        assert await chat.say("hi") == "a b c "
    assert chat.io.tokens == [("text", "a "), ("text", "b "), ("text", "c ")]
    record = chat.steps[0].model
    assert record is not None
    assert record.document() == {
        "provider": "openai",
        "model": "local",
        "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8, "cost_usd": None},
        "finish_reason": "stop",
    }


async def test_streamed_tool_calls_are_put_together_and_answered() -> None:
    called = Reply(tool_calls=[("c1", "add", '{"a": 1, "b": 2}'), ("c2", "add", '{"a": 3, "b": 4}')])
    with openai_stub(called, Reply("three and seven")) as stub:
        chat = local(stub, Adder())
        await chat.say("add them")
    assert [tool["function"]["name"] for tool in stub.asked[0].body["tools"]] == ["add"]
    assert [message["role"] for message in stub.body["messages"]] == ["user", "assistant", "tool", "tool"]
    assert [message["content"] for message in stub.body["messages"][2:]] == ["3", "7"]
    assert [call["id"] for call in stub.body["messages"][1]["tool_calls"]] == ["c1", "c2"]


@pytest.mark.parametrize("arguments", ['{"a": 1, "b": ', "[1, 2]", "nonsense"])
async def test_unreadable_arguments_are_an_observation(arguments: str) -> None:
    with openai_stub(Reply(tool_calls=[("c1", "add", arguments)]), Reply("sorry")) as stub:
        chat = local(stub, Adder())
        assert await chat.say("add") == "sorry "
    assert "not a JSON object" in stub.body["messages"][-1]["content"]
    assert chat.io.results[0].status == "error"


async def test_missing_and_repeated_call_ids_are_replaced() -> None:
    twice = Reply(tool_calls=[("c1", "add", '{"a":1,"b":1}'), ("c1", "add", '{"a":2,"b":2}')])
    with openai_stub(twice, Reply("ok")) as stub:
        chat = local(stub, Adder())
        await chat.say("go")
    assert [record.result for record in chat.io.results] == [2, 4]
    assert len({record.call.id for record in chat.io.results}) == 2


async def test_reasoning_is_heard_apart_and_not_sent_back() -> None:
    with openai_stub(Reply("yes", reasoning="let me see")) as stub:
        chat = local(stub)
        await chat.say("hi")
        await chat.say("again")
    assert chat.io.tokens[:4] == [("reasoning", "let "), ("reasoning", "me "), ("reasoning", "see "), ("text", "yes ")]
    assert chat.state.messages[1].metadata["reasoning"]["text"] == "let me see "
    assert "let me see" not in str(stub.body)


async def test_images_reach_the_model() -> None:
    parts = [{"type": "text", "text": "what?"}, {"type": "image", "base64": "aGk=", "mime_type": "image/png"}]
    with openai_stub(Reply("a cat")) as stub:
        await local(stub).say(parts)
    image = stub.body["messages"][0]["content"][1]
    assert image == {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


async def test_a_rate_limit_says_when_to_come_back() -> None:
    with openai_stub(Reply(status=429, headers={"retry-after": "7"})) as stub:
        error = await fault(local(stub))
        assert len(stub.asked) == 1
    assert isinstance(error, ModelRateLimited)
    assert error.retry_after_s == 7
    assert error.message == "openai answered 429: the stub refuses"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, ModelServerError), (503, ModelServerError), (529, ModelServerError), (408, ModelTimeout)],
)
async def test_failures_that_may_pass_are_retryable(status: int, kind: type[ModelError]) -> None:
    with openai_stub(Reply(status=status)) as stub:
        error = await fault(local(stub))
    assert type(error) is kind
    assert error.retryable


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_refusals_are_permanent(status: int) -> None:
    with openai_stub(Reply(status=status)) as stub:
        error = await fault(local(stub))
    assert type(error) is ModelError


async def test_a_model_that_hangs_is_a_timeout() -> None:
    with openai_stub(Reply(hang_s=30)) as stub:
        error = await fault(local(stub, settings={"timeout_s": 0.2}))
    assert isinstance(error, ModelTimeout)


async def test_nobody_there_is_unreachable() -> None:
    with openai_stub() as stub:
        chat = local(stub)
    assert isinstance(await fault(chat), ModelUnreachable)


async def test_an_answer_that_is_cut_off_is_unreachable() -> None:
    with openai_stub(Reply("a b c d", cut_after=2)) as stub:
        assert isinstance(await fault(local(stub)), ModelUnreachable)


async def test_cancelling_leaves_at_once() -> None:
    with openai_stub(Reply(hang_s=30)) as stub:
        task = asyncio.create_task(local(stub).say("hi"))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_no_fallback_takes_over_in_the_middle_of_an_answer() -> None:
    with openai_stub(Reply("a b c", cut_after=2)) as stub:
        await fault(chat := local(stub, fallbacks=[{"provider": "fake", "model": "echo"}]))
    assert chat.io.tokens == [("text", "a "), ("text", "b ")]


async def test_a_fallback_takes_over_before_the_answer_begins() -> None:
    with openai_stub(Reply(status=503)) as stub:
        chat = local(stub, fallbacks=[{"provider": "fake", "model": "echo"}])
        assert await chat.say("hi") == "hi"


async def test_an_internal_address_is_refused_without_a_call() -> None:
    with openai_stub(Reply("x")) as stub:
        chat = local(stub, base_url=f"http://localhost:{stub.address.partition(':')[2]}/v1")
        error = await fault(chat)
        assert not stub.asked
    assert type(error) is ModelError
    assert "localhost" in error.message


async def test_a_name_for_an_internal_address_is_permanent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*args: object, **options: object) -> list[Any]:
        return [(2, 1, 6, "", ("10.0.0.1", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    error = await fault(react({"provider": "openai", "model": "m", "base_url": "http://models.example/v1"}))
    assert type(error) is ModelError
    assert "internal address" in error.message


async def test_what_a_message_names_by_its_url_is_not_fetched_here() -> None:
    with openai_stub(Reply("caught")) as trap, openai_stub(Reply("fine")) as stub:
        image = {"type": "image", "url": f"http://{trap.address}/cat.png"}
        await local(stub).say([{"type": "text", "text": "What is this?"}, image])
        shown = stub.body["messages"][0]["content"][1]
        assert shown == {"type": "image_url", "image_url": {"url": image["url"]}}
        assert not trap.asked


async def test_a_redirect_is_not_followed() -> None:
    with (
        openai_stub(Reply("caught")) as trap,
        openai_stub(Reply(status=307, headers={"location": f"http://{trap.address}/v1/chat/completions"})) as stub,
    ):
        await fault(local(stub))
        assert not trap.asked


async def test_a_local_model_gets_a_placeholder_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-ours")
    with openai_stub(Reply("x")) as stub:
        await local(stub).say("hi")
    assert stub.asked[0].headers["authorization"] == "Bearer not-needed"
    assert KEY not in str(stub.asked[0].headers)
    assert "org-ours" not in str(stub.asked[0].headers)


async def test_a_named_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SECRET_LOCAL", KEY)
    with openai_stub(Reply("x")) as stub:
        await local(stub, api_key_env="AGENT_SECRET_LOCAL").say("hi")
    assert stub.asked[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DATABASE_URL"])
async def test_a_base_url_carries_no_other_key_away(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, KEY)
    with openai_stub(Reply("x")) as stub:
        assert isinstance(await fault(local(stub, api_key_env=variable)), MissingSecret)
        assert not stub.asked


async def test_a_bound_key_goes_to_its_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SECRET_LOCAL", KEY)
    with openai_stub(Reply("x")) as stub, openai_stub(Reply("x")) as other:
        bound = (f"AGENT_SECRET_LOCAL={stub.address}",)
        configure(RuntimeSettings(url_allowlist=("127.0.0.1",), secret_hosts=bound))
        await local(stub, api_key_env="AGENT_SECRET_LOCAL").say("hi")
        error = await fault(local(other, api_key_env="AGENT_SECRET_LOCAL"))
    assert "not sent to" in error.message


async def test_the_operators_own_address_gets_the_providers_key(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(RuntimeSettings())
    with openai_stub(Reply("x")) as stub:
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://{stub.address}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        await react({"provider": "openai", "model": "gpt"}).say("hi")
        await close_connections()
    assert stub.asked[0].headers["authorization"] == f"Bearer {KEY}"


async def test_errors_do_not_repeat_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_SECRET_LOCAL", "my-own-password")
    said = "bad key my-own-password, and sk-abc***wxyz too"
    with openai_stub(Reply(status=401, message=said)) as stub:
        error = await fault(local(stub, api_key_env="AGENT_SECRET_LOCAL"))
    assert error.message == "openai answered 401: bad key [AGENT_SECRET_LOCAL], and [key] too"
    assert error.__cause__ is None


async def test_a_missing_key_is_named() -> None:
    error = await fault(react({"provider": "openai", "model": "gpt"}))
    assert isinstance(error, MissingSecret)
    assert error.message == "The environment variable OPENAI_API_KEY is not set."


def test_a_missing_key_is_the_environments_problem() -> None:
    [problem] = check_llm({"provider": "openai", "model": "gpt"})
    assert problem.environment
    assert problem.loc == ("api_key_env",)


def test_unknown_settings_are_refused_with_the_list() -> None:
    llm = {"provider": "openai", "model": "x", "base_url": "https://models.example/v1", "settings": {"foo": 1}}
    [problem] = check_llm(llm)
    assert problem.loc == ("settings", "foo")
    assert "seed" in problem.message


def test_a_broken_binding_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="VARIABLE=host"):
        RuntimeSettings(secret_hosts=("AGENT_SECRET_LOCAL",))
