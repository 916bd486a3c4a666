"""Blocks that are stored and whose engine is not there yet: nothing that an author asks for is silently left out."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.assistants.acceptance.calls import PROMPT, Caller, Document, checks_of, path_of, refused, unique
from tests.stubs.mcp_server import McpStub

pytestmark = pytest.mark.servers

# The block, the place that its note has in `validation`, and the word by which the error names it.
BLOCKS = [
    ({"memory": {"scope": "user", "provider": "mem0"}}, "memory.scope", "user"),
    ({"memory": {"scope": "group", "settings": {"ttl_days": 90}}}, "memory.scope", "group"),
    ({"type": "DocumentAssistant"}, "type", "DocumentAssistant"),
]


@pytest.fixture(scope="module")
def mcp() -> Iterator[McpStub]:
    with McpStub() as running:
        yield running


def holds(whole: Any, part: Any) -> bool:
    """Whether `part` came back, between the defaults that were filled in."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and holds(whole[key], value) for key, value in part.items())
    return bool(whole == part)


def assert_stored_and_refused_at_run_time(caller: Caller, block: Document, check: str, word: str) -> None:
    made = caller.create(**block)
    assert (made["status"], made["validation"]["status"]) == ("active", "passed")
    assert checks_of(made)[check]["ok"]
    assert word in checks_of(made)[check]["message"]
    assert holds(caller.get(path_of(made)), block)
    run = caller.run(caller.open(made))
    assert (run["status"], run["error"]["code"]) == ("error", "not_supported")
    assert word in run["error"]["message"]
    assert (run["error"]["retryable"], run["attempt"]) == (False, 1)
    # Its sessions and what is asked of them are not harmed by that.
    assert caller.get(f"/sessions/{run['session_id']}")["status"] == "active"


@pytest.mark.parametrize(("block", "check", "word"), BLOCKS)
def test_a_block_without_an_engine_is_stored_and_a_run_says_what_is_missing(
    caller: Caller, block: Document, check: str, word: str
) -> None:
    assert_stored_and_refused_at_run_time(caller, block, check, word)


@pytest.mark.parametrize(("transport", "path"), [("streamable_http", "/mcp"), ("sse", "/sse")])
def test_a_reachable_mcp_server_is_stored_and_a_run_says_what_is_missing(
    caller: Caller, mcp: McpStub, transport: str, path: str
) -> None:
    server = {"name": "adder", "transport": transport, "url": f"http://{mcp.address}{path}"}
    made = caller.create(mcp_servers=[server])
    assert made["status"] == "active", made["validation"]
    assert checks_of(made)["mcp_servers.adder"] == {"name": "mcp_servers.adder", "ok": True, "message": ""}
    assert "mcp_servers" in checks_of(made)
    assert made["mcp_servers"] == [{**made["mcp_servers"][0], **server}]
    run = caller.run(caller.open(made))
    assert (run["status"], run["error"]["code"]) == ("error", "not_supported")
    assert "MCP" in run["error"]["message"]


def test_an_mcp_server_that_does_not_answer_keeps_an_assistant_from_serving(caller: Caller) -> None:
    servers = [{"name": "gone", "transport": "sse", "url": "http://127.0.0.1:1/sse"}]
    made = caller.create(mcp_servers=servers)
    assert made["status"] == "created"
    assert not checks_of(made)["mcp_servers.gone"]["ok"]
    refused(caller.client.post(f"{path_of(made)}/activate"), 409, "conflict", "mcp_servers", 0)


def test_several_blocks_are_all_named(caller: Caller) -> None:
    made = caller.create(memory={"scope": "user"}, type="DocumentAssistant")
    error = caller.run(caller.open(made))["error"]
    assert "memory scope" in error["message"]
    assert "DocumentAssistant" in error["message"]


