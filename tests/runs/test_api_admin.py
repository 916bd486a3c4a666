"""The admin of sessions and runs: everything can be looked at, nothing written past the services."""

import pytest
from django.test import Client

from accounts.models import User
from core.ids import new_id
from runs.models import Run, RunEvent, RunStep, Worker
from sessions.models import Session
from sessions.threads import open_thread
from tests.api import Api

NOW = "2026-01-31T12:00:00Z"
PAGES = [
    "agent_sessions/session",
    "agent_sessions/message",
    "agent_sessions/checkpoint",
    "runs/run",
    "runs/runpayload",
    "runs/runstep",
    "runs/runevent",
    "runs/worker",
]


@pytest.fixture
def operator(db: None, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root", password="a long password"))
    return client


@pytest.fixture
def run(api: Api) -> Run:
    session = api.session(initial_state={"messages": [{"role": "user", "content": "Hi"}]})
    run = Run.objects.get(id=api.run(session))
    RunStep.objects.create(
        run=run, index=1, kind="model", status="ok", attempt=1, started_at=NOW, duration_ms=1.5, tool_calls=[]
    )
    RunEvent.objects.create(run=run, seq=1, event="metadata", data={"n": 1}, ts=NOW)
    Run.objects.filter(id=run.id).update(last_seq=1)
    Worker.objects.create(host="here", pid=1, lock_key=1, slots=10, lease_expires_at=NOW)
    return run


@pytest.mark.parametrize("page", PAGES)
def test_lists_open_and_take_no_new_rows(operator: Client, run: Run, page: str) -> None:
    assert operator.get(f"/admin/{page}/").status_code == 200
    assert operator.get(f"/admin/{page}/add/").status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_one_of_each_is_shown_and_not_changed(operator: Client, run: Run, page: str) -> None:
    listed = operator.get(f"/admin/{page}/").context["cl"].result_list
    path = f"/admin/{page}/{listed[0].pk}/change/"
    assert operator.get(path).status_code == 200
    assert operator.post(path, {"status": "closed"}).status_code == 403


def test_a_session_without_an_assistant_is_listed_and_shown(operator: Client, api: Api) -> None:
    thread = open_thread(api.identity, new_id(), {}, None).run()["id"]
    assert str(thread) in operator.get("/admin/agent_sessions/session/").content.decode()
    assert operator.get(f"/admin/agent_sessions/session/{thread}/change/").status_code == 200


def test_an_interrupted_run_shows_what_it_asks(operator: Client, run: Run) -> None:
    interrupt = {"type": "custom", "value": "Go on?"}
    Run.objects.filter(id=run.id).update(status="interrupted", ready=False, interrupt=interrupt, interrupted_at=NOW)
    assert "Go on?" in operator.get(f"/admin/runs/run/{run.id}/change/").text


def test_a_run_shows_its_input_steps_and_events(operator: Client, run: Run) -> None:
    page = operator.get(f"/admin/runs/run/{run.id}/change/").text
    for shown in ("Hello", "model", "metadata", str(run.session_id)):
        assert shown in page


def test_a_run_says_what_made_it_and_whom_it_tells(operator: Client, run: Run) -> None:
    schedule_id = new_id()
    Run.objects.filter(id=run.id).update(schedule_id=schedule_id, webhook={"url": "https://example.com/hook"})
    page = operator.get(f"/admin/runs/run/{run.id}/change/").text
    assert f'href="/admin/scheduling/schedule/{schedule_id}/change/"' in page
    assert "https://example.com/hook" in page
    assert operator.get("/admin/runs/run/", {"q": str(schedule_id)}).context["cl"].result_count == 1


def test_runs_are_found_by_id_only(operator: Client, run: Run) -> None:
    for term, found in ((run.id, 1), (run.session_id, 1), (new_id(), 0), ("hello", 0), ("'", 0)):
        assert operator.get("/admin/runs/run/", {"q": str(term)}).context["cl"].result_count == found


def test_cancel_goes_through_the_service(operator: Client, run: Run) -> None:
    action = {"action": "cancel", "_selected_action": [run.id]}
    assert "cancelled now" in operator.post("/admin/runs/run/", action, follow=True).text
    run.refresh_from_db()
    assert (run.status, run.number) == ("cancelled", 1)
    assert "The run has ended." in operator.post("/admin/runs/run/", action, follow=True).text


def test_close_cancels_the_sessions_runs(operator: Client, run: Run) -> None:
    operator.post("/admin/agent_sessions/session/", {"action": "close", "_selected_action": [run.session_id]})
    run.refresh_from_db()
    assert (Session.objects.get().status, run.status) == ("closed", "cancelled")


def test_a_list_reads_no_state(operator: Client, run: Run) -> None:
    (session,) = operator.get("/admin/agent_sessions/session/").context["cl"].result_list
    assert "state" in session.get_deferred_fields()
