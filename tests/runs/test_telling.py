"""What happens to a run is told in the transaction in which it happens, once, to whoever wants to hear of it."""

import ast
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from accounts.models import Workspace
from core.db import pool
from core.ids import new_id
from runs.announce import look_after
from runs.lifecycle import TERMINAL, Status
from runs.models import CRASHES_BEFORE_ALONE, Run
from runs.services import end_unanswered, give_up, sweep
from runs.telling import MAX_CONTENT_BYTES, told_document
from runs.worker.commit import commit_steps
from runs.worker.rescue import rescue
from tests.api import Api
from tests.runs.hand import Hand
from tests.runs.worker import Tenant, claim_with, ending, in_thread, make_worker
from webhooks.kinds import RUN_KINDS
from webhooks.models import Delivery, Endpoint, Event

ROOT = Path(__file__).resolve().parents[2]
HOOK = {"url": "https://Example.com:8443/hook?token=1"}
QUESTION = {"type": "custom", "value": "May I?"}


def listen(workspace_id: UUID, *kinds: str, **columns: Any) -> Endpoint:
    """An endpoint of the workspace for these kinds, or for all that runs tell."""
    return Endpoint.objects.create(
        workspace_id=workspace_id,
        name="ours",
        url="https://example.com/",
        events=list(kinds or RUN_KINDS),
        sealed_secret=b"x",
        created_by="key:test",
        **columns,
    )


def told() -> list[tuple[str, str]]:
    """The kinds of all events and the statuses that they show, in order."""
    return [(event.kind, event.data["status"]) for event in Event.objects.order_by("created_at", "id")]


@pytest.fixture
def heard(tenant: Tenant) -> Tenant:
    """A workspace that hears of everything."""
    listen(tenant.identity.workspace_id)
    return tenant


# -- who hears ---------------------------------------------------------------------------------------------------------


def test_endpoints_hear_of_the_kinds_that_they_name(api: Api, stranger: Api) -> None:
    hears = listen(api.workspace.id, "run.cancelled", retry_delays_s=[5, 60])
    for deaf in ({"events": ["run.failed"]}, {"enabled": False}, {"workspace": stranger.workspace}):
        Endpoint.objects.filter(id=listen(api.workspace.id).id).update(**deaf)
    run = api.run()
    api.post(f"/runs/{run}/cancel")
    delivery = Delivery.objects.select_related("event").get()
    assert (delivery.event.kind, str(delivery.event.run_id)) == ("run.cancelled", run)
    assert delivery.next_attempt_at is not None
    assert {
        name: getattr(delivery, name) for name in ("endpoint_id", "url", "secret_env", "destination", "status")
    } == {
        "endpoint_id": hears.id,
        "url": hears.url,
        "secret_env": None,
        "destination": str(hears.id),
        "status": "pending",
    }
    assert delivery.max_attempts == 3


def test_a_run_tells_its_own_url(api: Api, settings: Any) -> None:
    api.post(f"/runs/{api.run(webhook={**HOOK, 'secret_env': 'AGENT_SECRET_HOOK'})}/cancel")
    delivery = Delivery.objects.get()
    assert (delivery.endpoint_id, delivery.url, delivery.secret_env) == (None, HOOK["url"], "AGENT_SECRET_HOOK")
    assert delivery.destination == "https://example.com:8443"
    assert delivery.max_attempts == 1 + len(settings.WEBHOOK_RETRY_DELAYS_S)


def test_all_who_hear_of_a_run_hear_of_one_event(api: Api) -> None:
    listen(api.workspace.id), listen(api.workspace.id)
    api.post(f"/runs/{api.run(webhook=HOOK)}/cancel")
    assert Event.objects.get().deliveries.count() == 3


def test_nothing_is_stored_where_nobody_listens(api: Api) -> None:
    api.post(f"/runs/{api.run(webhook={**HOOK, 'events': ['run.failed']})}/cancel")
    api.post(f"/runs/{api.run()}/cancel")
    assert not Event.objects.exists()


def test_a_server_without_webhooks_stores_none(api: Api, settings: Any) -> None:
    run = api.run(webhook=HOOK)
    settings.WEBHOOKS = False
    api.post(f"/runs/{run}/cancel")
    assert not Event.objects.exists()


