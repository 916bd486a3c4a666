"""Deleting an assistant for good: what goes, what refuses it, what races it, and who still holds something of it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.models import Model

from accounts.models import AuditEntry
from assistants.models import Assistant, AssistantTag
from core.db import Bound, Row, pool
from core.errors import Conflict, NotFound
from core.http import as_app_error
from core.ids import new_id
from runs.accepting import create_stateless_run
from runs.bodies import CreateStatelessRun
from runs.deletion import delete_assistant_for_good
from runs.events import Event, Position
from runs.follow import follow
from runs.lifecycle import Status
from runs.live import Subscription
from runs.models import Artifact, Run, RunEvent, RunResult, RunStep
from runs.queries import events_of_run, events_of_session
from runs.services import cancel_run
from runs.sockets import NOT_FOUND
from runs.worker.commit import commit_steps
from runs.worker.rescue import rescue
from scheduling.models import Firing, Schedule, Trigger, TriggerCall
from sessions.bodies import OpenSession
from sessions.models import GraphCheckpoint, GraphValue, GraphWrite, Session, SharedFile
from sessions.services import open_session
from tests.api import HELLO, Api, assert_refused
from tests.runs.conftest import make_assistant
from tests.runs.test_websocket import closed_with, hear, socket_to, tell
from tests.runs.worker import Tenant, claim_with, ending, make_worker
from tests.servers import Server, wait_for

NOW = "2026-01-31T12:00:00Z"
MESSAGES = {"messages": [{"role": "user", "content": "Hi"}]}


def belonging(to: type[Model] = Assistant) -> set[type[Model]]:
    """The models whose rows lead to it, and itself."""
    found: set[type[Model]] = {to}
    while True:
        more = {
            model
            for model in apps.get_models()
            for field in model._meta.concrete_fields
            if field.remote_field and field.remote_field.model in found
        }
        if more <= found:
            return found
        found |= more


def counts() -> dict[str, int]:
    return {model.__name__: model._default_manager.count() for model in belonging()}


def end(run: str | UUID, status: str = "success") -> None:
    Run.objects.filter(id=run).update(status=status, ready=False, lease_owner=None, finished_at=NOW)
    Session.objects.filter(head_run_id=run).update(head_run_id=None)


def full(api: Api, **config: Any) -> str:
    """An assistant with one row of everything that can belong to it, and a run that has ended."""
    assistant = api.assistant(**config)
    AssistantTag.objects.create(assistant_id=assistant, name="stable", version=1)
    run = api.run(api.session(assistant, initial_state=MESSAGES))
    RunStep.objects.create(
        run_id=run, index=1, kind="model", status="ok", attempt=1, started_at=NOW, duration_ms=1, tool_calls=[]
    )
    RunEvent.objects.create(run_id=run, seq=1, event="end", data={}, ts=NOW)
    RunResult.objects.create(run_id=run, key="task", value=1)
    of_graph = {"session_id": Run.objects.get(id=run).session_id, "namespace": ""}
    GraphCheckpoint.objects.create(**of_graph, checkpoint_id=new_id(), document={})
    GraphValue.objects.create(**of_graph, channel="messages", version="1")
    GraphWrite.objects.create(**of_graph, checkpoint_id=new_id(), task_id="t", index=0, channel="messages")
    Artifact.objects.create(run_id=run, name="a", mime_type="image/png", size=1, content=b"1")
    SharedFile.objects.create(workspace=api.workspace, assistant_id=assistant, path="/a", content="x", size=1)
    of_both = {"workspace": api.workspace, "assistant_id": assistant, "name": "x", "created_by": "key:x"}
    schedule = Schedule.objects.create(**of_both, interval_s=60)
    Firing.objects.create(schedule=schedule, outcome="skipped")
    trigger = Trigger.objects.create(**of_both, token=schedule.id.hex, sealed_secret=b"x")
    TriggerCall.objects.create(trigger=trigger, delivery_id="1", outcome="started")
    end(run)
    return assistant


def delete(api: Api, assistant: str, query: str = "?permanent=true") -> Any:
    return api.delete(f"/assistants/{assistant}{query}")


# -- what goes -------------------------------------------------------------------------------------------------------


def test_everything_of_it_goes(transactional_db: None, api: Api) -> None:
    assistant = full(api, name="helper")
    assert 0 not in counts().values()
    (session,), (run,) = api.items("/sessions"), api.items("/runs")
    answer = delete(api, assistant)
    assert (answer.status_code, answer.content) == (204, b"")
    assert set(counts().values()) == {0}
    for path in (f"assistants/{assistant}", f"sessions/{session['id']}", f"runs/{run['id']}"):
        assert_refused(api.get(f"/{path}"), 404, "not_found")
    assert_refused(delete(api, assistant), 404, "not_found")
    assert api.assistant(name="helper") != assistant


def test_the_sessions_of_its_sub_agents_go_too(transactional_db: None, api: Api) -> None:
    assistant, helper = api.assistant(), api.assistant()
    parent, others = api.session(assistant), api.session(helper)
    run = api.run(api.session(helper))
    child = str(Run.objects.get(id=run).session_id)
    Session.objects.filter(id=child).update(parent_id=parent)
    assert_refused(delete(api, assistant), 409, "conflict")
    end(run)
    assert delete(api, assistant).status_code == 204
    assert [str(session) for session in Session.objects.values_list("id", flat=True)] == [others]
    assert not Run.objects.exists()


def test_every_foreign_key_to_what_goes_can_be_sought(db: None) -> None:
    """Each row that goes is looked for in what refers to it: without an index that reads the whole table."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.conrelid::regclass::text, a.attname FROM pg_constraint c
            JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
            WHERE c.contype = 'f' AND c.confrelid = ANY(%s::regclass[]) AND NOT EXISTS (
                SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1])
            """,
            [[model._meta.db_table for model in belonging()]],
        )
        assert cursor.fetchall() == []


@pytest.mark.parametrize("status", ["created", "active", "archived"])
def test_it_goes_from_any_status(api: Api, status: str) -> None:
    assistant = full(api)
    Assistant.objects.update(status=status)
    assert delete(api, assistant).status_code == 204
    assert not Assistant.objects.exists()


def test_the_neighbours_stay(api: Api, stranger: Api) -> None:
    neighbour = full(api)
    full(stranger)
    before = counts()
    assistant = full(api)
    # The neighbour's run was started by one of the assistant's that goes.
    Run.objects.filter(assistant_id=neighbour).update(parent_run=Run.objects.get(assistant_id=assistant))
    assert delete(api, assistant).status_code == 204
    assert counts() == before
    assert Run.objects.get(assistant_id=neighbour).parent_run_id is None


def test_the_audit_trail_outlives_it(api: Api) -> None:
    assistant = full(api, name="helper")
    api.session(assistant)
    delete(api, assistant)
    entry = AuditEntry.objects.get(subject_id=assistant, action="deleted")
    assert (entry.subject_type, entry.actor.startswith("key:")) == ("assistant", True)
    assert entry.details == {"name": "helper", "sessions": 2, "runs": 1}


# -- what refuses it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["pending", "running", "interrupted"])
def test_a_run_that_has_not_ended_refuses_it(api: Api, status: str) -> None:
    assistant = full(api)
    run = api.run(api.session(assistant))
    held = new_id() if status == "running" else None
    Run.objects.filter(id=run).update(status=status, ready=False, lease_owner=held)
    before = counts()
    answer = delete(api, assistant)
    assert_refused(answer, 409, "conflict")
    assert f"1 {status}" in answer.json()["detail"]
    assert (counts(), AuditEntry.objects.filter(action="deleted").count()) == (before, 0)
    end(run, "cancelled")
    assert delete(api, assistant).status_code == 204


def test_a_refusal_says_how_many_runs_stand_in_the_way(api: Api) -> None:
    assistant = full(api)
    for _ in range(3):
        api.run(api.session(assistant))
    Run.objects.filter(id=api.run(api.session(assistant))).update(status="interrupted", ready=False)
    detail = delete(api, assistant).json()["detail"]
    assert detail == "The assistant has runs that have not ended: 3 pending, 1 interrupted."


def test_without_permanent_it_is_archived_and_again_answers_the_same(api: Api) -> None:
    assistant = full(api)
    for query in ("?permanent=false", "", "?permanent=false"):
        answer = delete(api, assistant, query)
        assert (answer.status_code, answer.json()["status"]) == (200, "archived")
    assert 0 not in counts().values()


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("?permanent=yes", "permanent"),
        ("?permanent=TRUE", "permanent"),
        ("?permanent=", "permanent"),
        ("?permanent=true&permanent=true", "permanent"),
        ("?permanent=true&force=true", "force"),
    ],
)
def test_a_query_that_is_not_right_changes_nothing(api: Api, query: str, name: str) -> None:
    assistant = full(api)
    assert_refused(delete(api, assistant, query), 422, "invalid", "query", name)
    assert api.get(f"/assistants/{assistant}").json()["status"] == "active"


def test_it_takes_the_scope_and_a_key_of_the_whole_workspace(api: Api) -> None:
    assistant = full(api)
    for key in (Api(api.workspace, scopes=("assistants:read",)), Api(api.workspace, user_id="ann")):
        assert_refused(delete(key, assistant), 403, "forbidden")
    assert 0 not in counts().values()


def test_the_api_describes_it(api: Api) -> None:
    described = api.get("/openapi.json").json()["paths"]["/assistants/{assistant_id}"]["delete"]
    assert {"200", "204", "409", "default"} <= described["responses"].keys()
    assert "permanent" in [parameter["name"] for parameter in described["parameters"]]


# -- what races it ---------------------------------------------------------------------------------------------------


@pytest.fixture
def threads() -> Any:
    with ThreadPoolExecutor(5) as threads:
        yield threads


def apart(threads: ThreadPoolExecutor, act: Callable[[], Any]) -> "Future[Any]":
    """`act` on a connection of its own."""

    def carry_out() -> Any:
        try:
            return act()
        finally:
            connection.close()

    return threads.submit(carry_out)


def delete_tenant(tenant: Tenant) -> None:
    delete_assistant_for_good(tenant.identity, tenant.assistant)


def stateless(tenant: Tenant) -> None:
    body = CreateStatelessRun(assistant_id=str(tenant.assistant), input={"message": "hi"})
    create_stateless_run(tenant.identity, body, new_id()).run()


def someone_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_locks WHERE NOT granted")
        return cursor.rowcount > 0


def test_a_run_that_is_being_accepted_refuses_it(tenant: Tenant, threads: ThreadPoolExecutor) -> None:
    session = tenant.session()
    with transaction.atomic():
        run = tenant.run(session)
        with pytest.raises(Conflict, match="try again"):
            apart(threads, lambda: delete_tenant(tenant)).result()
    assert Run.objects.get(id=run).status == "pending"


def test_a_session_that_is_being_opened_is_refused(tenant: Tenant, threads: ThreadPoolExecutor) -> None:
    def open_too_late() -> None:
        with transaction.atomic():
            tenant.session()
            apart(threads, lambda: delete_tenant(tenant)).result()

    with pytest.raises(IntegrityError) as refused:
        open_too_late()
    assert isinstance(as_app_error(refused.value), Conflict)
    assert set(counts().values()) == {0}


@pytest.mark.parametrize("late", ["run", "session", "stateless"])
def test_who_comes_while_it_is_deleted_waits_and_is_refused(
    tenant: Tenant, threads: ThreadPoolExecutor, late: str
) -> None:
    session = tenant.session()
    acts = {
        "run": lambda: tenant.run(session),
        "session": tenant.session,
        "stateless": lambda: stateless(tenant),
    }
    with transaction.atomic():
        delete_tenant(tenant)
        coming = apart(threads, acts[late])
        wait_for(someone_waits_for_a_lock)
    error = as_app_error(coming.exception())
    assert isinstance(error, NotFound if late == "run" else Conflict)
    assert set(counts().values()) == {0}


async def test_a_caller_of_the_async_pool_is_refused_too(tenant: Tenant, async_pool: None) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def delete_slowly() -> None:
        with transaction.atomic():
            delete_tenant(tenant)
            loop.call_soon_threadsafe(begun.set)
            wait_for(someone_waits_for_a_lock)

    deletion = asyncio.create_task(asyncio.to_thread(delete_slowly))
    await begun.wait()
    with pytest.raises(psycopg.IntegrityError) as refused:
        await open_session(tenant.identity, tenant.assistant, OpenSession()).arun()
    await deletion
    assert isinstance(as_app_error(refused.value), Conflict)


def test_of_two_deletions_one_finds_nothing(tenant: Tenant, threads: ThreadPoolExecutor) -> None:
    with transaction.atomic():
        delete_tenant(tenant)
        second = apart(threads, lambda: delete_tenant(tenant))
        wait_for(someone_waits_for_a_lock)
    assert isinstance(second.exception(), NotFound)
    assert AuditEntry.objects.filter(action="deleted").count() == 1


@pytest.mark.parametrize("attempt", range(12))
def test_whoever_wins_nothing_is_orphaned(tenant: Tenant, threads: ThreadPoolExecutor, attempt: int) -> None:
    session, cancelled = tenant.session(), tenant.session()
    waiting = tenant.run(cancelled) if attempt % 2 else None
    acts: list[Callable[[], Any]] = [
        lambda: stateless(tenant),
        lambda: tenant.run(session),
        tenant.session,
        lambda: cancel_run(tenant.identity, waiting).run() if waiting else tenant.session(),
        lambda: delete_tenant(tenant),
    ]
    start = Barrier(len(acts))

    def at_once(act: Callable[[], Any]) -> Any:
        start.wait()
        return act()

    racing = [apart(threads, lambda act=act: at_once(act)) for act in acts]  # type: ignore[misc]
    errors = [as_app_error(error) if (error := future.exception()) else None for future in racing]
    for error, future in zip(errors, racing, strict=True):
        assert (error is None) == (future.exception() is None), future.exception()
        assert error is None or error.status in {404, 409, 422}, error
    if errors[-1] is None:
        assert set(counts().values()) == {0}
    else:
        assert isinstance(errors[-1], Conflict)
        assert Run.objects.count() == sum(error is None for error in errors[:2]) + bool(waiting)
        assert errors[:-1] == [None] * 4


# -- who still holds something of it ---------------------------------------------------------------------------------


async def test_a_late_worker_writes_nothing(tenant: Tenant, async_pool: None) -> None:
    await asyncio.to_thread(tenant.run)
    late, successor = await asyncio.to_thread(make_worker), await asyncio.to_thread(make_worker)
    (stale,) = await claim_with(late)
    await rescue([late]).arun()
    (fresh,) = await claim_with(successor)
    async with pool().connection() as conn:
        await commit_steps(conn, successor, [ending(fresh, Status.SUCCESS)])
    await asyncio.to_thread(delete_tenant, tenant)
    async with pool().connection() as conn:
        committed = await commit_steps(conn, late, [ending(stale)])
    assert committed.ours == frozenset()
    assert set((await asyncio.to_thread(counts)).values()) == {0}


@pytest.mark.parametrize("of", ["run", "session"])
async def test_a_reader_that_missed_events_does_not_wait_for_them(tenant: Tenant, async_pool: None, of: str) -> None:
    session = await asyncio.to_thread(tenant.session)
    run = await asyncio.to_thread(tenant.run, session)
    await asyncio.to_thread(end, run)
    await asyncio.to_thread(delete_tenant, tenant)

    def committed(position: Position, limit: int) -> Bound[list[Row]]:
        if of == "run":
            return events_of_run(run, position[1], limit)
        return events_of_session(session, *position, limit)

    subscription = Subscription()
    subscription.offer(Event(1, 7, "end", NOW, {}, str(run)), 100)
    async with asyncio.timeout(10):
        assert [event async for event in follow(subscription, committed, (1, 2))] == []


@pytest.mark.servers
def test_an_open_socket_stays_quiet_and_is_told_when_it_speaks(server: Server, echo_session: str) -> None:
    assistant = server.client.get(f"/sessions/{echo_session}").json()["assistant_id"]
    run = server.client.post(f"/sessions/{echo_session}/runs/wait", json=HELLO).json()["id"]
    said = len(server.lines)
    with socket_to(server, echo_session) as socket:
        hear(socket, "end")
        assert server.client.delete(f"/assistants/{assistant}?permanent=true").status_code == 204
        tell(socket, action="send", ref="1", **HELLO)
        (answer,) = hear(socket, "1")
    assert (answer["ok"], answer["error"]["code"]) == (False, "not_found")
    assert closed_with(server, echo_session) == NOT_FOUND
    assert server.client.get(f"/runs/{run}/stream").status_code == 404
    assert [line for line in server.lines[said:] if "rror" in line] == []


@pytest.mark.servers
def test_over_http_nobody_meets_a_500(server: Server) -> None:
    seen: set[int] = set()
    for _ in range(5):
        assistant = make_assistant(server)
        posts = {f"/assistants/{assistant}/sessions": {}, "/runs": {**HELLO, "assistant_id": assistant}}

        def post(path: str, body: dict[str, Any]) -> int:
            return server.client.post(path, json=body).status_code

        def delete_until_gone(path: str) -> set[int]:
            answers: set[int] = set()
            while not answers & {204, 404}:
                answers.add(server.client.delete(path).status_code)
            return answers

        with ThreadPoolExecutor(9) as threads:
            posted = [threads.submit(post, *one) for one in [*posts.items()] * 4]
            deleted = threads.submit(delete_until_gone, f"/assistants/{assistant}?permanent=true")
            seen |= {future.result() for future in posted} | deleted.result()
        for table in ("sessions", "runs"):
            assert server.sql(f"SELECT count(*) FROM {table} WHERE assistant_id = %s", assistant) == [(0,)]
    assert 204 in seen
    assert seen <= {201, 202, 204, 404, 409, 422}
