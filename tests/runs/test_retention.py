"""Sessions that ended long ago are deleted for good; nothing else is."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from core.ids import new_id
from runs.models import Run
from runs.retention import delete_ended_sessions
from runs.tasks import delete_ended
from sessions.models import Session
from tests.api import Api, assert_refused
from tests.runs.test_deletion import MESSAGES, belonging, counts, end, full

DAYS = 30


def ended(api: Api, status: str = "closed", days_ago: int = DAYS + 1, **body: Any) -> str:
    """A session with a message and a checkpoint that ended so long ago; gives its id."""
    session = api.session(initial_state=MESSAGES, **body)
    age(session, status, days_ago)
    return session


def age(session: str, status: str, days_ago: int) -> None:
    since = timezone.now() - timedelta(days=days_ago)
    closed = since if status == "closed" else None
    Session.objects.filter(id=session).update(status=status, closed_at=closed, expires_at=since)


def left() -> set[str]:
    return {str(session) for session in Session.objects.values_list("id", flat=True)}


@pytest.mark.parametrize("status", ["closed", "expired"])
def test_all_that_is_in_it_goes(transactional_db: None, api: Api, status: str) -> None:
    assistant = full(api)
    (session,) = api.items("/sessions")
    age(session["id"], status, DAYS + 1)
    assert delete_ended_sessions(DAYS) == 1
    assert [model.__name__ for model in belonging(Session) if model._default_manager.exists()] == []
    assert_refused(api.get(f"/sessions/{session['id']}"), 404, "not_found")
    assert api.get(f"/assistants/{assistant}").json()["status"] == "active"


def test_what_ended_lately_and_what_goes_on_stay(api: Api) -> None:
    kept = {ended(api, "closed", DAYS - 1), ended(api, "expired", DAYS - 1), ended(api, "active", DAYS + 1)}
    assert delete_ended_sessions(DAYS) == 0
    assert left() == kept


def test_a_closed_session_counts_from_its_end_and_not_from_what_it_had_left_to_live(api: Api) -> None:
    session = ended(api)
    Session.objects.filter(id=session).update(expires_at=timezone.now() + timedelta(days=1))
    assert delete_ended_sessions(DAYS) == 1


def test_the_neighbours_stay_whole(api: Api, stranger: Api) -> None:
    full(api)
    full(stranger)
    before = counts()
    old = ended(api, assistant_id=str(Session.objects.filter(workspace=api.workspace).get().assistant_id))
    run = Run.objects.get(workspace=api.workspace)
    Session.objects.filter(id=old).update(status="active", expires_at=None)
    parent = api.run(old)
    end(parent)
    age(old, "closed", DAYS + 1)
    # A run of another session was started by one that goes.
    Run.objects.filter(id=run.id).update(parent_run=parent)
    assert delete_ended_sessions(DAYS) == 1
    assert counts() == before
    assert Run.objects.get(id=run.id).parent_run_id is None


@pytest.mark.parametrize("headed", [True, False])
def test_a_run_that_has_not_ended_keeps_its_session(api: Api, headed: bool) -> None:
    session = api.session()
    run = api.run(session)
    age(session, "closed", DAYS + 1)
    Run.objects.filter(id=run).update(status="running", ready=False, lease_owner=new_id())
    if not headed:
        Session.objects.filter(id=session).update(head_run_id=None)
    assert delete_ended_sessions(DAYS) == 0
    end(run)
    assert delete_ended_sessions(DAYS) == 1


def test_sessions_of_sub_agents_go_with_theirs(transactional_db: None, api: Api) -> None:
    parent, child, grandchild, other = (api.session() for _ in range(4))
    run = api.run(grandchild)
    for below, above in ((child, parent), (grandchild, child)):
        Session.objects.filter(id=below).update(parent_id=above)
    # Its own end does not count, and its run keeps the whole family.
    age(child, "closed", DAYS + 1)
    age(parent, "expired", DAYS + 1)
    delete_ended_sessions(DAYS)
    assert parent in left()
    end(run)
    delete_ended_sessions(DAYS)
    assert left() == {other}


def test_again_it_finds_nothing(api: Api) -> None:
    ended(api)
    assert [delete_ended_sessions(DAYS), delete_ended_sessions(DAYS)] == [1, 0]


def test_it_is_bounded_and_what_ended_first_goes_first(api: Api) -> None:
    assistant = api.assistant()
    sessions = [ended(api, days_ago=DAYS + 10 - age, assistant_id=assistant) for age in range(5)]
    assert delete_ended_sessions(DAYS, batch=2, batches=1) == 2
    assert left() == set(sessions[2:])
    assert delete_ended_sessions(DAYS, batch=2, batches=10) == 3


def test_a_session_that_somebody_has_locked_is_left_for_the_next_time(transactional_db: None, api: Api) -> None:
    locked, free = ended(api), ended(api)

    def sweep() -> int:
        try:
            return delete_ended_sessions(DAYS)
        finally:
            connection.close()

    with transaction.atomic(), ThreadPoolExecutor(1) as thread:
        list(Session.objects.select_for_update().filter(id=locked))
        assert thread.submit(sweep).result(timeout=10) == 1
    assert left() == {locked} != {free}
    assert delete_ended_sessions(DAYS) == 1


def test_a_fork_outlives_what_it_was_made_of(api: Api) -> None:
    session = ended(api)
    forked = api.post(f"/sessions/{session}/fork").json()["id"]
    assert delete_ended_sessions(DAYS) == 1
    assert [message["content"] for message in api.items(f"/sessions/{forked}/messages")] == ["Hi"]
    (checkpoint,) = api.items(f"/sessions/{forked}/checkpoints")
    assert api.get(f"/sessions/{forked}/checkpoints/{checkpoint['id']}").status_code == 200


def test_nothing_is_deleted_unless_a_number_of_days_is_set(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    session = ended(api, days_ago=10_000)
    assert settings.SESSION_RETENTION_DAYS == 0
    delete_ended()
    assert left() == {session}
    monkeypatch.setattr(settings, "SESSION_RETENTION_DAYS", DAYS)
    delete_ended()
    assert left() == set()


def test_it_costs_the_same_for_one_session_and_for_many(api: Api, django_assert_max_num_queries: Any) -> None:
    assistant = api.assistant()
    for _ in range(5):
        ended(api, assistant_id=assistant)
    with django_assert_max_num_queries(17):
        assert delete_ended_sessions(DAYS) == 5
