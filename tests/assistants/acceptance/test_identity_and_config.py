"""What an assistant is: its identity, and the blocks of its configuration."""

from typing import Any

import pytest

from tests.assistants.acceptance.calls import (
    PROMPT,
    Caller,
    at_once,
    checks_of,
    path_of,
    refused,
    script,
    unique,
)
from tests.servers import Server
from tests.stubs.ledger import Ledger
from tests.stubs.openai import openai_stub
from tests.stubs.server import Reply

pytestmark = pytest.mark.servers

# The documentation's "Complete Configuration Example", as it stands there.
SUPPORT_AGENT = """
{ "name": "support-agent", "type": "ReactAgent", "description": "Technical support agent for product documentation",
"llm": { "provider": "openai", "model": "gpt-4o", "temperature": 0.3, "max_tokens": 4096 }, "system_prompt": "You are
a technical support agent. Use the knowledge base to answer questions. Cite sources. Escalate to a human when
confidence is low.", "tools": [ { "name": "knowledge_search", "enabled": true }, { "name": "ticket_create", "enabled":
true } ], "skills": [ { "skill_id": "troubleshoot-and-resolve", "version": "2.0.0" } ], "memory": { "scope": "user",
"provider": "mem0" }, "mcp_servers": [], "metadata": { "team": "customer-success", "tier": "production" } }
""".replace("\n", " ")


# -- identity (B01, B39) -------------------------------------------------------------------------------------------


def test_a_new_assistant_has_an_id_and_version_1(server: Server) -> None:
    answer = server.client.post("/assistants", json={"name": unique("new"), "llm": PROMPT})
    made = answer.json()
    assert (answer.status_code, made["version"], made["type"]) == (201, 1, "ReactAgent")
    assert made["endpoint"] == f"/assistants/{made['id']}/sessions"
    assert made["created_at"] == made["updated_at"]


def test_name_description_and_metadata_come_back(caller: Caller) -> None:
    identity = {
        "name": unique("Ассистент 助手 🤖"),
        "description": "Line one\n\tand “two”: {{ 7*7 }} <b>",
        "metadata": {"team": "x", "deep": {"list": [1, 2.5, None, True, {"": "empty key"}]}, "lc": 1, "🤖": "é"},
    }
    made = caller.create(**identity)
    assert {key: made[key] for key in identity} == identity
    assert caller.get(path_of(made)) == made


def test_a_name_belongs_to_one_assistant(caller: Caller) -> None:
    body = {"name": unique("once"), "llm": PROMPT}
    first = caller.post("/assistants", body)
    refused(caller.client.post("/assistants", json=body), 409, "already_exists")
    other = caller.create()
    refused(caller.client.patch(path_of(other), json={"name": body["name"]}), 409, "already_exists")
    # An archived assistant keeps its name, because it may be restored.
    caller.delete(path_of(first))
    refused(caller.client.post("/assistants", json=body), 409, "already_exists")
    assert caller.get("/assistants", name=body["name"])["total"] == 1


def test_of_many_that_want_one_name_at_once_one_gets_it(caller: Caller) -> None:
    body = {"name": unique("wanted"), "llm": PROMPT}
    answers = at_once(10, lambda _: caller.client.post("/assistants", json=body))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 9]


# -- the model (B02, B10) ------------------------------------------------------------------------------------------


def test_all_blocks_are_optional_except_llm(caller: Caller) -> None:
    made = caller.post("/assistants", {"name": unique("least"), "type": "ReactAgent", "llm": PROMPT})
    assert made["status"] == "active"
    refused(caller.client.post("/assistants", json={"name": unique("none")}), 422, "invalid", "llm")
    refused(caller.client.post("/assistants", json={"name": unique("none"), "llm": None}), 422, "invalid", "llm")


