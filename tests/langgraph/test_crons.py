"""Crons, as the official SDK's CronClient makes, finds, changes and deletes them: our schedules."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError

from core.db import pool
from core.threads import in_thread
from scheduling.firing import start_by_clock
from scheduling.models import Firing, Schedule
from tests.api import UNKNOWN, Api
from tests.langgraph.conftest import client_of

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
FIELDS = {
    *("cron_id", "assistant_id", "thread_id", "user_id", "end_time", "schedule", "timezone", "payload"),
    *("next_run_date", "metadata", "on_run_completed", "enabled", "created_at", "updated_at"),
}


@pytest.fixture
def crons(client: LangGraphClient) -> Any:
    """The client's crons; the SDK says of them that they are runs."""
    return client.crons


async def fire(cron: Any) -> dict[str, Any]:
    """Let the cron's time come; gives the run that it starts, with its payload and its session."""
    await in_thread(start_by_clock, UUID(cron["cron_id"]))
    firing = await in_thread(Firing.objects.order_by("id").last)
    assert firing is not None
    assert firing.outcome == "started", firing.reason
    async with pool().connection() as conn:
        found = await conn.execute(
            """
            SELECT r.*, p.input, p.kwargs, s.ephemeral, s.metadata AS session_metadata FROM runs r
            JOIN run_payloads p ON p.run_id = r.id JOIN sessions s ON s.id = r.session_id WHERE r.id = %s
            """,
            [firing.run_id],
        )
        row = await found.fetchone()
    assert row is not None
    return row


async def test_a_cron_says_what_it_will_do(client: LangGraphClient, crons: Any) -> None:
    cron = await crons.create("echo", schedule="0 3 * * *", input=HELLO, metadata={"a": 1})
    assert set(cron) == FIELDS
    assert (cron["schedule"], cron["timezone"], cron["thread_id"]) == ("0 3 * * *", None, None)
    assert (cron["metadata"], cron["enabled"], cron["on_run_completed"]) == ({"a": 1}, True, "delete")
    assert cron["payload"]["input"] == HELLO
    assert cron["payload"]["config"]["configurable"]["cron_id"] == cron["cron_id"]
    assert cron["next_run_date"][11:19] == "03:00:00"
    assert await client.http.get(f"/runs/crons/{cron['cron_id']}") == cron


async def test_its_runs_are_what_was_asked_for_each_in_a_thread_that_goes_with_it(crons: Any) -> None:
    cron = await crons.create(
        "steps",
        schedule="0 3 * * *",
        input={"value": 1},
        metadata={"a": 1},
        config={"tags": ["t"], "configurable": {"x": 1}},
        stream_mode=["updates"],
        interrupt_before=["b"],
        durability="sync",
    )
    run = await fire(cron)
    assert (run["input"], run["durability"], run["ephemeral"]) == ({"value": 1}, "sync", True)
    assert run["kwargs"]["config"]["configurable"] == {"x": 1, "cron_id": cron["cron_id"]}
    assert run["kwargs"]["config"]["tags"] == ["t"]
    assert (run["kwargs"]["stream_mode"], run["kwargs"]["interrupt_before"]) == (["updates"], ["b"])
    assert run["kwargs"]["temporary"] is True
    assert run["metadata"]["a"] == 1
    assert run["metadata"]["graph_id"] == "steps"
    again = await fire(cron)
    assert again["session_id"] != run["session_id"]


async def test_its_threads_are_kept_where_that_is_asked_for(crons: Any) -> None:
    cron = await crons.create("echo", schedule="0 3 * * *", input=HELLO, on_run_completed="keep")
    assert cron["on_run_completed"] == "keep"
    run = await fire(cron)
    assert run["ephemeral"] is False
    assert run["kwargs"].get("temporary") is False


