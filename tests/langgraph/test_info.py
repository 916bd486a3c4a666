"""What the door tells of itself."""

import httpx
from langgraph_sdk.client import LangGraphClient

from protocols.langgraph import door
from protocols.langgraph.openapi import describe
from tests.api import Api

# They take none, or one that is no model of ours.
BODILESS = {
    ("post", "/runs/batch"),
    ("post", "/threads/{thread_id}/commands"),
    ("post", "/threads/{thread_id}/copy"),
    ("post", "/threads/{thread_id}/runs/{run_id}/cancel"),
    ("post", "/threads/{thread_id}/stream/events"),
}


async def test_it_answers_whoever_asks(http: httpx.AsyncClient) -> None:
    del http.headers["x-api-key"]
    for path in ("", "/", "/ok", "/ok?check_db=1"):
        answer = await http.get(path)
        assert (path, answer.status_code, answer.json()) == (path, 200, {"ok": True, "services": {}})
    assert (await http.get("/ok?check_db=maybe")).status_code == 422


async def test_info(http: httpx.AsyncClient) -> None:
    told = (await http.get("/info")).json()
    assert {"version", "langgraph_py_version", "flags", "metadata", "host"} == set(told)
    assert told["flags"]["assistants"] is True
    assert told["flags"]["crons"] is True
    assert told["flags"]["langsmith"] is False
    assert told["langgraph_py_version"].startswith("1.")


async def test_metrics_are_the_servers_and_need_a_key(http: httpx.AsyncClient, client: LangGraphClient) -> None:
    answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "agent_server_workers 0" in answer.text
    told = (await http.get("/metrics?format=json")).json()
    assert told["queue"]["n_pending"] == told["queue"]["n_running"] == 0
    assert told["queue"]["pending_runs_wait_time_max_secs"] is None
    assert told["workers"] == {"max": 0, "active": 0, "available": 0}
    assert (await http.get("/metrics?format=xml")).status_code == 422
    del http.headers["x-api-key"]
    assert (await http.get("/metrics")).status_code == 401


async def test_the_description_has_what_is_served_and_nothing_else(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    described = {(method.upper(), path) for path, found in document["paths"].items() for method in found}
    untold = {"", "/docs", "/docs.js", "/openapi.json"}
    assert described == {(method, path) for method, path, _, _ in door.router.table() if path not in untold}
    put = document["paths"]["/store/items"]["put"]
    assert put["summary"] == "Write a document in the place of the one that has its name."
    assert put["requestBody"]["content"]["application/json"]["schema"]["required"] == ["namespace", "key", "value"]
    ids = [found["operationId"] for path in document["paths"].values() for found in path.values()]
    assert len(ids) == len(set(ids))


async def test_what_is_posted_is_described(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    writes = {(method, path) for path, found in paths.items() for method in found if method in {"post", "put", "patch"}}
    without = {(method, path) for method, path in writes if "requestBody" not in paths[path][method]}
    assert without == BODILESS


async def test_every_reference_of_the_description_leads_somewhere(http: httpx.AsyncClient) -> None:
    answer = await http.get("/openapi.json")
    names = set(answer.json()["components"]["schemas"])
    asked = {part.split('"')[0] for part in answer.text.split("#/components/schemas/")[1:]}
    assert asked <= names


def test_a_deployments_own_ways_to_come_in_are_described_too() -> None:
    own = {"securitySchemes": {"tokens": {"type": "http", "scheme": "bearer"}}, "security": [{"tokens": []}]}
    document = describe([], own)
    assert set(document["components"]["securitySchemes"]) == {"key", "bearer", "tokens"}
    assert {"tokens": []} in document["security"]


async def test_a_page_shows_it_and_runs_no_script_of_its_own(http: httpx.AsyncClient) -> None:
    page = await http.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert "swagger-ui-bundle.js" in page.text
    assert "openapi.json" in (await http.get("/docs.js")).text


async def test_a_bound_key_sees_no_figures_of_the_server(ann: Api, http: httpx.AsyncClient) -> None:
    assert (await http.get("/metrics", headers={"x-api-key": ann.key})).status_code == 403
