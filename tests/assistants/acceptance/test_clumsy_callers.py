"""What a clumsy or hostile caller sends is stored as it is, or refused in the one error body."""

import json
from typing import Any

import pytest

from tests.assistants.acceptance.calls import PROMPT, Caller, Document, path_of, refused, unique

pytestmark = pytest.mark.servers
MIB = 1024 * 1024


def nested(levels: int) -> Document:
    document: Document = {}
    for _ in range(levels - 1):
        document = {"in": document}
    return document


@pytest.mark.parametrize("character", ["x", "é", "e\u0301", "🤖", "\u202e", "\u200b", "'", "\\", "%"])
def test_a_name_has_up_to_200_characters_of_any_kind(caller: Caller, character: str) -> None:
    name = (unique("long") + character * 200)[:200]
    made = caller.create(name=name)
    assert made["name"] == name
    assert caller.get("/assistants", name=name)["total"] == 1
    refused(caller.client.post("/assistants", json={"name": name + "x", "llm": PROMPT}), 422, "invalid", "name")


@pytest.mark.parametrize("name", ["", " ", "\n\t ", "\u00a0\u2003", None, 5, True, ["name"], {"a": 1}])
def test_a_name_is_text_that_can_be_seen(caller: Caller, name: Any) -> None:
    refused(caller.client.post("/assistants", json={"name": name, "llm": PROMPT}), 422, "invalid", "name")


@pytest.mark.parametrize(
    "metadata",
    [
        nested(60),
        {"biggest": 2**63 - 1, "smallest": -(2**63), "huge": 1e308, "tiny": 5e-324, "zero": -0.0},
        {"": 1, "a.b": 2, "__proto__": 3, "$ne": {"constructor": []}, " ": None, "🤖": "\uffff"},
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema"], "kwargs": {"x": "{{ 7*7 }} ${jndi:ldap}"}},
        {"many": {str(number): number for number in range(2_000)}},
    ],
)
def test_metadata_of_any_kind_comes_back_as_it_was(caller: Caller, metadata: Document) -> None:
    made = caller.create(metadata=metadata)
    path = path_of(made)
    assert made["metadata"] == caller.get(path)["metadata"] == metadata
    assert caller.patch(path, {"description": "changed"})["metadata"] == metadata
    assert caller.get(f"{path}/versions/2")["config"]["metadata"] == metadata
    changes = caller.get(f"{path}/versions/diff", **{"from": 1, "to": 2})["changes"]
    assert [change["path"] for change in changes] == ["description"]


def test_metadata_is_found_by_its_deepest_key(caller: Caller) -> None:
    made = caller.create(metadata={"of": unique("deep"), **nested(60)})
    query = json.dumps(made["metadata"])
    assert [item["id"] for item in caller.items("/assistants", metadata=query)] == [made["id"]]


@pytest.mark.parametrize("field", ["max_steps", "priority", "max_concurrent_runs", "session_ttl_seconds"])
@pytest.mark.parametrize("value", [2**31, 2**63 - 1, -(2**63), 1e300, 1.5, True, "5", [], {}])
def test_a_number_of_the_wrong_kind_or_size_is_refused_at_its_place(caller: Caller, field: str, value: Any) -> None:
    body = {"name": unique("number"), "llm": PROMPT, field: value}
    refused(caller.client.post("/assistants", json=body), 422, "invalid", field)


