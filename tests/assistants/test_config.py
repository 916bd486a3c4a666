"""What a configuration may say, and where a wrong one is wrong."""

from typing import Any

import pytest
from pydantic import BaseModel, Field

from assistants.config import CreateAssistant, merged, parse, parse_update, same, stored
from assistants.documents import agent_type_document
from core.errors import Invalid
from runtime.contract import BaseAgent, State, Step, StepIO
from runtime.registry import agent_type, register_agent

LLM = {"provider": "fake", "model": "echo"}


@register_agent("test-narrow")
class Narrow(BaseAgent):
    """Takes few steps."""

    class Config(BaseModel):
        max_steps: int = Field(le=5)

    async def step(self, state: State, io: StepIO) -> Step:
        return Step("custom", done=True)


def config(**fields: Any) -> dict[str, Any]:
    return stored(parse(CreateAssistant, {"name": "a", "llm": LLM, **fields}))


def test_defaults_are_filled_in() -> None:
    made = config()
    assert made["type"] == "ReactAgent"
    assert made["memory"] == {
        "scope": "session",
        "provider": None,
        "settings": {"max_memories": None, "relevance_threshold": None, "ttl_days": None},
    }
    assert made["retry_policy"] == {
        "max_attempts": 3,
        "backoff": "exponential",
        "initial_interval_s": 1,
        "max_interval_s": 60,
        "retry_on": ["rate_limit", "timeout", "connection", "server_error"],
    }
    assert (made["max_steps"], made["run_timeout_s"], made["step_timeout_s"]) == (50, 3600, 600)
    assert (made["durability"], made["priority"], made["max_concurrent_runs"]) == ("sync", 0, None)


def test_what_is_stored_reads_back_as_itself() -> None:
    made = config(interrupt_on={"pay": True, "send": {"allowed_decisions": ["respond"]}}, tools=[{"name": "x"}])
    assert stored(parse(CreateAssistant, made)) == made
    assert made["interrupt_on"] == {"pay": True, "send": {"allowed_decisions": ["respond"]}}


def test_the_note_and_the_held_back_status_are_not_configuration() -> None:
    assert not {"change_note", "status"} & config(change_note="first", status="created").keys()


WRONG: list[tuple[dict[str, Any], list[str | int]]] = [
    ({"name": ""}, ["name"]),
    ({"name": "  "}, ["name"]),
    ({"name": "x" * 201}, ["name"]),
    ({"name": None}, ["name"]),
    ({"llm": None}, ["llm"]),
    ({"llm": {"model": "echo"}}, ["llm", "provider"]),
    ({"llm": {**LLM, "provider": "nobody"}}, ["llm", "provider"]),
    ({"llm": {**LLM, "temperature": 2.1}}, ["llm", "temperature"]),
    ({"llm": {**LLM, "temperature": "1"}}, ["llm", "temperature"]),
    ({"llm": {**LLM, "temperature": True}}, ["llm", "temperature"]),
    ({"llm": {**LLM, "temperature": float("inf")}}, ["llm", "temperature"]),
    ({"llm": {**LLM, "top_p": -0.1}}, ["llm", "top_p"]),
    ({"llm": {**LLM, "max_tokens": 0}}, ["llm", "max_tokens"]),
    ({"llm": {**LLM, "max_tokens": 1.5}}, ["llm", "max_tokens"]),
    ({"llm": {**LLM, "stop_sequences": "END"}}, ["llm", "stop_sequences"]),
    ({"llm": {**LLM, "base_url": "ftp://host"}}, ["llm", "base_url"]),
    ({"llm": {**LLM, "base_url": "http://user:secret@host/"}}, ["llm", "base_url"]),
    ({"llm": {**LLM, "api_key_env": "not a name"}}, ["llm", "api_key_env"]),
    ({"llm": {**LLM, "surprise": 1}}, ["llm", "surprise"]),
    ({"llm": {**LLM, "fallbacks": [{**LLM, "provider": "nobody"}]}}, ["llm", "fallbacks", 0, "provider"]),
    ({"llm": {**LLM, "fallbacks": [{**LLM, "fallbacks": []}]}}, ["llm", "fallbacks", 0, "fallbacks"]),
    ({"type": "NoSuchAgent"}, ["type"]),
    ({"tools": [{"name": "x"}, {"name": "x"}]}, ["tools", 1, "name"]),
    ({"tools": [{"name": "x", "enabled": 1}]}, ["tools", 0, "enabled"]),
    ({"tools": None}, ["tools"]),
    ({"type": "DocumentAssistant", "tools": [{"name": "http_request"}]}, ["tools", 0, "name"]),
    ({"type": "test-narrow", "max_steps": 9}, ["max_steps"]),
    ({"memory": {"scope": "world"}}, ["memory", "scope"]),
    ({"mcp_servers": [{"name": "m", "transport": "sse"}]}, ["mcp_servers", 0]),
    ({"mcp_servers": [{"name": "a b", "transport": "sse", "url": "http://x"}]}, ["mcp_servers", 0, "name"]),
    ({"mcp_servers": [{"name": "m", "transport": "sse", "url": "http://x"}] * 2}, ["mcp_servers", 1, "name"]),
    ({"middleware": [{"name": "m"}, {"name": "m"}]}, ["middleware", 1, "id"]),
    ({"middleware": [{"name": "m", "id": "a"}, {"name": "n", "id": "b"}, {"name": "b"}]}, ["middleware", 2, "id"]),
    ({"middleware": [{"name": "m", "id": "a/b"}]}, ["middleware", 0, "id"]),
    ({"resources": {"labels": ["a,b"]}}, ["resources", "labels", 0]),
    ({"knowledge_bases": ["nope"]}, ["knowledge_bases", 0]),
    ({"interrupt_on": {"x": 5}}, ["interrupt_on", "x"]),
    ({"interrupt_on": {"x": {"allowed_decisions": ["nod"]}}}, ["interrupt_on", "x", "allowed_decisions", 0]),
    ({"input_schema": {"type": "nope"}}, ["input_schema", "type"]),
    ({"output_schema": {"$ref": "https://elsewhere/schema"}}, ["output_schema", "$ref"]),
    ({"retry_policy": {"max_attempts": 0}}, ["retry_policy", "max_attempts"]),
    ({"retry_policy": {"retry_on": ["whim"]}}, ["retry_policy", "retry_on", 0]),
    ({"max_steps": 0}, ["max_steps"]),
    ({"run_timeout_s": 0}, ["run_timeout_s"]),
    ({"priority": 1001}, ["priority"]),
    ({"max_concurrent_runs": 0}, ["max_concurrent_runs"]),
    ({"durability": "never"}, ["durability"]),
    ({"session_ttl_seconds": True}, ["session_ttl_seconds"]),
    ({"metadata": []}, ["metadata"]),
    ({"status": "active"}, ["status"]),
    ({"expected_version": 1}, ["expected_version"]),
    ({"surprise": 1}, ["surprise"]),
]


