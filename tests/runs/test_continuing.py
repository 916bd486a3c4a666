"""Runs as LangGraph's protocol has them: with an assistant of their own, and going on where the one before asks."""

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.identity import Identity
from assistants.services import create_assistant
from core.errors import AssistantNotActive, NotFound, SessionBusy
from core.ids import new_id
from runs.accepting import Besides, NewSession, create_run
from runs.bodies import CreateRun
from runs.forgetting import discard_run, forget
from runs.models import Run, RunEvent, RunPayload
from runs.services import cancel_run
from sessions.models import Session
from tests.runs.hand import Hand
from tests.runs.worker import Tenant, in_thread
from webhooks.models import Delivery

HELLO: dict[str, Any] = {"message": "hi"}


def _another(tenant: Tenant) -> UUID:
    made = create_assistant(tenant.identity, {"name": "other", "llm": {"provider": "fake", "model": "echo"}})
    return UUID(str(made.id))


def _create(tenant: Tenant, session: UUID, besides: Besides, **body: Any) -> UUID:
    run = create_run(tenant.identity, session, CreateRun(input=HELLO, **body), new_id(), besides=besides).run()
    return UUID(str(run["id"]))


async def _asking(tenant: Tenant, session: UUID, hand: Hand, **body: Any) -> UUID:
    run = await in_thread(lambda: tenant.langgraph_run(session, **body))
    await (await hand.claim()).asks(type="custom", value="Go on?")
    return run


def test_a_run_brings_its_assistant_and_the_session_is_that_ones(tenant: Tenant, session: UUID) -> None:
    other = _another(tenant)
    run = Run.objects.get(id=_create(tenant, session, Besides(other, {"config": {"tags": ["a"]}}), metadata={"x": 1}))
    assert (run.assistant_id, run.assistant_version) == (other, 1)
    assert run.metadata == {"graph_id": "ReactAgent", "assistant_id": str(other), "x": 1}
    pinned = Session.objects.get(id=session)
    assert (pinned.assistant_id, pinned.metadata["assistant_id"]) == (other, str(other))
    assert RunPayload.objects.get(run=run).kwargs == {"config": {"tags": ["a"]}}


def test_a_session_without_an_assistant_gets_one_with_its_first_run(tenant: Tenant, session: UUID) -> None:
    Session.objects.update(assistant=None, assistant_version=None)
    with pytest.raises(AssistantNotActive):
        tenant.run(session)
    tenant.langgraph_run(session)
    assert Session.objects.get(id=session).assistant_id == tenant.assistant


def test_another_workspaces_assistant_is_none(tenant: Tenant, session: UUID) -> None:
    theirs = Tenant.make("theirs").assistant
    with pytest.raises(AssistantNotActive):
        _create(tenant, session, Besides(theirs, {}))
    with pytest.raises(NotFound):
        _create(tenant, id_ := new_id(), Besides(theirs, {}, session=NewSession(id_)))


def test_a_session_is_made_with_its_first_run_and_not_a_second_time(tenant: Tenant) -> None:
    chosen = new_id()
    besides = Besides(tenant.assistant, {}, session=NewSession(chosen, {"a": 1}, ttl_seconds=60))
    first, second = _create(tenant, chosen, besides), _create(tenant, chosen, besides)
    (made,) = Session.objects.all()
    assert (made.id, made.metadata["a"], made.head_run_id, made.ephemeral) == (chosen, 1, first, False)
    assert made.expires_at is not None
    assert not Run.objects.get(id=second).ready


def test_a_session_of_a_bound_caller_is_its_users(tenant: Tenant) -> None:
    bound = Tenant(Identity(tenant.identity.workspace_id, frozenset({"*"}), "key:ann", user_id="ann"), tenant.assistant)
    run = _create(bound, id_ := new_id(), Besides(tenant.assistant, {}, session=NewSession(id_, ephemeral=True)))
    assert Session.objects.get().user_id == Run.objects.get(id=run).user_id == "ann"


@pytest.mark.parametrize(("new", "statements"), [(False, 2), (True, 2)])
def test_accepting_takes_two_statements(tenant: Tenant, session: UUID, new: bool, statements: int) -> None:
    tenant.langgraph_run(session)  # what the process keeps is there
    id_ = new_id()
    besides = Besides(tenant.assistant, {}, session=NewSession(id_, ephemeral=True) if new else None)
    with CaptureQueriesContext(connection) as asked:
        _create(tenant, id_ if new else session, besides)
    assert len(asked) == statements