async def test_a_threads_cron_runs_in_it_one_after_the_other(client: LangGraphClient, crons: Any) -> None:
    thread = await client.threads.create()
    cron = await crons.create_for_thread(
        thread["thread_id"], "echo", schedule="0 3 * * *", input=HELLO, multitask_strategy="enqueue"
    )
    assert (cron["thread_id"], cron["on_run_completed"]) == (thread["thread_id"], None)
    first, second = await fire(cron), await fire(cron)
    assert str(first["session_id"]) == str(second["session_id"]) == thread["thread_id"]
    assert first["ephemeral"] is False


async def test_a_native_assistants_cron_says_what_people_say(crons: Any, native: str) -> None:
    cron = await crons.create(native, schedule="0 3 * * *", input=HELLO)
    run = await fire(cron)
    assert run["input"] == {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def native(tenant: Api) -> str:
    return tenant.assistant()


async def test_changing_it(crons: Any) -> None:
    cron = await crons.create("echo", schedule="0 3 * * *", input=HELLO, metadata={"a": 1})
    end = datetime.now(UTC) + timedelta(days=9)
    changed = await crons.update(
        cron["cron_id"],
        schedule="0 4 * * *",
        timezone="Europe/Berlin",
        end_time=end,
        metadata={"b": 2},
        input={"messages": []},
        on_run_completed="keep",
        durability="exit",
    )
    assert (changed["schedule"], changed["timezone"], changed["metadata"]) == (
        "0 4 * * *",
        "Europe/Berlin",
        {"a": 1, "b": 2},
    )
    assert (changed["payload"]["input"], changed["on_run_completed"]) == ({"messages": []}, "keep")
    assert changed["next_run_date"][11:16] in {"02:00", "03:00"}
    run = await fire(changed)
    assert (run["input"], run["durability"], run["ephemeral"]) == ({"messages": []}, "exit", False)
    paused = await crons.update(cron["cron_id"], enabled=False, end_time=None)
    assert (paused["enabled"], paused["next_run_date"], paused["end_time"]) == (False, None, None)
    assert "end_time" not in paused["payload"]
    assert (await crons.update(cron["cron_id"], enabled=True))["next_run_date"] is not None


async def test_finding_and_counting(client: LangGraphClient, crons: Any, http: httpx.AsyncClient) -> None:
    thread = await client.threads.create()
    one = await crons.create("echo", schedule="0 3 * * *", metadata={"team": {"name": "blue"}, "n": 1})
    two = await crons.create_for_thread(thread["thread_id"], "steps", schedule="0 2 * * *", enabled=False)

    async def ids(**asked: Any) -> list[str]:
        return [cron["cron_id"] for cron in await crons.search(**asked)]

    assert await ids() == [two["cron_id"], one["cron_id"]]
    assert await ids(sort_by="created_at", sort_order="asc") == [one["cron_id"], two["cron_id"]]
    assert await ids(assistant_id=one["assistant_id"]) == [one["cron_id"]]
    assert await ids(thread_id=thread["thread_id"]) == [two["cron_id"]]
    assert await ids(enabled=True) == [one["cron_id"]]
    assert await ids(metadata={"team": {"name": "blue"}}) == [one["cron_id"]]
    assert await ids(limit=1, offset=1) == [one["cron_id"]]
    assert await crons.search(select=["schedule"], limit=1) == [{"schedule": "0 2 * * *"}]
    assert await crons.count() == 2
    assert await crons.count(metadata={"n": 2}) == 0
    page = await http.post("/runs/crons/search", json={"limit": 1})
    assert (page.headers["x-pagination-total"], page.headers["x-pagination-next"]) == ("2", "1")


async def test_deleting_it(crons: Any) -> None:
    cron = await crons.create("echo", schedule="0 3 * * *")
    await crons.delete(cron["cron_id"])
    with pytest.raises(APIStatusError) as gone:
        await crons.delete(cron["cron_id"])
    assert (gone.value.status_code, gone.value.response.json()) == (404, {"detail": "Not Found"})


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"schedule": "x"}, 422, "Invalid cron schedule: 'x'. Reason: "),
    ({"schedule": "* * * * * *"}, 422, "Invalid cron schedule: '* * * * * *'. Reason: "),
    ({"timezone": "Mars/X"}, 422, "Invalid timezone: 'Mars/X'. Use IANA timezone format"),
    ({"assistant_id": "nope"}, 404, "Assistant 'nope' not found"),
    ({"assistant_id": UNKNOWN}, 404, f"Assistant '{UNKNOWN}' not found"),
    ({"end_time": "2020-01-01T00:00:00Z"}, 422, "future"),
    ({"webhook": "http://127.0.0.1/x"}, 422, "webhook"),
    ({"stream_mode": "everything"}, 422, "stream_mode"),
    ({"command": {"resume": 1}}, 422, "command"),
]


