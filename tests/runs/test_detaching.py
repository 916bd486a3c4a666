"""Deleting an assistant as LangGraph means it: its runs go, and what was said stays."""

from uuid import UUID

import psycopg
import pytest
from django.db import connection

from accounts.identity import Identity
from accounts.models import AuditEntry
from assistants.models import Assistant
from core.errors import Conflict, Forbidden, NotFound
from core.ids import new_id
from runs.detaching import delete_assistant_and_runs
from runs.models import Run
from runs.services import cancel_run
from sessions.models import Message, Session
from tests.api import Api
from tests.runs.hand import Hand
from tests.runs.worker import Tenant, in_thread


async def test_what_was_said_stays(tenant: Tenant, hand: Hand, async_pool: None) -> None:
    session = await in_thread(tenant.session)
    await in_thread(tenant.run, session)
    held = await hand.claim()
    await held.says("Hello", done=True)
    await in_thread(delete_assistant_and_runs, tenant.identity, tenant.assistant)

    def left() -> None:
        row = Session.objects.get(id=session)
        assert (row.assistant_id, row.assistant_version, row.activity) == (None, None, "idle")
        assert [message.role for message in Message.objects.filter(session=session).order_by("seq")] == [
            "user",
            "assistant",
        ]
        assert not Run.objects.exists()
        assert not Assistant.objects.exists()
        entry = AuditEntry.objects.get(action="deleted")
        assert (entry.subject_id, entry.details) == (tenant.assistant, {"name": "assistant", "sessions": 0, "runs": 1})

    await in_thread(left)


async def test_a_run_that_asks_a_person_does_not_hold_it(tenant: Tenant, hand: Hand, async_pool: None) -> None:
    session = await in_thread(tenant.session)
    await in_thread(tenant.run, session)
    held = await hand.claim()
    await held.asks(type="custom", value=1)
    await in_thread(delete_assistant_and_runs, tenant.identity, tenant.assistant)
    row = await in_thread(lambda: Session.objects.get(id=session))
    assert (row.head_run_id, row.activity) == (None, "idle")
    assert not await in_thread(Run.objects.exists)


def test_runs_of_others_in_its_sessions_stay(api: Api) -> None:
    ours, theirs = api.assistant(), api.assistant()
    session = api.session(ours)
    for run in (ours_run := api.run(session), theirs_run := api.run(session)):
        cancel_run(api.identity, UUID(run)).run()
    Run.objects.filter(id=theirs_run).update(assistant_id=theirs)
    Session.objects.filter(id=session).update(assistant_id=theirs)
    delete_assistant_and_runs(api.identity, UUID(ours))
    assert not Run.objects.filter(id=ours_run).exists()
    assert Run.objects.get(id=theirs_run).assistant_id == Session.objects.get(id=session).assistant_id


def test_a_run_that_waits_or_is_carried_out_refuses_it(api: Api) -> None:
    its = api.assistant()
    run = api.run(api.session(its))
    with pytest.raises(Conflict, match="have not ended"):
        delete_assistant_and_runs(api.identity, UUID(its))
    Run.objects.filter(id=run).update(status="running", lease_owner=new_id(), ready=False)
    with pytest.raises(Conflict, match="have not ended"):
        delete_assistant_and_runs(api.identity, UUID(its))
    assert Assistant.objects.filter(id=its).exists()


def test_only_who_may_deletes_it(api: Api, stranger: Api) -> None:
    its = api.assistant()
    with pytest.raises(NotFound):
        delete_assistant_and_runs(stranger.identity, UUID(its))
    bound = Identity(api.workspace.id, frozenset({"*"}), "key:bound", user_id="ada")
    with pytest.raises(Forbidden):
        delete_assistant_and_runs(bound, UUID(its))


def test_a_session_that_somebody_has_locked_refuses_it(transactional_db: None) -> None:
    tenant = Tenant.make()
    session = tenant.session()
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT FROM sessions WHERE id = %s FOR UPDATE", [session])
        with pytest.raises(Conflict, match="at this moment"):
            delete_assistant_and_runs(tenant.identity, tenant.assistant)
