"""Assistants of hosted graphs, at the native door and in the admin."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.identity import Identity
from assistants.services import create_assistant
from runtime.configuration import configure, current
from runtime.langgraph_json import read_config
from tests.api import ECHO, Api, assert_refused
from tests.assistants.admin_pages import LIST, page_of, post, shown

GRAPH = {"name": "G", "type": "Graph", "graph_id": "echo"}


@pytest.fixture(autouse=True)
def _hosted() -> Iterator[None]:
    before = current()
    listed = json.dumps({"echo": "examples.graphs.graphs:echo"})
    configure(replace(before, langgraph=read_config("", listed, Path.cwd())))
    yield
    configure(before)


def made(api: Api, **fields: Any) -> Any:
    answer = api.post("/assistants", {**GRAPH, **fields})
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_one_needs_a_graph_and_no_model(api: Api) -> None:
    graph = made(api, config={"recursion_limit": 9, "configurable": {"a": 1}}, context={"tone": "calm"})
    assert (graph["status"], graph["graph_id"], graph["context"]) == ("active", "echo", {"tone": "calm"})
    assert graph["config"] == {"recursion_limit": 9, "configurable": {"a": 1}}
    assert "llm" not in graph
    assert api.get(f"/assistants/{graph['id']}").json() == graph
    assert [(each["name"], each["ok"]) for each in graph["validation"]["checks"]] == [
        ("type", True),
        ("graph_id", True),
    ]


def test_what_is_not_given_is_empty(api: Api) -> None:
    graph = made(api)
    assert (graph["config"], graph["context"]) == ({}, {})


def test_a_name_may_be_there_again(api: Api) -> None:
    assert made(api)["id"] != made(api)["id"]
    api.assistant(name="native")
    assert_refused(api.post("/assistants", {"name": "native", "llm": ECHO}), 409, "already_exists")


def test_a_graph_that_is_not_hosted_fails_the_check(api: Api) -> None:
    graph = made(api, graph_id="gone")
    assert (graph["status"], graph["validation"]["status"]) == ("created", "failed")
    answer = api.post(f"/assistants/{graph['id']}/activate")
    assert_refused(answer, 409, "conflict", "graph_id")
    assert "hosts no graph 'gone'" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"graph_id": None}, ["graph_id"]),
        ({"llm": ECHO}, ["llm"]),
        ({"system_prompt": "Be brief."}, ["system_prompt"]),
        ({"tools": [{"name": "calculator"}]}, ["tools"]),
        ({"max_steps": 3}, ["max_steps"]),
        ({"config": {"recursion_limit": 0}}, ["config", "recursion_limit"]),
        ({"config": {"callbacks": []}}, ["config", "callbacks"]),
        ({"type": "ReactAgent", "llm": ECHO}, ["graph_id"]),
        ({"type": "ReactAgent", "graph_id": None}, ["llm"]),
        ({"type": "ReactAgent", "graph_id": None, "llm": ECHO, "context": {}}, ["context"]),
    ],
)
def test_what_has_no_place_there_is_refused(api: Api, fields: dict[str, Any], loc: list[str]) -> None:
    assert_refused(api.post("/assistants", {**GRAPH, **fields}), 422, "invalid", *loc)


def test_a_change_merges_config_and_context(api: Api) -> None:
    graph = made(api, config={"tags": ["a"], "configurable": {"a": 1}}, context={"b": 2})
    change = {"config": {"configurable": {"a": None, "c": 3}}, "context": {"b": None}}
    changed = api.patch(f"/assistants/{graph['id']}", change).json()
    assert (changed["version"], changed["config"]) == (2, {"tags": ["a"], "configurable": {"c": 3}})
    assert changed["context"] == {}


def test_the_type_tells_what_it_takes(api: Api) -> None:
    schemas = {each["name"]: each["config_schema"] for each in api.get("/assistant-types").json()}
    assert "llm" in schemas["ReactAgent"]["required"]
    assert "llm" not in schemas["Graph"]["required"]


def test_the_admin_adds_and_shows_one(admin: Client, identity: Identity) -> None:
    text = json.dumps({**GRAPH, "config": {"tags": ["x"]}, "context": {"tone": "calm"}})
    assert "G is there, and active" in post(
        admin, f"{LIST}add/", workspace=str(identity.workspace_id), configuration=text
    )
    graph = create_assistant(identity, {**GRAPH, "name": "H", "context": {"tone": "loud"}})
    page = shown(admin.get(page_of(graph)))
    assert "Graph echo context.tone loud" in page
    assert "System prompt" not in page
