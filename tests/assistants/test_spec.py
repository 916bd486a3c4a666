"""From a version to an agent, and to what its runs begin with."""

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.identity import Identity
from assistants import services
from assistants.config import CreateAssistant, parse, stored
from assistants.spec import _Cache, agent_for, agent_from_config, load_version, run_defaults
from core.errors import NotFound
from core.ids import new_id
from runtime.errors import NotSupported

Body = dict[str, Any]


def config(body: Body, **fields: Any) -> Body:
    return stored(parse(CreateAssistant, {**body, **fields}))


def test_an_agent_has_its_type_its_configuration_and_its_enabled_tools(body: Body) -> None:
    tools = [{"name": "calculator"}, {"name": "current_time", "enabled": False}, {"name": "http_request"}]
    agent = agent_from_config(made := config(body, tools=tools))
    assert type(agent).__name__ == agent.spec.type == "ReactAgent"
    assert agent.spec.config == made
    assert list(agent.spec.tools) == ["calculator", "http_request"]


def test_a_tool_has_the_time_that_the_assistant_gives_it(body: Body) -> None:
    made = config(body, tools=[{"name": "calculator", "timeout_s": 5}, {"name": "current_time"}])
    calculator, clock = agent_from_config(made).spec.tools.values()
    assert (calculator.timeout_s, clock.timeout_s) == (5, None)
    # As in the versions that are older than the key.
    assert "timeout_s" not in made["tools"][1]


def test_a_tool_that_is_not_here_is_an_error(body: Body) -> None:
    with pytest.raises(LookupError):
        agent_from_config(config(body, tools=[{"name": "no_such_tool"}]))


@pytest.mark.parametrize(
    "fields",
    [
        {"memory": {"scope": "user"}},
        {"interrupt_on": {"pay": True}, "type": "DocumentAssistant"},
        {"output_schema": {"type": "object"}, "type": "DocumentAssistant"},
        {"mcp_servers": [{"name": "m", "transport": "sse", "url": "http://x"}]},
    ],
)
def test_what_no_engine_carries_out_is_said(body: Body, fields: Body) -> None:
    with pytest.raises(NotSupported, match="not supported by this server yet"):
        agent_from_config(config(body, **fields))


def test_a_version_is_read_once_and_then_kept(
    identity: Identity, body: Body, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assistant = services.create_assistant(identity, body)
    first = agent_for(identity.workspace_id, assistant.id, 1).run()
    defaults = run_defaults(assistant.id, 1).run()
    with django_assert_num_queries(0):
        assert agent_for(identity.workspace_id, assistant.id, 1).run() is first
        assert run_defaults(assistant.id, 1).run() is defaults


def test_each_version_has_its_own_defaults(identity: Identity, body: Body) -> None:
    assistant = services.create_assistant(identity, {**body, "priority": 3, "memory": {"scope": "none"}})
    services.update_assistant(identity, assistant.id, {"priority": 5, "input_schema": {"type": "object"}})
    first, second = (run_defaults(assistant.id, number).run() for number in (1, 2))
    assert (first.priority, first.memory_scope, first.input_schema) == (3, "none", None)
    assert (second.priority, second.input_schema) == (5, {"type": "object"})
    assert (first.run_timeout_s, first.step_timeout_s, first.queue_timeout_s) == (3600, 600, None)
    assert first.retry_policy["max_attempts"] == 3


@pytest.mark.django_db
def test_an_unknown_version_is_not_found() -> None:
    with pytest.raises(NotFound):
        load_version(new_id(), 1).run()


def test_the_versions_used_last_are_kept() -> None:
    cache = _Cache(lambda config: config["n"], size=2)
    one, two, three = [(new_id(), 1) for _ in range(3)]
    for key, n in ((one, 1), (two, 2)):
        cache.put(key, {"n": n})
    assert cache.get(one) == 1
    cache.put(three, {"n": 3})
    assert (cache.get(one), cache.get(two), cache.get(three)) == (1, None, 3)