def test_inference_parameters_are_stored_as_given(caller: Caller) -> None:
    given = {"temperature": 2, "max_tokens": 1, "top_p": 0, "stop_sequences": ["\n\n", "END"]}
    stored = caller.create(llm={**PROMPT, **given})["llm"]
    assert {key: stored[key] for key in given} == given


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", "0.5"),
        ("temperature", True),
        ("top_p", 1.1),
        ("top_p", -1),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("stop_sequences", "END"),
        ("provider", "nobody"),
        ("provider", None),
        ("model", ""),
        ("model", 4),
        ("temprature", 1),
        ("api_key", "sk-secret"),
    ],
)
def test_a_model_out_of_its_ranges_names_the_place(caller: Caller, field: str, value: Any) -> None:
    name = unique("wrong")
    body = {"name": name, "llm": {**PROMPT, field: value}}
    error = refused(caller.client.post("/assistants", json=body), 422, "invalid", "llm", field)
    assert "sk-secret" not in str(error)
    assert caller.items("/assistants", name=name) == []


# -- behaviour (B03, B11) ------------------------------------------------------------------------------------------


def test_the_system_prompt_reaches_the_model_word_for_word(caller: Caller) -> None:
    prompt = "You are {name}; {{ 7*7 }} %s\n\n  – speak „plainly“ ☃\n${HOME}"
    assert caller.answer(caller.open(caller.create(system_prompt=prompt))) == prompt


def test_the_system_prompt_comes_first_in_every_call(caller: Caller) -> None:
    call = ("call-1", "calculator", '{"expression": "1 + 1"}')
    with openai_stub(Reply(tool_calls=[call]), Reply("two"), Reply("bye")) as stub:
        llm = {"provider": "openai", "model": "m", "base_url": f"http://{stub.address}/v1"}
        session = caller.open(caller.create(llm=llm, system_prompt="Be brief.", tools=[{"name": "calculator"}]))
        caller.answer(session)
        caller.answer(session)
    assert len(stub.asked) == 3
    for asked in stub.asked:
        systems = [index for index, message in enumerate(asked.body["messages"]) if message["role"] == "system"]
        assert systems == [0]
        assert asked.body["messages"][0]["content"] == "Be brief."


# -- tools (B04, B12, B36) -----------------------------------------------------------------------------------------


def test_a_disabled_tool_is_not_offered_to_the_model(caller: Caller) -> None:
    tools = [{"name": "calculator"}, {"name": "current_time", "enabled": False}]
    with openai_stub(Reply("hello")) as stub:
        llm = {"provider": "openai", "model": "m", "base_url": f"http://{stub.address}/v1"}
        caller.answer(caller.open(caller.create(llm=llm, tools=tools)))
    assert [tool["function"]["name"] for tool in stub.asked[0].body["tools"]] == ["calculator"]


def test_parameters_bind_a_tool(caller: Caller, ledger: Ledger) -> None:
    post = {"name": "http_request", "args": {"method": "POST", "url": f"{ledger.url}/posted"}}
    get = {"name": "http_request", "args": {"url": f"{ledger.url}/got"}}
    made = caller.create(
        llm=script({"tool_calls": [post]}, {"tool_calls": [get]}, {"text": "done"}),
        tools=[{"name": "http_request", "parameters": {"allowed_methods": ["GET"]}}],
    )
    run = caller.run(caller.open(made))
    calls = [call for step in run["steps"] for call in step["tool_calls"]]
    assert [call["status"] for call in calls] == ["error", "ok"]
    assert "POST" in calls[0]["error"]
    assert ledger.calls == {"got": 1}


@pytest.mark.parametrize("listed", [[], [{"name": "http_request", "enabled": False}], [{"name": "calculator"}]])
def test_a_tool_that_is_not_the_assistants_is_never_executed(caller: Caller, ledger: Ledger, listed: list[Any]) -> None:
    call = {"name": "http_request", "args": {"url": f"{ledger.url}/forbidden"}}
    made = caller.create(llm=script({"tool_calls": [call]}, {"text": "so be it"}), tools=listed)
    run = caller.run(caller.open(made))
    assert (run["status"], run["output"]["text"]) == ("success", "so be it")
    (step,) = [step for step in run["steps"] if step["kind"] == "tools"]
    assert step["tool_calls"][0]["status"] == "error"
    assert "http_request" in step["tool_calls"][0]["error"]
    assert ledger.calls == {}


