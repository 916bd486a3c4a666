"""References to secrets of the host, as an agent's configuration makes them."""

import pytest

from runtime.configuration import RuntimeSettings, configure
from runtime.errors import AgentError, MissingSecret
from runtime.providers import check_llm
from runtime.secrets import Secret, names_in
from tests.runtime.driver import react
from tests.stubs.anthropic import anthropic_stub
from tests.stubs.openai import openai_stub
from tests.stubs.server import ModelStub, Reply

VALUE = "the-key-of-the-workspace"


def block(stub: ModelStub, provider: str = "openai", name: str = "models") -> dict[str, object]:
    path = "/v1" if provider == "openai" else ""
    return {
        "provider": provider,
        "model": "m",
        "base_url": f"http://{stub.address}{path}",
        "api_key_env": f"secret:{name}",
    }


@pytest.mark.usefixtures("open_loopback")
async def test_a_secret_is_sent_to_its_hosts() -> None:
    with openai_stub(Reply("x")) as stub:
        await react(block(stub), secrets={"models": Secret(f" {VALUE}\n", (stub.address,))}).say("hi")
    assert stub.asked[0].headers["authorization"] == f"Bearer {VALUE}"


@pytest.mark.usefixtures("open_loopback")
async def test_every_provider_takes_one() -> None:
    with anthropic_stub(Reply("x")) as stub:
        await react(block(stub, "anthropic"), secrets={"models": Secret(VALUE, ("127.0.0.1",))}).say("hi")
    assert stub.asked[0].headers["x-api-key"] == VALUE


@pytest.mark.usefixtures("open_loopback")
async def test_a_fallback_has_a_secret_of_its_own() -> None:
    with openai_stub(Reply(status=500)) as bad, openai_stub(Reply("x")) as good:
        llm = {**block(bad), "fallbacks": [block(good, name="other")]}
        secrets = {"models": Secret("first-key", (bad.address,)), "other": Secret("second-key", (good.address,))}
        await react(llm, secrets=secrets).say("hi")
    assert good.asked[0].headers["authorization"] == "Bearer second-key"
    assert names_in({"llm": llm}) == {"models", "other"}


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        (None, "The workspace has no secret 'models'."),
        (Secret("", ("127.0.0.1",)), "The secret 'models' cannot be read: no key of this server opens it."),
        (Secret(VALUE, ("models.example",)), "The secret 'models' is not sent to 127.0.0.1."),
        (Secret(VALUE, ("127.0.0.1:1",)), "The secret 'models' is not sent to 127.0.0.1."),
        (Secret(f"{VALUE}\nX-Evil: 1", ("127.0.0.1",)), "What secret:models holds cannot be sent as a key"),
        (Secret(f"{VALUE}\u20ac", ("127.0.0.1",)), "What secret:models holds cannot be sent as a key"),
    ],
)
@pytest.mark.usefixtures("open_loopback")
async def test_a_secret_that_is_not_sent(secret: Secret | None, told: str) -> None:
    secrets = {"models": secret} if secret else {}
    with openai_stub(Reply("x")) as stub:
        [problem] = check_llm(block(stub), secrets)
        with pytest.raises(MissingSecret) as raised:
            await react(block(stub), secrets=secrets).say("hi")
    assert problem.loc == ("api_key_env",)
    assert problem.message == raised.value.message
    assert raised.value.message.startswith(told)
    assert raised.value.code == "missing_secret"
    assert VALUE not in raised.value.message
    assert not stub.asked


async def test_a_secret_opens_no_internal_address() -> None:
    configure(RuntimeSettings())
    with openai_stub(Reply("x")) as stub, pytest.raises(AgentError, match="internal address"):
        await react(block(stub), secrets={"models": Secret(VALUE, (stub.address,))}).say("hi")


def test_names_are_found_wherever_a_configuration_may_have_them() -> None:
    servers = [{"auth": {"token_env": "secret:crm"}}, {"auth": {"token_env": "MCP_TOKEN"}}, {"auth": None}]
    assert names_in({"llm": {"api_key_env": "OPENAI_API_KEY", "fallbacks": None}, "mcp_servers": servers}) == {"crm"}
    assert names_in({"llm": {}}) == frozenset()
    asked = {"models": [{"llm": {"api_key_env": "secret:one", "fallbacks": [{"api_key_env": "secret:two"}, 3]}}]}
    assert names_in({"middleware": [{"settings": asked}, {"settings": {"llm": {"fallbacks": 4}}}]}) == {"one", "two"}


def test_a_secret_does_not_show_itself() -> None:
    assert VALUE not in repr(Secret(VALUE, ()))