async def test_the_run_that_asked_has_succeeded_once_another_one_goes_on(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    asked = await _asking(tenant, session, hand)
    following = await in_thread(lambda: tenant.langgraph_run(session, multitask_strategy="reject"))

    def look() -> None:
        assert Run.objects.get(id=asked).status == "success"
        assert RunEvent.objects.filter(run=asked).order_by("seq").last().data["status"] == "success"
        now = Session.objects.get(id=session)
        assert (now.head_run_id, now.activity) == (following, "idle")
        assert Run.objects.get(id=following).ready

    await in_thread(look)


async def test_a_native_run_cancels_the_one_that_asks(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    asked = await _asking(tenant, session, hand)
    await in_thread(tenant.run, session)
    assert await in_thread(lambda: Run.objects.get(id=asked).status) == "cancelled"


async def test_a_run_that_comes_to_ask_with_another_behind_it_has_succeeded(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    first = await in_thread(tenant.langgraph_run, session)
    held = await hand.claim()
    following = await in_thread(tenant.langgraph_run, session)
    await held.asks(type="custom", value="Go on?")
    status = await in_thread(lambda: dict(Run.objects.values_list("id", "status")))
    assert status == {first: "success", following: "pending"}
    assert (await hand.claim()).claimed["id"] == following


async def test_its_webhook_is_told_when_it_asks_and_not_again(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    hook = {"url": "https://example.com/x", "events": ["run.interrupted", "run.succeeded"], "format": "langgraph"}
    await in_thread(lambda: _create(tenant, session, Besides(tenant.assistant, {}, webhook=hook)))
    await (await hand.claim()).asks(type="custom", value="Go on?")
    await in_thread(tenant.langgraph_run, session)
    assert await in_thread(lambda: list(Delivery.objects.values_list("kind", flat=True))) == ["run.interrupted"]


def test_a_busy_session_refuses_who_would_not_wait(tenant: Tenant, session: UUID) -> None:
    tenant.langgraph_run(session)
    with pytest.raises(SessionBusy):
        tenant.langgraph_run(session, multitask_strategy="reject")


# -- what is there only until its end --------------------------------------------------------------------------------


def test_runs_that_are_rolled_back_go(tenant: Tenant, session: UUID) -> None:
    old = tenant.langgraph_run(session)
    new = tenant.langgraph_run(session, multitask_strategy="rollback")
    assert forget() == 0  # who waits for it reads it still
    assert forget(readable_s=0) == 1
    assert list(Run.objects.values_list("id", flat=True)) == [new]
    assert not RunEvent.objects.filter(run_id=old).exists()


def test_runs_that_a_native_one_rolls_back_stay(tenant: Tenant, session: UUID) -> None:
    tenant.langgraph_run(session)
    tenant.run(session, multitask_strategy="rollback")
    assert forget(readable_s=0) == 0


async def test_what_a_discarded_run_said_stays(tenant: Tenant, session: UUID, hand: Hand, async_pool: None) -> None:
    run = await in_thread(tenant.langgraph_run, session)
    await (await hand.claim()).says("Hello.", done=True)

    def discard() -> list[str]:
        assert discard_run(tenant.identity, run).run()
        assert not Run.objects.exists()
        return [message.content for message in Session.objects.get(id=session).messages.all()]

    assert await in_thread(discard) == ["hi", "Hello."]


async def test_a_running_one_is_stopped_and_goes_then(
    tenant: Tenant, session: UUID, hand: Hand, async_pool: None
) -> None:
    run = await in_thread(tenant.langgraph_run, session)
    held = await hand.claim()
    assert not await in_thread(lambda: discard_run(tenant.identity, run).run())
    assert await in_thread(lambda: forget(readable_s=0)) == 0
    await held.says("Hello.", done=True)
    assert await in_thread(lambda: forget(readable_s=0)) == 1


def test_a_strangers_run_is_not_discarded(tenant: Tenant, session: UUID) -> None:
    run = tenant.run(session)
    with pytest.raises(NotFound):
        discard_run(Tenant.make("theirs").identity, run).run()


@pytest.mark.parametrize("asks", [False, True])
async def test_an_ephemeral_session_goes_with_its_run(tenant: Tenant, hand: Hand, async_pool: None, asks: bool) -> None:
    id_ = new_id()
    besides = Besides(tenant.assistant, {}, session=NewSession(id_, ephemeral=True))
    await in_thread(lambda: _create(tenant, id_, besides))
    held = await hand.claim()
    assert await in_thread(lambda: forget(readable_s=0)) == 0
    await (held.asks(type="custom", value="?") if asks else held.says("Hello.", done=True))
    assert await in_thread(lambda: forget(readable_s=0)) == 1
    assert not await in_thread(Session.objects.exists)


def test_a_cancelled_run_may_be_discarded_with_it(tenant: Tenant, session: UUID) -> None:
    cancel_run(tenant.identity, tenant.run(session), rollback=True, discard=True).run()
    assert forget(readable_s=0) == 1
