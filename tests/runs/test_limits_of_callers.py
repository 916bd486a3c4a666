"""The limits of keys and workspaces on runs, streams and requests: exact, at every door, and nobody else's."""

import asyncio
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from django.db import connection
from django.db.models import F
from pytest_django import DjangoAssertNumQueries

from accounts.identity import Identity
from accounts.limits import Holder, Limits
from core.errors import QuotaExceeded, RateLimited
from core.ids import new_id
from runs import limits as module
from runs.accepting import create_run
from runs.bodies import CreateRun, CreateRuns
from runs.bulk import create_runs
from runs.models import Run, RunPayload
from sessions.models import Session
from tests.api import HELLO, Api, assert_refused
from tests.runs.conftest import make_session, scripted
from tests.runs.test_limits import age, end, use
from tests.runs.test_websocket import closed_with, hear, socket_to, tell
from tests.runs.worker import Tenant, in_thread
from tests.servers import Server, wait_for

BODY = CreateRun(input={"message": "hi"})


def ask(api: Api, session: str) -> Any:
    return api.post(f"/sessions/{session}/runs", HELLO)


def statuses(api: Api, session: str, times: int) -> list[int]:
    return [ask(api, session).status_code for _ in range(times)]


def limited_key(api: Api, **limits: int) -> Api:
    """Another key of the same workspace."""
    return Api(api.workspace, limits=Limits(**limits))


# -- how many at once --------------------------------------------------------------------------------------------------


def test_a_key_has_so_many_runs_under_way(api: Api) -> None:
    key, session = limited_key(api, concurrent_runs=2), api.session()
    first, second = key.run(session), key.run(session)
    answer = ask(key, session)
    assert_refused(answer, 429, "rate_limited")
    assert (answer.headers["x-ratelimit-limit"], answer.headers["retry-after"]) == ("2", "1")
    assert answer.json()["detail"] == (
        "The key may have 2 runs pending or running (limits.concurrent_runs); "
        "try again when one has ended, in 1 s at the earliest."
    )
    assert statuses(api, session, 2) == [202, 202]
    Run.objects.filter(id=first).update(status="running", lease_owner=new_id(), ready=False)
    assert ask(key, session).status_code == 429
    Run.objects.filter(id=second).update(status="interrupted", ready=False)
    assert statuses(key, session, 2) == [202, 429]
    Run.objects.filter(id=first).update(status="success", lease_owner=None, finished_at=F("created_at"))
    assert statuses(key, session, 2) == [202, 429]


def test_a_workspace_has_so_many_runs_under_way_by_whatever_key(api: Api, stranger: Api) -> None:
    api.limit(concurrent_runs=2)
    other, session, theirs = Api(api.workspace), api.session(), stranger.session()
    assert (ask(api, session).status_code, ask(other, session).status_code) == (202, 202)
    assert_refused(ask(other, session), 429, "rate_limited")
    assert "The workspace may have 2 runs" in ask(api, session).json()["detail"]
    assert statuses(stranger, theirs, 3) == [202] * 3


def test_refused_runs_leave_nothing(api: Api) -> None:
    key = limited_key(api, concurrent_runs=1)
    body = {**HELLO, "assistant_id": api.assistant()}
    assert key.post("/runs", body).status_code == 202
    for path in ("/runs", "/runs/wait?wait_s=0"):
        assert_refused(key.post(path, body), 429, "rate_limited")
    assert Session.objects.count() == Run.objects.count() == RunPayload.objects.count() == 1


def test_many_at_once_count_one_by_one(api: Api) -> None:
    key, session = limited_key(api, concurrent_runs=2), api.session()
    runs = [{**HELLO, "session_id": session}] * 3
    answer = key.post("/runs/batch", {"runs": runs})
    assert_refused(answer, 429, "rate_limited")
    assert answer.json()["detail"].startswith("runs[2]: The key may have 2 runs")
    assert Run.objects.count() == 0
    assert key.post("/runs/batch", {"runs": runs[:2]}).status_code == 202


# -- a day -------------------------------------------------------------------------------------------------------------


def test_a_key_has_so_many_runs_a_day(api: Api) -> None:
    key, session = limited_key(api, runs_per_day=2), api.session()
    yesterdays = key.run(session)
    end(yesterdays)
    age(yesterdays, 86_400)
    assert statuses(key, session, 2) == [202, 202]
    answer = ask(key, session)
    assert_refused(answer, 429, "quota_exceeded")
    assert answer.json()["detail"] == "The key takes 2 runs a day (limits.runs_per_day); try again after midnight UTC."
    assert 1 <= int(answer.headers["retry-after"]) <= 86_400
    assert ask(api, session).status_code == 202