def test_the_registry_of_tools_tells_what_may_be_listed(caller: Caller) -> None:
    tools = {tool["name"]: tool for tool in caller.get("/tools")}
    assert {"calculator", "current_time", "http_request"} <= tools.keys()
    assert "allowed_methods" in tools["http_request"]["parameters_schema"]["properties"]
    assert "url" in tools["http_request"]["args_schema"]["properties"]


@pytest.mark.parametrize(
    ("tools", "status", "loc"),
    [
        ([{}], 422, ["tools", 0, "name"]),
        ([{"name": "calculator", "enabled": "yes"}], 422, ["tools", 0, "enabled"]),
        ([{"name": "calculator", "parameters": []}], 422, ["tools", 0, "parameters"]),
        ([{"name": "calculator", "surprise": 1}], 422, ["tools", 0, "surprise"]),
        ([{"name": "calculator", "timeout_s": 0}], 422, ["tools", 0, "timeout_s"]),
        ([{"name": "calculator", "timeout_s": 3601}], 422, ["tools", 0, "timeout_s"]),
        ([{"name": "calculator"}, {"name": "calculator"}], 422, ["tools", 1, "name"]),
        ({"name": "calculator"}, 422, ["tools"]),
    ],
)
def test_a_tool_block_of_the_wrong_shape_is_refused(caller: Caller, tools: Any, status: int, loc: list[Any]) -> None:
    body = {"name": unique("wrong"), "llm": PROMPT, "tools": tools}
    refused(caller.client.post("/assistants", json=body), status, "invalid", *loc)


@pytest.mark.parametrize(
    ("block", "check"),
    [
        ({"tools": [{"name": "teleport"}]}, "tools.teleport"),
        ({"tools": [{"name": "http_request", "parameters": {"timeout_s": "long"}}]}, "tools.http_request"),
        ({"tools": [{"name": "calculator", "parameters": {"surprise": 1}}]}, "tools.calculator"),
        ({"skills": [{"skill_id": "juggle"}]}, "skills.juggle"),
        ({"llm": {"provider": "fake", "model": "gpt-9"}}, "llm.model"),
    ],
)
def test_what_this_server_lacks_is_a_failed_check_that_says_so(caller: Caller, block: Any, check: str) -> None:
    made = caller.create(**block)
    assert (made["status"], made["validation"]["status"]) == ("created", "failed")
    failed = [found for found in made["validation"]["checks"] if not found["ok"]]
    assert [found["name"] for found in failed] == [check]
    assert failed[0]["message"]


# -- skills (B13) --------------------------------------------------------------------------------------------------


def test_a_skills_version_is_the_latest_unless_given(caller: Caller) -> None:
    skills = [{"skill_id": "research-and-summarize", "version": "1.2.0"}, {"skill_id": "code-review"}]
    made = caller.create(skills=skills)
    assert made["skills"] == [skills[0], {"skill_id": "code-review", "version": "latest"}]
    assert {"skills.research-and-summarize", "skills.code-review"} <= checks_of(made).keys()


# -- the documentation's example (B16) -----------------------------------------------------------------------------


def test_the_complete_example_is_accepted_as_it_stands(caller: Caller) -> None:
    headers = {"Content-Type": "application/json"}
    answer = caller.client.post("/assistants", content=SUPPORT_AGENT, headers=headers)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["version"], made["status"], made["name"]) == (1, "created", "support-agent")
    checks = checks_of(made)
    for missing in ("knowledge_search", "ticket_create", "troubleshoot-and-resolve"):
        (found,) = [check for check in checks.values() if missing in check["message"]]
        assert not found["ok"]
    assert made["tools"][1] == {"name": "ticket_create", "enabled": True, "parameters": {}}
    assert (made["memory"]["scope"], made["memory"]["provider"]) == ("user", "mem0")
    assert made["metadata"] == {"team": "customer-success", "tier": "production"}
    assert made["llm"]["temperature"] == 0.3
    refused(caller.client.post(f"{path_of(made)}/activate"), 409, "conflict", "tools", 0, "name")
    caller.delete(path_of(made), permanent="true")