def test_a_configuration_has_a_largest_size(caller: Caller) -> None:
    body = {"name": unique("large"), "llm": PROMPT}
    refused(caller.client.post("/assistants", json={**body, "system_prompt": "x" * MIB}), 422, "invalid")
    refused(caller.client.post("/assistants", json={**body, "system_prompt": "x" * 11 * MIB}), 413, "too_large")
    refused(caller.client.post("/assistants", json={**body, "description": "x" * MIB}), 422, "invalid", "description")
    made = caller.create(metadata={"a": "x" * (MIB // 32)})
    # Many small changes do not grow past its parts' bounds either.
    answer = caller.client.patch(path_of(made), json={"metadata": {"b": "x" * (MIB // 32)}})
    refused(answer, 422, "invalid", "metadata")
    assert caller.get(path_of(made)) == made


def test_null_in_every_field_of_a_change_is_a_default_or_refused(caller: Caller) -> None:
    config = {
        "description": "d",
        "system_prompt": "s",
        "max_steps": 5,
        "tools": [{"name": "calculator"}],
        "metadata": {"a": 1},
    }
    made, plain = caller.create(**config), caller.create()
    path = path_of(made)
    fields = caller.get(f"{path}/versions/1")["config"]
    assert len(fields) > 20
    for field in fields.keys() - {"name", "llm"}:
        assert caller.patch(path, {field: None})[field] == plain[field]
    for field in ("name", "llm"):
        refused(caller.client.patch(path, json={field: None}), 422, "invalid", field)
    for field in made.keys() - fields.keys():
        refused(caller.client.patch(path, json={field: None}), 422, "invalid", field)
    now = caller.get(path)
    assert {field: now[field] for field in fields.keys() - {"name"}} == {
        field: plain[field] for field in fields.keys() - {"name"}
    }


@pytest.mark.parametrize("body", [None, {}, {"change_note": "for nothing"}, {"expected_version": None}])
def test_a_change_that_says_nothing_changes_nothing(caller: Caller, body: Any) -> None:
    made = caller.create()
    assert caller.patch(path_of(made), body) == made
    assert caller.get(f"{path_of(made)}/audit")["total"] == 1


@pytest.mark.parametrize("tag", ["", '""', '"2"', '"0"', "nonsense", '"2", "3"', ", ,", '"' + "9" * 400 + '"'])
def test_a_guard_that_names_another_version_or_none_refuses(caller: Caller, tag: str) -> None:
    made = caller.create()
    answer = caller.client.patch(path_of(made), json={"max_steps": 3}, headers={"If-Match": tag})
    refused(answer, 409, "version_conflict")
    assert caller.get(path_of(made)) == made


@pytest.mark.parametrize("tag", ['"1"', "1", 'W/"1"', '"7", "1"', "*"])
def test_a_guard_that_names_the_version_lets_pass(caller: Caller, tag: str) -> None:
    made = caller.create()
    answer = caller.client.patch(path_of(made), json={"max_steps": 3}, headers={"If-Match": tag})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')


@pytest.mark.parametrize("number", ["0", "-1", "99999999999", "1.0", "01", "+1", "1%20", "1e0", "%D9%A3", "one"])
def test_a_version_that_cannot_be_is_not_found(caller: Caller, number: str) -> None:
    path = f"{path_of(caller.create())}/versions/{number}"
    refused(caller.client.get(path), 404, "not_found")
    refused(caller.client.put(f"{path}/tags/stable"), 404, "not_found")
    refused(caller.client.delete(f"{path}/tags/stable"), 404, "not_found")


@pytest.mark.parametrize(
    "block",
    [
        {"llm": {"provider": "openai", "model": "m", "base_url": "http://169.254.169.254/latest"}},
        {"llm": {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1", "api_key_env": "SECRET_KEY"}},
        {"mcp_servers": [{"name": "x", "transport": "sse", "url": "http://10.0.0.1/"}]},
        {"mcp_servers": [{"name": "x", "transport": "stdio", "command": "sh", "args": ["-c", "exit"]}]},
        {
            "mcp_servers": [
                {
                    "name": "x",
                    "transport": "sse",
                    "url": "http://127.0.0.1:1/",
                    "auth": {"type": "bearer", "token_env": "SECRET_KEY"},
                }
            ]
        },
    ],
)
def test_what_reaches_for_the_inside_never_serves(caller: Caller, block: Document) -> None:
    made = caller.create(**block)
    assert (made["status"], made["validation"]["status"]) == ("created", "failed")
    refused(caller.client.post(f"{path_of(made)}/activate"), 409, "conflict")


def test_an_expression_that_could_run_away_does_not(caller: Caller) -> None:
    pattern = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}, "required": ["a"]}
    made = caller.create(input_schema=pattern)
    body = {"assistant_id": made["id"], "input": {"a": "a" * 60 + "!"}}
    refused(caller.client.post("/runs", json=body, timeout=10), 422, "invalid", "input", "a")
