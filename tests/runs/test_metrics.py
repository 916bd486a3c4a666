"""How an assistant's runs went, in numbers."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F
from pytest_django import DjangoAssertNumQueries

from core.ids import new_id
from runs.lifecycle import TERMINAL
from runs.metrics import assistant_metrics
from runs.models import Run
from runs.serializers import MetricsDocument
from tests.api import Api, assert_refused

NOTHING = dict.fromkeys(["pending", "running", "interrupted", "success", "error", "timeout", "cancelled"], 0)


@pytest.fixture
def assistant(api: Api) -> str:
    return api.assistant()


def made(api: Api, assistant: str, status: str = "success", *, user_id: str | None = None, **changes: Any) -> str:
    """A run of a session of its own, put into that status."""
    run = api.run(api.session(assistant, user_id=user_id))
    ended = {"finished_at": F("created_at")} if status in TERMINAL else {}
    held = {"lease_owner": new_id()} if status == "running" else {}
    Run.objects.filter(id=run).update(**{"status": status, "ready": False, **ended, **held, **changes})
    return run


def after(seconds: float) -> Any:
    return F("created_at") + timedelta(seconds=seconds)


def metrics(api: Api, assistant: str, **query: Any) -> dict[str, Any]:
    answer = api.get(f"/assistants/{assistant}/metrics", **query)
    assert answer.status_code == 200, answer.content
    document: dict[str, Any] = answer.json()
    return document


def test_an_assistant_without_runs_has_zeros_and_nulls(api: Api, assistant: str) -> None:
    document = metrics(api, assistant)
    assert list(document) == list(MetricsDocument.model_fields)
    MetricsDocument.model_validate(document)
    assert document["runs"] == NOTHING
    assert document["latency_s"] == document["queue_s"] == {"p50": None, "p95": None}
    assert document["tokens"] == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert document["cost"] is None


def test_runs_are_counted_by_status(api: Api, assistant: str) -> None:
    for status in ("pending", "running", "interrupted", "success", "success", "error", "cancelled"):
        made(api, assistant, status)
    counted = {"pending": 1, "running": 1, "interrupted": 1, "success": 2, "error": 1, "cancelled": 1}
    assert metrics(api, assistant)["runs"] == {**NOTHING, **counted}


def test_latency_is_from_creation_to_end_and_the_queue_to_the_first_claim(api: Api, assistant: str) -> None:
    for seconds in (1, 2, 3, 4):
        made(api, assistant, started_at=after(seconds / 10), finished_at=after(seconds))
    made(api, assistant, "running", started_at=after(0.5))
    made(api, assistant, "pending")
    document = metrics(api, assistant)
    assert document["latency_s"] == pytest.approx({"p50": 2.5, "p95": 3.85})
    assert document["queue_s"] == pytest.approx({"p50": 0.3, "p95": 0.48})


def test_tokens_and_known_costs_add_up(api: Api, assistant: str) -> None:
    made(api, assistant, input_tokens=1_000, output_tokens=10, cost_usd="0.25")
    made(api, assistant, "error", input_tokens=200, output_tokens=2, cost_usd="0.00000001")
    made(api, assistant, "running", input_tokens=30)
    document = metrics(api, assistant)
    assert document["tokens"] == {"input_tokens": 1_230, "output_tokens": 12, "total_tokens": 1_242}
    assert document["cost"] == pytest.approx(0.25000001, rel=1e-12)


def test_the_window_is_of_the_runs_creation(api: Api, assistant: str) -> None:
    for hours in (0, 2, 25, 24 * 29):
        made(api, assistant, created_at=after(-3_600 * hours))
    windows = {window_s: metrics(api, assistant, window_s=window_s) for window_s in (60, 3 * 3_600, 30 * 86_400)}
    assert {window_s: found["runs"]["success"] for window_s, found in windows.items()} == {
        60: 1,
        3 * 3_600: 2,
        30 * 86_400: 4,
    }
    assert metrics(api, assistant)["runs"]["success"] == 2
    for window_s, found in windows.items():
        assert _moment(found["until"]) - _moment(found["since"]) == timedelta(seconds=window_s)


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")


def test_another_assistants_runs_are_not_counted(api: Api, assistant: str) -> None:
    made(api, api.assistant())
    assert metrics(api, assistant)["runs"] == NOTHING


def test_an_archived_assistant_keeps_its_past(api: Api, assistant: str) -> None:
    made(api, assistant)
    api.delete(f"/assistants/{assistant}")
    assert metrics(api, assistant)["runs"]["success"] == 1


def test_a_key_of_a_user_learns_nothing_of_others(api: Api, assistant: str) -> None:
    made(api, assistant, user_id="ann", input_tokens=1)
    made(api, assistant, user_id="bob", input_tokens=20, finished_at=after(9))
    made(api, assistant, input_tokens=300)
    anns = metrics(Api(api.workspace, user_id="ann"), assistant)
    assert (anns["runs"]["success"], anns["tokens"]["total_tokens"], anns["latency_s"]["p95"]) == (1, 1, 0)
    assert metrics(Api(api.workspace, user_id="carol"), assistant)["runs"] == NOTHING


@pytest.mark.parametrize("value", ["", "x", "59.9", "2592000.1", "-60", "nan", "inf", "1e3x", "60&window_s=60"])
def test_a_window_that_is_not_right_is_refused(api: Api, assistant: str, value: str) -> None:
    answer = api.get(f"/assistants/{assistant}/metrics?window_s={value}")
    assert_refused(answer, 422, "invalid", "query", "window_s")


def test_an_unknown_query_key_is_refused(api: Api, assistant: str) -> None:
    answer = api.get(f"/assistants/{assistant}/metrics", window=60)
    assert_refused(answer, 422, "invalid", "query", "window")


def test_reading_assistants_is_what_it_takes(api: Api, assistant: str) -> None:
    metrics(Api(api.workspace, scopes=("assistants:read",)), assistant)
    other = Api(api.workspace, scopes=("runs:write",))
    assert_refused(other.get(f"/assistants/{assistant}/metrics"), 403, "forbidden")


def test_metrics_cost_one_statement(
    api: Api, assistant: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        assistant_metrics(api.identity, UUID(assistant)).run()


def test_the_api_describes_them(api: Api) -> None:
    described = api.get("/openapi.json").json()["paths"]["/assistants/{assistant_id}/metrics"]["get"]
    assert "window_s" in [parameter["name"] for parameter in described["parameters"]]
    content = described["responses"]["200"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/MetricsDocument"}
