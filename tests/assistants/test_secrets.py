"""Assistants that name secrets of their workspace."""

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.identity import Identity
from accounts.services import delete_secret, put_secret
from assistants import services
from assistants.config import CreateAssistant, parse
from assistants.spec import agent_for
from core.errors import Conflict, Invalid
from tests.stubs.mcp_server import McpStub
from tests.tools.conftest import mcp_settings  # noqa: F401
from tests.tools.mcp_entries import at, url

VALUE = "the-key-of-the-workspace"
HOST = "models.example"
LLM = {"provider": "openai", "model": "m", "base_url": f"https://{HOST}/v1", "api_key_env": "secret:models"}
Body = dict[str, Any]


def test_an_assistant_whose_secret_is_missing_is_not_active_before_it_is_there(identity: Identity, body: Body) -> None:
    made = services.create_assistant(identity, {**body, "llm": LLM})
    assert made.status == "created"
    [failed] = [check for check in made.validation["checks"] if not check["ok"]]
    assert failed == {"name": "llm.api_key_env", "ok": False, "message": "The workspace has no secret 'models'."}
    with pytest.raises(Conflict, match="no secret 'models'"):
        services.activate_assistant(identity, made.id)
    put_secret(identity, "models", VALUE, [HOST])
    assert services.activate_assistant(identity, made.id).status == "active"
    assert VALUE not in str(made.versions.get().config)


def test_an_active_assistant_is_not_changed_to_a_secret_that_is_not_there(identity: Identity, body: Body) -> None:
    made = services.create_assistant(identity, body)
    with pytest.raises(Invalid, match="no secret 'models'"):
        services.update_assistant(identity, made.id, {"llm": LLM})


def test_another_workspaces_secret_is_not_there(identity: Identity, stranger: Identity, body: Body) -> None:
    put_secret(stranger, "models", VALUE, [HOST])
    assert services.create_assistant(identity, {**body, "llm": LLM}).status == "created"


@pytest.mark.parametrize("reference", ["secret:", "secret:1x", "secret:a b", "Secret:models", "secret:" + "x" * 65])
def test_what_is_no_reference_is_refused(body: Body, reference: str) -> None:
    with pytest.raises(Invalid):
        parse(CreateAssistant, {**body, "llm": {**LLM, "api_key_env": reference}})


def test_an_agent_is_made_anew_when_its_secret_has_changed(
    identity: Identity, body: Body, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    put_secret(identity, "models", VALUE, [HOST])
    made = services.create_assistant(identity, {**body, "llm": LLM})
    agent = agent_for(identity.workspace_id, made.id, 1).run()
    assert agent.spec.secrets["models"].value == VALUE
    with django_assert_num_queries(1):
        assert agent_for(identity.workspace_id, made.id, 1).run() is agent
    put_secret(identity, "models", "another value", [HOST])
    changed = agent_for(identity.workspace_id, made.id, 1).run()
    assert changed.spec.secrets["models"].value == "another value"
    assert agent.spec.secrets["models"].value == VALUE
    delete_secret(identity, "models")
    assert agent_for(identity.workspace_id, made.id, 1).run().spec.secrets == {}


@pytest.mark.usefixtures("mcp_settings")
def test_an_mcp_server_is_asked_with_the_secret(identity: Identity, body: Body) -> None:
    with McpStub() as stub:
        server = at(url(stub), token_env="secret:crm")
        put_secret(identity, "crm", VALUE, ["tools.example"])
        kept_back = services.create_assistant(identity, {**body, "mcp_servers": [server]})
        assert "The secret 'crm' is not sent to 127.0.0.1" in str(kept_back.validation)
        assert not stub.asked
        put_secret(identity, "crm", VALUE, [stub.address])
        made = services.create_assistant(identity, {**body, "name": "other", "mcp_servers": [server]})
        assert made.status == "active"
        assert {request.headers["authorization"] for request in stub.asked} == {f"Bearer {VALUE}"}


def test_a_tool_has_the_secrets_that_its_parameters_name_and_no_others(identity: Identity, body: Body) -> None:
    put_secret(identity, "models", VALUE, [HOST])
    put_secret(identity, "tavily", VALUE, ["api.tavily.com"])
    search = {"name": "web_search", "parameters": {"provider": "tavily", "api_key_env": "secret:tavily"}}
    made = services.create_assistant(identity, {**body, "llm": LLM, "tools": [search, {"name": "calculator"}]})
    assert made.status == "active"
    tools = agent_for(identity.workspace_id, made.id, 1).run().spec.tools
    assert [list(bound.secrets) for bound in tools.values()] == [["tavily"], []]