def test_a_workspace_has_so_many_tokens_a_day(api: Api, stranger: Api) -> None:
    api.limit(tokens_per_day=1_000)
    session, theirs = api.session(), stranger.session()
    use(api.run(session), 999)
    Run.objects.filter(id=stranger.run(theirs)).update(output_tokens=5_000)
    newest = ask(Api(api.workspace), session).json()["id"]
    use(newest, 1)
    answer = ask(api, session)
    assert_refused(answer, 429, "quota_exceeded")
    assert answer.json()["detail"] == (
        "The workspace may use 1000 tokens a day (limits.tokens_per_day); try again after midnight UTC."
    )
    assert ask(stranger, theirs).status_code == 202


def test_older_runs_of_a_key_count_once_in_a_process_that_begins_to_count(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, session = limited_key(api, runs_per_day=8, tokens_per_day=100), api.session()
    for run in [key.run(session) for _ in range(4)]:
        age(run, 120, within_the_day=True)
        use(run, 10)
        end(run)
    monkeypatch.setattr(module, "_tallies", {})
    assert statuses(key, session, 5) == [202] * 4 + [429]


def test_the_strictest_limit_holds(api: Api) -> None:
    api.limit(runs_per_day=3)
    key = limited_key(api, runs_per_day=5)
    session = api.session(api.assistant(quota={"runs_per_day": 4}))
    assert statuses(key, session, 4) == [202] * 3 + [429]
    assert "The workspace takes 3 runs" in ask(key, session).json()["detail"]


# -- the price ---------------------------------------------------------------------------------------------------------


def test_who_has_no_limit_on_runs_pays_nothing(api: Api, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    session = UUID(api.session())
    limits = (Holder("key", new_id(), Limits(requests_per_minute=1, streams=1)),)
    create_run(api.identity, session, BODY, new_id()).run()
    for identity in (api.identity, Identity(api.workspace.id, frozenset({"*"}), "key:x", limits=limits)):
        with django_assert_num_queries(2):
            create_run(identity, session, BODY, new_id()).run()
    assert list(Run.objects.values_list("api_key_id", flat=True).distinct()) == [None]


# -- together ----------------------------------------------------------------------------------------------------------

LIMITS = [Limits(concurrent_runs=10), Limits(runs_per_day=10), Limits(concurrent_runs=10, tokens_per_day=1)]


def limit(tenant: Tenant, limits: Limits) -> Identity:
    """A caller whose key and workspace both have these limits."""
    held = (Holder("key", new_id(), limits), Holder("workspace", tenant.identity.workspace_id, limits))
    return Identity(tenant.identity.workspace_id, frozenset({"*"}), "key:test", limits=held)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limits", LIMITS)
def test_of_fifty_threads_exactly_as_many_pass_as_may(limits: Limits) -> None:
    tenant = Tenant.make()
    identity, sessions = limit(tenant, limits), [tenant.session() for _ in range(3)]

    def is_accepted(number: int) -> bool:
        try:
            create_run(identity, sessions[number % 3], BODY, new_id()).run()
        except (RateLimited, QuotaExceeded):
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(is_accepted, range(50))) == 10
    assert Run.objects.count() == 10


async def test_of_fifty_tasks_exactly_as_many_pass_as_may(async_pool: None) -> None:
    tenant = await in_thread(Tenant.make)
    session, identity = await in_thread(tenant.session), limit(tenant, Limits(concurrent_runs=10))
    outcomes = await asyncio.gather(
        *(create_run(identity, session, BODY, new_id()).arun() for _ in range(50)), return_exceptions=True
    )
    assert len([outcome for outcome in outcomes if isinstance(outcome, RateLimited)]) == 40
    assert len([outcome for outcome in outcomes if isinstance(outcome, dict)]) == 10


async def test_batches_and_single_runs_of_limited_assistants_do_not_block_each_other(async_pool: None) -> None:
    limits = {"quota": {"runs_per_day": 1_000}}
    tenant = await in_thread(lambda: Tenant.make(**limits))
    identity = limit(tenant, Limits(runs_per_day=1_000))
    sessions = [await in_thread(tenant.session) for _ in range(8)]
    batch = [{"session_id": str(session), "input": {"message": "hi"}} for session in sessions[:2]]
    orders = [CreateRuns(runs=order) for order in (batch, batch[::-1])]  # type: ignore[arg-type]
    made = []
    for _ in range(8):
        made += await asyncio.gather(
            *(create_runs(identity, body).arun() for body in orders),
            *(create_run(identity, session, BODY, new_id()).arun() for session in sessions[2:]),
        )
    assert len(made) == 8 * (2 + 6)
    assert await in_thread(Run.objects.count) == 8 * (2 * 2 + 6)


# -- a running server --------------------------------------------------------------------------------------------------


def client_with(server: Server, **limits: int) -> httpx.Client:
    """A client of the server with a new key."""
    made = server.client.post("/api-keys", json={"name": "limited", "scopes": ["*"], "limits": limits}).json()
    return httpx.Client(base_url=server.url, headers={"X-Api-Key": made["key"]}, timeout=30)


def long_session(server: Server) -> str:
    return scripted(server, [{"text": "word " * 2_000, "delay_ms": 20}])


@pytest.fixture
def slow_run(server: Server) -> Iterator[str]:
    """A run that goes on as long as the test."""
    run = server.client.post(f"/sessions/{long_session(server)}/runs", json=HELLO).json()["id"]
    yield run
    server.client.post(f"/runs/{run}/cancel", json={})


@pytest.mark.servers
def test_of_fifty_requests_at_once_ten_are_answered(server: Server) -> None:
    run = server.client.post(f"/sessions/{make_session(server)}/runs/wait", json=HELLO).json()["id"]
    with client_with(server, requests_per_minute=10) as client, ThreadPoolExecutor(25) as threads:
        paths = [f"/runs/{run}", "/assistants"] * 25
        answers = list(threads.map(client.get, paths))
        assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 40
        refused = [answer for answer in answers if answer.status_code == 429]
        assert {answer.json()["code"] for answer in refused} == {"rate_limited"}
        assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
        assert {answer.headers["x-ratelimit-limit"] for answer in refused} == {"10"}


@pytest.mark.servers
def test_a_stream_beyond_the_limit_is_refused_before_it_begins(server: Server, slow_run: str) -> None:
    other = make_session(server)
    with client_with(server, streams=1) as client:
        with client.stream("GET", f"/runs/{slow_run}/stream") as open_stream:
            assert open_stream.status_code == 200
            for refused in (
                client.get(f"/runs/{slow_run}/stream"),
                client.post(f"/sessions/{other}/runs/stream", json=HELLO),
                client.post(f"/sessions/{other}/runs", json={**HELLO, "stream": True}),
            ):
                assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
                assert "The key may have 1 stream open at once" in refused.json()["detail"]
            assert server.client.get(f"/sessions/{other}/runs").json()["total"] == 0
            # A wait is no stream.
            assert client.post(f"/sessions/{other}/runs/wait", json=HELLO).status_code == 200
        wait_for(lambda: client.post(f"/sessions/{other}/runs/stream", json=HELLO).status_code == 200)
        # A stream that has ended leaves room at once.
        wait_for(lambda: client.post(f"/sessions/{other}/runs/stream", json=HELLO).status_code == 200)


@pytest.mark.servers
def test_sockets_are_streams_and_their_commands_requests(server: Server) -> None:
    session = make_session(server)
    with client_with(server, streams=1, requests_per_minute=4) as client:
        headers = {"additional_headers": {"X-Api-Key": client.headers["x-api-key"]}}
        with socket_to(server, session, **headers) as socket:
            tell(socket, action="ping", ref="1")
            assert hear(socket, "1")[-1]["ok"]
            assert closed_with(server, session, **headers) == 4429
            tell(socket, action="ping", ref="2")
            assert hear(socket, "2")[-1]["ok"]
            for ref in ("3", "4"):
                tell(socket, action="ping", ref=ref)
                refused = hear(socket, ref)[-1]
                assert (refused["ok"], refused["error"]["code"]) == (False, "rate_limited")
        # By now it is the handshake itself that is one request too many.
        assert closed_with(server, session, **headers) == 4429


@pytest.fixture
def neighbour(server: Server) -> Iterator[httpx.Client]:
    """A client in another workspace, which may ask ten times a minute."""
    workspace, key = uuid4(), f"neighbour-{uuid4().hex}"
    server.sql(
        "INSERT INTO workspaces (id, name, slug, limits) VALUES (%s, 'n', %s, '{\"requests_per_minute\": 10}') "
        "RETURNING id",
        workspace,
        str(workspace),
    )
    server.sql(
        "INSERT INTO api_keys (id, workspace_id, name, prefix, digest, scopes) "
        "VALUES (%s, %s, 'n', 'n', %s, '{*}') RETURNING id",
        uuid4(),
        workspace,
        hashlib.sha256(key.encode()).hexdigest(),
    )
    with httpx.Client(base_url=server.url, headers={"X-Api-Key": key}, timeout=30) as client:
        yield client


@pytest.mark.servers
def test_a_neighbour_that_hammers_at_its_limit_is_not_noticed(server: Server, neighbour: httpx.Client) -> None:
    session = make_session(server)
    done = False

    def hammer() -> list[int]:
        answers = []
        while not done:
            answers.append(neighbour.get("/sessions").status_code)
        return answers

    with ThreadPoolExecutor(3) as threads:
        hammering = [threads.submit(hammer) for _ in range(3)]
        try:
            ours = [
                server.client.post(f"/sessions/{session}/runs", json={**HELLO, "wait": True}).status_code
                for _ in range(20)
            ]
        finally:
            done = True
        theirs = [status for one in hammering for status in one.result()]
    assert ours == [200] * 20
    assert (theirs.count(200), set(theirs)) == (10, {200, 429})