def test_what_asks_for_nothing_is_carried_out(caller: Caller) -> None:
    made = caller.create(
        system_prompt="ok",
        interrupt_on={"calculator": False},
        mcp_servers=[],
        output_schema=None,
        durability="exit",
        memory={"scope": "session", "provider": "mem0"},
    )
    assert all(check["message"] == "" for check in made["validation"]["checks"])
    assert caller.answer(caller.open(made)) == "ok"


def test_a_session_of_an_older_version_still_runs(caller: Caller) -> None:
    made = caller.create(system_prompt="ok")
    session = caller.open(made)
    caller.patch(path_of(made), {"memory": {"scope": "user"}})
    assert caller.answer(session) == "ok"
    assert caller.run(caller.open(made))["error"]["code"] == "not_supported"


def test_a_document_assistant_takes_no_tool_that_writes(caller: Caller) -> None:
    body = {"name": unique("writer"), "type": "DocumentAssistant", "llm": PROMPT}
    wrong = {**body, "tools": [{"name": "http_request"}]}
    refused(caller.client.post("/assistants", json=wrong), 422, "invalid", "tools", 0, "name")
    made = caller.post("/assistants", {**body, "tools": [{"name": "calculator"}, {"name": "current_time"}]})
    assert made["status"] == "active"
    change: dict[str, Any] = {"tools": [{"name": "calculator"}, {"name": "http_request", "enabled": False}]}
    refused(caller.client.patch(path_of(made), json=change), 422, "invalid", "tools", 1, "name")
    assert caller.get(path_of(made)) == made


def test_a_writing_assistant_does_not_become_a_document_assistant(caller: Caller) -> None:
    made = caller.create(tools=[{"name": "http_request"}])
    answer = caller.client.patch(path_of(made), json={"type": "DocumentAssistant"})
    refused(answer, 422, "invalid", "tools", 0, "name")


@pytest.mark.parametrize(
    ("block", "loc"),
    [
        ({"memory": {"scope": "world"}}, ["memory", "scope"]),
        ({"memory": {"settings": {"relevance_threshold": 1.1}}}, ["memory", "settings", "relevance_threshold"]),
        ({"interrupt_on": {"calculator": "yes"}}, ["interrupt_on", "calculator"]),
        ({"interrupt_on": {"calculator": {"allowed_decisions": ["shrug"]}}}, ["interrupt_on", "calculator"]),
        ({"output_schema": {"type": "nothing"}}, ["output_schema"]),
        ({"durability": "never"}, ["durability"]),
        ({"mcp_servers": [{"name": "a", "transport": "sse"}]}, ["mcp_servers", 0]),
        ({"mcp_servers": [{"name": "a", "transport": "pigeon", "url": "http://a"}]}, ["mcp_servers", 0, "transport"]),
        ({"knowledge_bases": ["nonsense"]}, ["knowledge_bases", 0]),
        ({"max_concurrent_runs": 0}, ["max_concurrent_runs"]),
        ({"rate_limit": {}}, ["rate_limit", "requests_per_minute"]),
        ({"quota": {"tokens_per_day": -1}}, ["quota", "tokens_per_day"]),
        ({"resources": {"labels": ["two words"]}}, ["resources", "labels", 0]),
        ({"retry_policy": {"backoff": "none"}}, ["retry_policy", "backoff"]),
        ({"input_schema": {"$ref": "http://127.0.0.1/schema"}}, ["input_schema"]),
        ({"run_timeout_s": 0}, ["run_timeout_s"]),
        ({"priority": 1001}, ["priority"]),
        ({"session_ttl_seconds": 0}, ["session_ttl_seconds"]),
    ],
)
def test_a_block_that_is_wrong_is_refused_at_its_place(caller: Caller, block: Document, loc: list[Any]) -> None:
    answer = caller.client.post("/assistants", json={"name": unique("wrong"), "llm": PROMPT, **block})
    error = refused(answer, 422, "invalid")
    assert loc in [fault["loc"][: len(loc)] for fault in error["errors"]], error["errors"]