def test_the_dispatcher_is_rung_for_once_there_is_something_to_send(
    api: Api, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    rung = []
    monkeypatch.setattr("runs.ending.ring", lambda: rung.append("rung"))
    with django_capture_on_commit_callbacks(execute=True):
        api.post(f"/runs/{api.run()}/cancel")
        assert not rung
        api.post(f"/runs/{api.run(webhook=HOOK)}/cancel")
        assert not rung
    assert rung == ["rung"]


# -- what is told ------------------------------------------------------------------------------------------------------


async def test_the_whole_run_is_told_as_it_is_read(heard: Tenant, hand: Hand, async_pool: None) -> None:
    run = await in_thread(lambda: heard.run(webhook=HOOK, metadata={"a": 1}))
    held = await hand.claim()
    await held.calls("search")
    await held.says("Found.", done=True)
    event = await in_thread(Event.objects.get)
    api = await in_thread(lambda: Api(Workspace.objects.get(id=heard.identity.workspace_id)))
    read = await in_thread(lambda: api.get(f"/runs/{run}").json())
    assert read["output"]["text"] == "Found."
    assert len(read["steps"]) == 2
    assert told_document(event.data) == read


def test_what_is_too_large_is_left_at_the_server(api: Api) -> None:
    listen(api.workspace.id)
    for size in (MAX_CONTENT_BYTES - 100, MAX_CONTENT_BYTES):
        api.post(f"/runs/{api.run(input={'message': 'x' * size})}/cancel")
    small, large = (told_document(event.data) for event in Event.objects.order_by("created_at"))
    assert "truncated" not in small
    assert len(small["input"]["message"]) == MAX_CONTENT_BYTES - 100
    assert {name: large[name] for name in ("input", "output", "steps", "truncated")} == {
        "input": None,
        "output": None,
        "steps": None,
        "truncated": True,
    }
    assert large.keys() - small.keys() == {"truncated"}


# -- when --------------------------------------------------------------------------------------------------------------


async def test_each_end_has_its_kind(heard: Tenant, hand: Hand, async_pool: None) -> None:
    for _ in TERMINAL:
        await in_thread(heard.run)
    claimed = await hand.claim_all()
    ends = [ending(held.claimed, Status(status)) for held, status in zip(claimed, TERMINAL, strict=True)]
    async with pool().connection() as conn:
        await commit_steps(conn, hand.id, ends)
    assert sorted(await in_thread(told)) == [
        ("run.cancelled", "cancelled"),
        ("run.failed", "error"),
        ("run.succeeded", "success"),
        ("run.timed_out", "timeout"),
    ]


async def test_a_run_that_asks_twice_tells_it_twice(heard: Tenant, hand: Hand, async_pool: None) -> None:
    api = await in_thread(lambda: Api(Workspace.objects.get(id=heard.identity.workspace_id)))
    run = await in_thread(heard.run)
    await (await hand.claim()).asks(**QUESTION)
    await in_thread(lambda: api.post(f"/runs/{run}/resume", {"value": "yes"}))
    await (await hand.claim()).asks(**QUESTION)
    events = await in_thread(lambda: list(Event.objects.order_by("created_at")))
    assert [event.kind for event in events] == ["run.interrupted"] * 2
    assert told_document(events[0].data)["interrupt"] == QUESTION


async def test_a_question_that_nobody_waits_for_is_told_before_its_end(
    heard: Tenant, hand: Hand, session: UUID, async_pool: None
) -> None:
    await in_thread(heard.run, session)
    held = await hand.claim()
    await in_thread(heard.run, session)
    await held.asks(**QUESTION)
    assert await in_thread(told) == [("run.interrupted", "interrupted"), ("run.cancelled", "cancelled")]


async def test_who_lost_the_run_tells_nothing(heard: Tenant, hand: Hand, async_pool: None) -> None:
    await in_thread(heard.run)
    held = await hand.claim()
    commit = ending(held.claimed)
    async with pool().connection() as conn:
        await commit_steps(conn, hand.id, [commit])
        # As after an outage, when nobody knows whether the first one arrived.
        await commit_steps(conn, hand.id, [commit])
    assert await in_thread(told) == [("run.succeeded", "success")]


async def test_who_must_cancel_tells_the_cancel_alone(heard: Tenant, hand: Hand, async_pool: None) -> None:
    run = await in_thread(heard.run)
    held = await hand.claim()
    await in_thread(lambda: Run.objects.filter(id=run).update(cancel_requested_at="2026-01-01T00:00:00Z"))
    await held.says("Too late.", done=True)
    assert await in_thread(told) == [("run.cancelled", "cancelled")]


def test_a_run_whose_place_is_taken_is_told(api: Api) -> None:
    listen(api.workspace.id)
    session = api.session()
    api.run(session)
    api.run(session, multitask_strategy="interrupt")
    assert told() == [("run.cancelled", "cancelled")]


def test_an_acceptance_that_fails_tells_nothing(api: Api) -> None:
    listen(api.workspace.id)
    session = api.session()
    api.run(session)
    answer = api.post(
        f"/sessions/{session}/runs",
        {"input": {"message": "x"}, "multitask_strategy": "interrupt", "checkpoint_id": str(new_id())},
    )
    assert answer.status_code == 422
    assert not Event.objects.exists()


def test_runs_that_waited_too_long_are_told(tenant: Tenant) -> None:
    listen(tenant.identity.workspace_id)
    late, unanswered = tenant.run(), tenant.run()
    past = "2026-01-01T00:00:00Z"
    Run.objects.filter(id=late).update(queue_deadline_at=past)
    Run.objects.filter(id=unanswered).update(status="interrupted", interrupt_expires_at=past, ready=False)
    sweep()
    end_unanswered().run()
    assert told() == [("run.timed_out", "timeout"), ("run.cancelled", "cancelled")]


async def test_a_run_that_ended_its_process_is_told(heard: Tenant, async_pool: None) -> None:
    run, worker = await in_thread(heard.run), await in_thread(make_worker)
    await in_thread(lambda: Run.objects.filter(id=run).update(crashes=CRASHES_BEFORE_ALONE))
    await claim_with(worker, alone=True)
    await rescue([worker]).arun()
    assert await in_thread(told) == [("run.failed", "error")]


async def test_a_run_that_cannot_be_recorded_is_told(heard: Tenant, hand: Hand, async_pool: None) -> None:
    run = await in_thread(heard.run)
    await hand.claim()
    await give_up(run, hand.id, "It is no JSON.").arun()
    assert await in_thread(told) == [("run.failed", "error")]


async def test_children_are_told_by_their_parents_alone(heard: Tenant, hand: Hand, async_pool: None) -> None:
    parent = await in_thread(lambda: heard.run(webhook=HOOK))
    await (await hand.claim()).delegates("a")
    child = await hand.claim()
    await child.asks(**QUESTION)
    assert not await in_thread(told)
    await look_after([child.claimed["id"]])
    (event,) = await in_thread(lambda: list(Event.objects.all()))
    assert (event.kind, event.run_id) == ("run.interrupted", parent)
    assert event.data["interrupt"]["type"] == "subagent"


# -- everywhere --------------------------------------------------------------------------------------------------------

# Every module that writes a run's status, and why it need not tell where it does not.
WRITES_STATUS = {
    "runs/ending.py": "tells",
    "runs/family.py": "tells",
    "runs/worker/commit.py": "tells",
    "runs/accepting.py": "accepts",
    "runs/resuming.py": "puts back into the queue",
    "runs/worker/rescue.py": "puts back into the queue",
    "runs/worker/claim.py": "claims",
    "runs/worker/children.py": "makes children, some of which have ended",
}
_WRITES = re.compile(r"UPDATE runs( \w+)?\s+SET ((?!FROM|WHERE).)*?\bstatus = |INSERT INTO runs \(", re.DOTALL)


def test_whoever_writes_a_status_tells_of_it() -> None:
    sources = {
        path: path.read_text()
        for path in ROOT.glob("*/**/*.py")
        if not {"tests", "migrations", ".venv"} & set(path.relative_to(ROOT).parts)
    }
    found = {str(path.relative_to(ROOT)) for path, text in sources.items() if _WRITES.search(text)}
    assert found == set(WRITES_STATUS)
    for name, does in WRITES_STATUS.items():
        calls = {
            node.func.id
            for node in ast.walk(ast.parse((ROOT / name).read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert bool(calls & {"conclude", "concluding"}) is (does == "tells"), name
