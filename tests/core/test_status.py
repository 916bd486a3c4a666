"""The routes that operators and probes ask, through the whole web application."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from accounts.services import create_api_key, create_workspace
from config.asgi import application
from core.db import close_pool, open_pool
from runs.models import Worker


@pytest.fixture
async def web(transactional_db: None) -> AsyncIterator[httpx.AsyncClient]:
    await open_pool(size=2)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as client:
        yield client
    await close_pool()


@pytest.fixture
def key(db: None) -> str:
    return create_api_key(create_workspace("W", "w"), "test", ["*"])[1]


@pytest.fixture
def api(key: str) -> Client:
    return Client(headers={"x-api-key": key, "accept": "application/json"})


async def test_health_is_open(web: httpx.AsyncClient) -> None:
    answer = await web.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_without_a_worker_is_a_warning(web: httpx.AsyncClient) -> None:
    answer = await web.get("/readyz")
    states = {name: check["status"] for name, check in answer.json()["checks"].items()}
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert states == {"database": "ok", "redis": "ok", "migrations": "ok", "workers": "warning"}


async def test_ready_without_redis_is_a_warning(web: httpx.AsyncClient, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = await web.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["redis"]["status"]) == (200, "warning")


async def test_not_ready_without_the_database(settings: Settings) -> None:
    settings.DATABASE_URL = "postgresql://nobody@127.0.0.1:1/none"
    await open_pool(size=1)
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as web:
            answer = await web.get("/readyz")
            assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
            assert (await web.get("/healthz")).status_code == 200
    finally:
        await close_pool()


def test_metrics_count_runs_and_workers(api: Client) -> None:
    Worker.objects.create(host="h", pid=1, lock_key=1, slots=10, used=3, lease_expires_at="2100-01-01T00:00:00Z")
    Worker.objects.create(host="h", pid=2, lock_key=2, slots=10, used=3, lease_expires_at="2000-01-01T00:00:00Z")
    answer = api.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
    assert answer["Content-Type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert 'agent_server_runs{status="pending"} 0.0' in lines
    assert "agent_server_oldest_pending_age_seconds 0.0" in lines
    assert 'agent_server_webhook_deliveries{status="pending"} 0.0' in lines
    assert "agent_server_oldest_due_delivery_age_seconds 0.0" in lines
    assert {"agent_server_workers 1.0", "agent_server_slots 10.0", "agent_server_slots_used 3.0"} <= set(lines)


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/docs/", "/api-keys", "/assistants"])
def test_everything_else_asks_for_a_key(db: None, path: str) -> None:
    answer = Client().get(path, headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_the_start_leads_to_the_login_and_on_to_the_console(client: Client, db: None) -> None:
    assert client.get("/")["Location"] == "/login"
    client.force_login(User.objects.create_superuser("root"))
    assert client.get("/")["Location"] == "/console/"


def test_the_docs_work_without_the_internet(client: Client, db: None) -> None:
    assert client.get("/docs/", headers={"accept": "text/html"})["Location"] == "/login?next=/docs/"
    client.force_login(User.objects.create_superuser("root"))
    create_workspace("W", "w")
    page = client.get("/docs/", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "/static/drf_spectacular_sidecar/swagger-ui-dist/" in page.text
    assert "https://" not in page.text


def test_the_description_is_whole(api: Client, capsys: pytest.CaptureFixture[str]) -> None:
    answer = api.get("/openapi.json")
    assert answer.status_code == 200
    # drf-spectacular writes what it could not make out to stderr.
    assert "Warning" not in (err := capsys.readouterr().err), err
    assert "Error" not in err, err
    document = answer.json()
    operations = operations_of(document)
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    assert all("default" in operation["responses"] for operation in operations)
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey", "login"}
    assert "Error" in document["components"]["schemas"]


def operations_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_operations_have_names_that_people_would_give(api: Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    assert paths["/api-keys"]["get"]["operationId"] == "get_api_keys"
    assert paths["/api-keys/{api_key_id}"]["delete"]["operationId"] == "delete_api_key"


async def test_a_chunked_body_reaches_django_whole(web: httpx.AsyncClient, key: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield json.dumps({"path": "/ws/sessions"})[:10].encode()
        yield json.dumps({"path": "/ws/sessions"})[10:].encode()

    headers = {"x-api-key": key, "content-type": "application/json"}
    answer = await web.post("/ws-tickets", content=chunks(), headers={**headers, "transfer-encoding": "chunked"})
    assert answer.status_code == 201, answer.text


async def test_django_answers_with_the_edges_request_id(web: httpx.AsyncClient, key: str) -> None:
    for path in ("/nowhere", "/api-keys/x"):
        answer = await web.get(path, headers={"x-api-key": key, "x-request-id": "mine"})
        assert (answer.status_code, answer.json()["request_id"], answer.headers["x-request-id"]) == (
            404,
            "mine",
            "mine",
        )