@pytest.mark.parametrize(("fields", "loc"), WRONG, ids=str)
def test_a_fault_is_named_with_its_place(fields: dict[str, Any], loc: list[str | int]) -> None:
    with pytest.raises(Invalid) as caught:
        config(**fields)
    assert [list(error.loc) for error in caught.value.errors] == [loc]


def test_a_type_narrows_the_configuration() -> None:
    assert config(type="test-narrow", max_steps=5)["max_steps"] == 5
    assert config(type="DocumentAssistant", tools=[{"name": "calculator"}, {"name": "not_here"}])["tools"]
    schema = agent_type_document(agent_type("test-narrow"))["config_schema"]
    whole, narrow = (schema["$defs"][part["$ref"].rpartition("/")[2]] for part in schema["allOf"])
    assert "system_prompt" in whole["properties"]
    assert narrow["properties"] == {"max_steps": {"maximum": 5, "title": "Max Steps", "type": "integer"}}


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        config(llm={}, max_steps=0)
    places = [error.loc for error in caught.value.errors]
    assert places == [("llm", "provider"), ("llm", "model"), ("max_steps",)]


@pytest.mark.parametrize("body", [[], "x", 5, True])
def test_a_body_is_an_object(body: Any) -> None:
    with pytest.raises(Invalid):
        parse(CreateAssistant, body)
    with pytest.raises(Invalid):
        parse_update(body)


def test_a_configuration_has_a_largest_size() -> None:
    with pytest.raises(Invalid, match="at most"):
        config(llm={"provider": "fake", "model": "echo", "settings": {"text": "x" * 4_200_000}})


def test_objects_merge_deeply_and_lists_are_replaced() -> None:
    old = {"llm": {"model": "m", "stop_sequences": ["a", "b"]}, "name": "a"}
    change = {"llm": {"temperature": 0.5, "stop_sequences": ["c"]}}
    assert merged(old, change) == {
        "llm": {"model": "m", "stop_sequences": ["c"], "temperature": 0.5},
        "name": "a",
    }
    assert old["llm"] == {"model": "m", "stop_sequences": ["a", "b"]}


def test_null_returns_to_the_default() -> None:
    old = config(llm={**LLM, "temperature": 1}, max_steps=5, memory={"scope": "none"})
    new = stored(parse(CreateAssistant, merged(old, {"llm": {"temperature": None}, "max_steps": None, "memory": None})))
    assert new == config()


def test_null_takes_a_key_of_the_users_own_away() -> None:
    assert merged({"metadata": {"a": 1, "b": 2}}, {"metadata": {"a": None, "c": None}}) == {"metadata": {"b": 2}}


def test_null_does_not_hide_an_unknown_field() -> None:
    with pytest.raises(Invalid) as caught:
        parse(CreateAssistant, merged(config(), {"llm": {"tempreature": None}}))
    assert caught.value.errors[0].loc == ("llm", "tempreature")


def test_same_tells_true_from_one_but_not_one_from_one_point_zero() -> None:
    assert not same({"a": True}, {"a": 1})
    assert same({"a": [1.0], "b": 1e300}, {"b": 1e300, "a": [1]})


def test_a_number_has_one_spelling() -> None:
    assert str(config(llm={**LLM, "temperature": 1.0}, run_timeout_s=60.0)["llm"]["temperature"]) == "1"
