"""Assistants, made, found, changed, versioned and deleted by the official client."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import errors
from langgraph_sdk.client import LangGraphClient
from psycopg import AsyncConnection

from assistants.services import archive_assistant
from runs.models import Run
from runtime.configuration import configure, current
from sessions.models import Session
from tests.api import ECHO, Api
from tests.langgraph.conftest import client_of
from tests.runs.worker import in_thread

GRAPHS = ["echo", "interrupt", "nested", "react", "steps"]
UNKNOWN = "6b1da85b-e12d-44bc-b090-f92a98089b02"
ECHO_ID = "046b5dc7-2108-582c-9c6c-31d556d138f0"


async def refused(asked: Any) -> tuple[int, str]:
    with pytest.raises(errors.APIStatusError) as error:
        await asked
    detail: str = error.value.response.json()["detail"]
    return error.value.status_code, detail


async def test_one_is_made_and_read_as_langgraph_shows_it(client: LangGraphClient) -> None:
    made = await client.assistants.create("echo", context={"b": 2}, metadata={"k": 1}, name="M", description="d")
    assert list(made) == [
        *("assistant_id", "graph_id", "config", "context", "metadata", "name", "created_at", "updated_at", "version"),
        "description",
    ]
    assert made["config"] == {"configurable": {"b": 2}}
    assert (made["context"], made["metadata"], made["name"]) == ({"b": 2}, {"k": 1}, "M")
    assert (made["graph_id"], made["version"], made["description"]) == ("echo", 1, "d")
    assert str(made["created_at"]).endswith("+00:00")
    assert await client.assistants.get(made["assistant_id"]) == made


async def test_what_is_not_given_is_langgraphs_default(client: LangGraphClient) -> None:
    made = await client.assistants.create("echo")
    assert (made["name"], made["config"], made["context"], made["description"]) == ("Untitled", {}, {}, None)
    # A name may be there again.
    assert (await client.assistants.create("echo"))["assistant_id"] != made["assistant_id"]


async def test_configurable_and_context_are_one(client: LangGraphClient) -> None:
    config: Any = {"configurable": {"a": 1}, "tags": ["x"], "recursion_limit": 7}
    made = await client.assistants.create("echo", config)
    assert (made["config"], made["context"]) == (config, {"a": 1})
    both = client.assistants.create("echo", config, context={"b": 2})
    status, detail = await refused(both)
    assert (status, detail[:48]) == (400, "Cannot specify both configurable and context. Pr")


async def test_an_id_is_there_once(client: LangGraphClient) -> None:
    chosen = str(uuid4())
    made = await client.assistants.create("echo", assistant_id=chosen, name="first")
    assert made["assistant_id"] == chosen
    again = client.assistants.create("steps", assistant_id=chosen)
    assert await refused(again) == (409, f"Assistant {chosen} already exists")
    assert await client.assistants.create("steps", assistant_id=chosen, if_exists="do_nothing") == made


async def test_somebody_elses_id_is_taken_and_not_shown(
    client: LangGraphClient, neighbour: Api, open_door: None
) -> None:
    chosen = str(uuid4())
    await client.assistants.create("echo", assistant_id=chosen)
    async with client_of(neighbour) as other:
        assert await refused(other.assistants.get(chosen)) == (404, "Not Found")
        assert (await refused(other.assistants.delete(chosen)))[0] == 404
        taken = other.assistants.create("echo", assistant_id=chosen, if_exists="do_nothing")
        assert await refused(taken) == (409, f"Assistant {chosen} already exists")
        assert chosen not in [each["assistant_id"] for each in await other.assistants.search(limit=100)]


async def test_what_cannot_be_is_refused_in_langgraphs_words(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    assert await refused(client.assistants.get("echo")) == (422, "Invalid assistant ID: must be a UUID")
    assert await refused(client.assistants.get(UNKNOWN)) == (404, "Not Found")
    assert await refused(client.assistants.update(UNKNOWN)) == (404, f"Assistant {UNKNOWN} not found")
    assert await refused(client.assistants.delete(UNKNOWN)) == (404, f"Assistant with ID {UNKNOWN} not found")
    assert await refused(client.assistants.get_versions(UNKNOWN)) == (404, f"Assistant {UNKNOWN} not found")
    status, detail = await refused(client.assistants.create("nope"))
    assert (status, detail.partition("[")[0]) == (404, "Graph 'nope' not found. Expected one of: ")
    assert (await refused(client.assistants.search(limit=1_001)))[0] == 422
    answer = await http.post("/assistants", content=b"{", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (422, {"detail": "Invalid JSON in request body"})
    assert (await http.post("/assistants", json={"graph_id": "echo", "colour": "red"})).status_code == 422


async def test_every_change_is_a_version(client: LangGraphClient) -> None:
    made = await client.assistants.create("echo", context={"b": 2}, metadata={"k": 2, "n": {"z": 1, "y": 2}}, name="M")
    its = made["assistant_id"]
    assert (await client.assistants.update(its))["version"] == 2
    changed = await client.assistants.update(its, metadata={"n": None, "q": 1})
    assert (changed["version"], changed["metadata"]) == (3, {"k": 2, "n": None, "q": 1})
    changed = await client.assistants.update(its, config={"configurable": {"c": 3}})
    assert (changed["config"], changed["context"]) == ({"configurable": {"c": 3}}, {"c": 3})
    changed = await client.assistants.update(its, config={"tags": ["y"]})
    assert (changed["config"], changed["context"]) == ({"tags": ["y"]}, {"c": 3})
    changed = await client.assistants.update(its, graph_id="steps", name="Z", description="hey")
    assert (changed["graph_id"], changed["name"], changed["description"]) == ("steps", "Z", "hey")
    assert changed["version"] == 6
    versions = await client.assistants.get_versions(its, limit=2)
    assert [each["version"] for each in versions] == [6, 5]
    assert list(versions[0]) == [
        *("assistant_id", "version", "graph_id", "config", "context", "metadata", "created_at", "name", "description"),
    ]
    assert [each["version"] for each in await client.assistants.get_versions(its, {"n": {"z": 1}})] == [2, 1]


async def test_an_earlier_version_is_the_latest_again(client: LangGraphClient) -> None:
    its = (await client.assistants.create("echo", context={"b": 2}, metadata={"k": 2}, name="M"))["assistant_id"]
    await client.assistants.update(its, graph_id="steps", context={"c": 1}, metadata={"q": 1}, name="Z")
    back = await client.assistants.set_latest(its, 1)
    assert (back["version"], back["graph_id"], back["name"], back["metadata"]) == (1, "echo", "M", {"k": 2})
    assert (back["context"], back["config"]) == ({"b": 2}, {"configurable": {"b": 2}})
    assert (await client.assistants.update(its, metadata={"after": 1}))["metadata"] == {"k": 2, "after": 1}
    assert (await client.assistants.get(its))["version"] == 3
    assert await refused(client.assistants.set_latest(its, 99)) == (404, f"Version 99 not found for assistant {its}")


async def test_they_are_found_by_what_they_are(client: LangGraphClient) -> None:
    for name, metadata in (("one", {"k": 1, "n": {"z": 1, "y": 2}}), ("Two", {"k": 2}), ("three", {"k": 2})):
        await client.assistants.create("echo", metadata=metadata, name=name)

    async def names(**query: Any) -> list[str]:
        return [each["name"] for each in await client.assistants.search(**query)]

    assert await names(metadata={"n": {"z": 1}}) == ["one"]
    assert await names(metadata={"k": 2}) == ["three", "Two"]
    assert await names(name="tW") == ["Two"]
    assert await names(graph_id="steps") == ["steps"]
    assert await names(graph_id="echo", sort_by="created_at", sort_order="asc") == ["echo", "one", "Two", "three"]
    assert (await names(graph_id="echo", sort_by="name"))[-1] == "Two"
    assert await client.assistants.count() == 8
    assert await client.assistants.count(metadata={"k": 2}, name="t") == 2
    picked: Any = await client.assistants.search(select=["name", "graph_id"], name="one")
    assert picked == [{"graph_id": "echo", "name": "one"}]


async def test_a_page_says_where_the_next_begins(client: LangGraphClient, http: httpx.AsyncClient) -> None:
    first: Any = await client.assistants.search(limit=2, response_format="object")
    assert (len(first["assistants"]), first["next"]) == (2, "2")
    answer = await http.post("/assistants/search", json={"limit": 2, "offset": 2})
    assert (answer.headers["x-pagination-total"], answer.headers["x-pagination-next"]) == ("5", "4")
    answer = await http.post("/assistants/search", json={"limit": 2, "offset": 4})
    assert answer.headers["x-pagination-total"] == "5"
    assert "x-pagination-next" not in answer.headers


async def test_a_list_costs_two_statements_for_any_number(
    client: LangGraphClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.assistants.search(limit=1)
    asked: list[str] = []

    execute = AsyncConnection.execute

    async def tell(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(str(query))
        return await execute(self, query, *args, **kwargs)

    monkeypatch.setattr(AsyncConnection, "execute", tell)
    await client.assistants.search(limit=1)
    few = len(asked)
    asked.clear()
    await client.assistants.search(limit=100)
    assert len(asked) == few


async def test_what_is_archived_natively_is_not_there(client: LangGraphClient, tenant: Api) -> None:
    made = await client.assistants.create("echo", name="old")
    its = made["assistant_id"]
    await in_thread(archive_assistant, tenant.identity, its)
    assert (await refused(client.assistants.get(its)))[0] == 404
    assert await client.assistants.count(name="old") == 0


async def test_deleting_one_takes_its_runs_and_leaves_its_threads(client: LangGraphClient, tenant: Api) -> None:
    its = (await client.assistants.create("echo"))["assistant_id"]
    session = await in_thread(tenant.session, its)
    run = await in_thread(tenant.run, session)
    await in_thread(tenant.patch, f"/assistants/{its}", {"session_ttl_seconds": 600})
    assert (await refused(client.assistants.delete(its)))[0] == 409
    await in_thread(tenant.post, f"/runs/{run}/cancel")
    await client.assistants.delete(its)
    assert (await refused(client.assistants.get(its)))[0] == 404
    left = await in_thread(lambda: Session.objects.get(id=session))
    assert (left.assistant_id, left.assistant_version) == (None, None)
    assert not await in_thread(Run.objects.filter(id=run).exists)


async def test_its_threads_go_with_it_where_that_is_asked_for(client: LangGraphClient, tenant: Api) -> None:
    its = (await client.assistants.create("echo"))["assistant_id"]
    session = await in_thread(tenant.session, its)
    await client.assistants.delete(its, delete_threads=True)
    assert not await in_thread(Session.objects.filter(id=session).exists)


async def test_a_graphs_own_assistant_can_be_deleted(client: LangGraphClient) -> None:
    assert (await client.assistants.get(ECHO_ID))["metadata"] == {"created_by": "system"}
    await client.assistants.delete(ECHO_ID)
    assert (await refused(client.assistants.get(ECHO_ID)))[0] == 404


async def test_both_doors_show_one_assistant(client: LangGraphClient, tenant: Api) -> None:
    body = {"name": "G", "type": "Graph", "graph_id": "steps", "config": {"recursion_limit": 9}, "context": {"a": 1}}
    made = (await in_thread(tenant.post, "/assistants", body)).json()
    shown = await client.assistants.get(made["id"])
    assert (shown["graph_id"], shown["config"], shown["context"]) == ("steps", {"recursion_limit": 9}, {"a": 1})
    await client.assistants.update(made["id"], context={"a": 2})
    there = (await in_thread(tenant.get, f"/assistants/{made['id']}")).json()
    assert (there["version"], there["context"], there["status"]) == (2, {"a": 2}, "active")


async def test_a_native_assistant_has_its_type_as_its_graph(client: LangGraphClient, tenant: Api) -> None:
    its = await in_thread(lambda: tenant.assistant(name="native", system_prompt="Hi"))
    shown = await client.assistants.get(its)
    assert (shown["graph_id"], shown["name"], shown["context"]) == ("ReactAgent", "native", {})
    configurable: Any = shown["config"]["configurable"]
    assert (configurable["system_prompt"], configurable["llm"]["model"]) == ("Hi", "echo")
    assert [each["name"] for each in await client.assistants.search(graph_id="ReactAgent")] == ["native"]
    changed = await client.assistants.update(its, metadata={"a": 1})
    assert (changed["metadata"], changed["config"], changed["version"]) == ({"a": 1}, shown["config"], 2)


async def test_a_native_assistant_is_made_by_what_is_configurable(client: LangGraphClient, tenant: Api) -> None:
    made = await client.assistants.create("ReactAgent", {"configurable": {"llm": ECHO, "max_steps": 3}}, name="n")
    native = (await in_thread(tenant.get, f"/assistants/{made['assistant_id']}")).json()
    assert (native["type"], native["max_steps"], native["status"]) == ("ReactAgent", 3, "active")
    status, detail = await refused(client.assistants.create("ReactAgent", {"configurable": {"llm": {"model": "x"}}}))
    assert (status, detail) == (422, "llm.provider: Field required.")
    assert (await refused(client.assistants.create("ReactAgent", {"tags": ["x"]})))[0] == 422


async def test_a_graph_that_has_gone_keeps_its_assistants(client: LangGraphClient, tenant: Api, graphs: Any) -> None:
    its = (await client.assistants.create("echo"))["assistant_id"]
    configure(replace(current(), langgraph=replace(graphs, graphs={})))
    assert (await client.assistants.get(its))["graph_id"] == "echo"
    assert await refused(client.assistants.get_graph(its)) == (404, "This server hosts no graph 'echo'.")
    assert (await refused(client.assistants.update(its, name="x")))[0] == 422


async def test_names_of_graphs_draw_them(client: LangGraphClient) -> None:
    drawn = await client.assistants.get_graph("nested", xray=True)
    assert [node["id"] for node in drawn["nodes"]] == ["__start__", "finish", "__end__", "child:shout"]
    assert await client.assistants.get_graph("nested", xray=1) == drawn
    assert [node["id"] for node in (await client.assistants.get_graph("nested"))["nodes"]][1] == "child"
    assert await refused(client.assistants.get_graph("nested", xray=-1)) == (422, "Invalid xray value")
    assert await refused(client.assistants.get_graph("nope")) == (422, "Invalid assistant ID: must be a UUID")


async def test_schemas_and_subgraphs_are_told(client: LangGraphClient) -> None:
    nested = (await client.assistants.search(graph_id="nested"))[0]["assistant_id"]
    schemas: Any = await client.assistants.get_schemas(nested)
    assert list(schemas) == [
        *("graph_id", "input_schema", "output_schema", "state_schema", "config_schema", "context_schema"),
    ]
    assert schemas["state_schema"]["title"] == "nested_state"
    assert list(await client.assistants.get_subgraphs(nested)) == ["child"]
    assert list(await client.assistants.get_subgraphs(nested, "child", recurse=True)) == ["child"]
    assert await client.assistants.get_subgraphs(nested, "nobody") == {}
    assert await refused(client.assistants.get_schemas("nested")) == (422, "Invalid assistant ID: must be a UUID")


async def test_a_native_assistant_is_drawn_as_model_and_tools(client: LangGraphClient, tenant: Api) -> None:
    its = await in_thread(lambda: tenant.assistant(tools=[{"name": "calculator"}]))
    drawn = await client.assistants.get_graph(its)
    assert [node["id"] for node in drawn["nodes"]] == ["__start__", "model", "tools", "__end__"]
    assert {"source": "tools", "target": "model"} in drawn["edges"]
    assert (await client.assistants.get_schemas(its))["input_schema"]["required"] == ["messages"]  # type: ignore[index]
    assert await client.assistants.get_subgraphs(its) == {}


async def test_a_key_that_may_only_read_changes_nothing(neighbour: Api, open_door: None) -> None:
    reader = await in_thread(lambda: Api(neighbour.workspace, scopes=("assistants:read",)))
    async with client_of(reader) as client:
        assert await client.assistants.count() == 5
        assert (await refused(client.assistants.create("echo")))[0] == 403
        assert (await refused(client.assistants.delete(UNKNOWN)))[0] == 403


async def test_a_remote_graph_draws_itself(client: LangGraphClient) -> None:
    drawn = await RemoteGraph("nested", client=client).aget_graph(xray=True)
    assert list(drawn.nodes) == ["__start__", "finish", "__end__", "child:shout"]