async def test_refusals(http: httpx.AsyncClient) -> None:
    for asked, status, said in REFUSED:
        answer = await http.post("/runs/crons", json={"assistant_id": "echo", "schedule": "0 3 * * *", **asked})
        assert (answer.status_code, asked) == (status, asked), answer.text
        assert said in answer.json()["detail"]
    answer = await http.post(f"/threads/{UNKNOWN}/runs/crons", json={"assistant_id": "echo", "schedule": "0 3 * * *"})
    assert answer.status_code == 404
    assert f"Thread with ID '{UNKNOWN}' not found." in answer.json()["detail"]
    asked = {"assistant_id": "echo", "schedule": "0 3 * * *", "if_not_exists": "create"}
    assert (await http.post(f"/threads/{UNKNOWN}/runs/crons", json=asked)).status_code == 422
    assert (await http.get("/runs/crons/x")).json() == {"detail": "Invalid cron ID: must be a UUID"}
    assert (await http.get(f"/runs/crons/{UNKNOWN}")).status_code == 404


async def test_a_change_needs_something_to_change(crons: Any, http: httpx.AsyncClient) -> None:
    cron = await crons.create("echo", schedule="0 3 * * *")
    answer = await http.patch(f"/runs/crons/{cron['cron_id']}", json={})
    assert (answer.status_code, answer.json()) == (400, {"detail": "Request body cannot be empty"})


async def test_schedules_that_were_made_natively_are_crons_as_far_as_they_go(
    crons: Any, tenant: Api, native: str
) -> None:
    body = {"name": "n", "cron": "0 5 * * *", "timezone": "Europe/Berlin", "input": {"message": "Hi"}}
    made = await in_thread(tenant.post, f"/assistants/{native}/schedules", body)
    assert made.status_code == 201, made.content
    (cron,) = await crons.search()
    assert (cron["schedule"], cron["timezone"], cron["payload"]["input"]) == (
        "0 5 * * *",
        "Europe/Berlin",
        {"message": "Hi"},
    )
    assert (await crons.update(cron["cron_id"], enabled=False))["enabled"] is False
    with pytest.raises(APIStatusError, match="made natively"):
        await crons.update(cron["cron_id"], input=HELLO)


async def test_it_is_a_schedule_of_the_native_api(crons: Any, tenant: Api) -> None:
    cron = await crons.create("echo", schedule="0 3 * * *", input=HELLO)
    shown = await in_thread(tenant.get, f"/schedules/{cron['cron_id']}")
    assert (shown.status_code, shown.json()["cron"], shown.json()["input"]) == (200, "0 3 * * *", HELLO)


async def test_strangers_see_nothing_of_it(crons: Any, neighbour: Api) -> None:
    cron = await crons.create("echo", schedule="0 3 * * *")
    async with client_of(neighbour) as other:
        theirs: Any = other.crons
        assert await theirs.count() == 0
        for change in (theirs.delete(cron["cron_id"]), theirs.update(cron["cron_id"], enabled=False)):
            with pytest.raises(APIStatusError, match="Not Found"):
                await change
    assert await in_thread(Schedule.objects.count) == 1


async def test_a_list_costs_as_many_statements_for_any_number(crons: Any, asked: list[str]) -> None:
    await crons.create("echo", schedule="0 3 * * *")
    asked.clear()
    await crons.search()
    few = len(asked)
    await crons.create("steps", schedule="0 3 * * *")
    asked.clear()
    assert len(await crons.search()) == 2
    assert len(asked) == few
