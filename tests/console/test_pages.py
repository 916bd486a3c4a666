"""The chat's pages as HTML: who sees what, and what is in it."""

import gzip
import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.identity import Identity
from accounts.models import Membership, Role, User, Workspace
from accounts.services import create_workspace
from assistants.models import Assistant
from console.history import Turn
from core.ids import new_id
from runs.models import Run, RunEvent, RunStep
from sessions.models import Message, Session
from sessions.threads import open_thread
from tests.api import UNKNOWN
from tests.console.conftest import Person

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"


def text(answer: object) -> str:
    return answer.content.decode()  # type: ignore[attr-defined,no-any-return]


def session_of(address: str) -> Session:
    return Session.objects.get(id=address.rsplit("/", 1)[-1])


def finish(run: Run, *messages: tuple[str, str], status: str = "success") -> None:
    """Give a run the messages (role, content) that a worker would have stored, and its end."""
    session = run.session
    seq = Message.objects.filter(session=session).count()
    start = seq
    for role, content in messages:
        seq += 1
        Message.objects.create(session=session, run_id=run.id, seq=seq, role=role, content=content)
    number = Run.objects.filter(session=session, number__isnull=False).count() + 1
    Run.objects.filter(id=run.id).update(
        status=status,
        ready=False,
        number=number,
        message_start=start,
        started_at=run.created_at,
        finished_at=run.created_at,
    )
    Session.objects.filter(id=session.id).update(head_run_id=None)


# -- who -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/console/chat", "/console/status", f"/console/chat/{UNKNOWN}"])
def test_without_a_login_one_is_led_to_the_login_page_and_back(db: None, address: str) -> None:
    answer = Client().get(address)
    assert (answer.status_code, answer["Location"]) == (302, f"/login?next={address}")


def test_the_console_begins_with_the_chat(ada: Person) -> None:
    assert ada.get("/console/")["Location"] == "/console/chat"


def test_a_person_without_a_workspace_is_told_so(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("nobody"))
    assert client.get("/console/chat").status_code == 403


def test_a_member_sees_their_own_conversations_only(ada: Person, bob: Person, echo: UUID) -> None:
    address = ada.conversation(echo, "A secret of Ada's")
    assert "A secret of Ada" in text(ada.get("/console/chat"))
    assert "secret" not in text(bob.get("/console/chat"))
    for part in ("", "/earlier?before=9", "/events?after=0-0", f"/runs/{new_id()}/calls/x"):
        assert bob.get(address + part).status_code == 404
    assert bob.client.post(f"{address}/title", {"title": "Mine"}).status_code == 404
    assert bob.client.get(f"/sessions/{session_of(address).id}").status_code == 404


def test_an_admin_may_open_any_conversation_of_the_workspace(workspace: Workspace, ada: Person, echo: UUID) -> None:
    address = ada.conversation(echo, "Hello")
    assert Person(workspace, "root", Role.ADMIN).get(address).status_code == 200


def test_a_conversation_without_an_assistant_is_read_and_takes_no_message(workspace: Workspace, ada: Person) -> None:
    ours = Identity(workspace.id, frozenset({"*"}), "key:tests", user_id="ada")
    thread = open_thread(ours, new_id(), {}, None).run()
    page = ada.get(f"/console/chat/{thread['id']}").content.decode()
    assert "No assistant yet" in page
    assert "No assistant serves this conversation yet" in page
    assert 'id="composer"' not in page


def test_another_workspace_is_a_wall(ada: Person, echo: UUID) -> None:
    elsewhere = create_workspace("Elsewhere", "elsewhere")
    stranger = Person(elsewhere, "eve", Role.ADMIN)
    assert stranger.get(ada.conversation(echo)).status_code == 404
    assert stranger.start(echo, "Hello").status_code == 404


def test_who_may_only_read_gets_no_composer(workspace: Workspace, echo: UUID) -> None:
    operator = Person(workspace, "otto", Role.OPERATOR)
    assert 'id="composer"' not in text(operator.get("/console/chat"))
    assert operator.start(echo, "Hello").status_code == 403


# -- starting a conversation ---------------------------------------------------------------------------------------


def test_the_first_message_opens_a_session_of_the_login(ada: Person, echo: UUID) -> None:
    session = session_of(ada.conversation(echo, "  What is\n this?  "))
    assert (session.user_id, session.title) == ("ada", "What is this?")
    assert session.runs.get().payload.input == {"message": "  What is\n this?  "}


def test_sending_the_form_twice_starts_one_conversation(ada: Person, echo: UUID) -> None:
    run_id = new_id()
    first, second = (ada.start(echo, "Hello", run_id).json() for _ in range(2))
    assert first == second
    assert Session.objects.count() == 1


def test_beyond_a_limit_nothing_starts_but_a_form_sent_twice_counts_once(ada: Person, echo: UUID) -> None:
    Assistant.objects.filter(id=echo).update(runs_per_day=1)
    run_id = new_id()
    first, second = (ada.start(echo, "Hello", run_id).json() for _ in range(2))
    assert first == second
    refused = ada.start(echo, "Once more")
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert refused.json()["detail"].startswith("The assistant takes 1 run a day (quota.runs_per_day)")
    assert [model.objects.count() for model in (Session, Run)] == [1, 1]


@pytest.mark.parametrize("message", ["", "  \n "])
def test_an_empty_message_starts_nothing(ada: Person, echo: UUID, message: str) -> None:
    assert ada.start(echo, message).status_code == 422
    assert Session.objects.count() == 0


def test_an_unknown_assistant_starts_nothing(ada: Person, echo: UUID) -> None:
    assert ada.start(new_id(), "Hello").status_code == 404
    assert Session.objects.count() == 0


def test_without_the_csrf_token_nothing_starts(ada: Person, echo: UUID) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada.user)
    form = {"assistant": echo, "message": "Hello", "run": new_id()}
    assert strict.post("/console/chat", form).status_code == 403
    assert Session.objects.count() == 0


def test_the_page_offers_active_assistants_only(ada: Person, echo: UUID) -> None:
    assert f'value="{echo}"' in text(ada.get("/console/chat"))
    from assistants.models import Assistant

    Assistant.objects.update(status="archived")
    page = text(ada.get("/console/chat"))
    assert str(echo) not in page
    assert "No assistant is active yet." in page


# -- what a conversation's page holds --------------------------------------------------------------------------------


def test_the_assistant_of_the_address_is_offered_however_many_there_are(ada: Person, echo: UUID) -> None:
    workspace = Assistant.objects.get(id=echo).workspace
    Assistant.objects.bulk_create(Assistant(workspace=workspace, name=f"A {n:03}", status="active") for n in range(205))
    last = Assistant.objects.create(workspace=workspace, name="Zed", status="active")
    assert "Zed" not in text(ada.client.get("/console/chat"))
    assert f'value="{last.id}" data-about="" selected' in text(ada.client.get(f"/console/chat?assistant={last.id}"))


@pytest.mark.parametrize("address", [UNKNOWN, "x"])
def test_an_assistant_that_is_not_there_is_not_replaced_by_another(ada: Person, echo: UUID, address: str) -> None:
    assert ada.client.get(f"/console/chat?assistant={address}").status_code == 404


def test_a_waiting_message_is_shown_before_any_worker_has_it(ada: Person, echo: UUID) -> None:
    page = text(ada.get(ada.conversation(echo, "Are you there?")))
    assert "Are you there?</div>" in page
    assert 'data-status="pending"' in page
    assert 'data-after="0-0"' in page
    assert "No worker is running. Messages wait." in page


def test_a_finished_turn_shows_both_sides(ada: Person, echo: UUID) -> None:
    address = ada.conversation(echo, "Hello")
    finish(session_of(address).runs.get(), ("user", "Hello"), ("assistant", "Hi *there*"))
    page = text(ada.get(address))
    assert page.count("Hello</div>") == 1
    assert "Hi *there*</div>" in page
    assert "v1</span>" in page


def test_everything_hostile_is_escaped(ada: Person, echo: UUID) -> None:
    address = ada.conversation(echo, HOSTILE)
    finish(session_of(address).runs.get(), ("user", HOSTILE), ("assistant", HOSTILE))
    for page in (text(ada.get(address)), text(ada.get("/console/chat"))):
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "49" not in page.split("<title>")[1].split("</title>")[0]
        assert "&lt;script&gt;alert(1)" in page


def test_what_a_stopped_reply_had_said_stays(ada: Person, echo: UUID) -> None:
    address = ada.conversation(echo, "Hello")
    run = session_of(address).runs.get()
    finish(run, ("user", "Hello"), status="cancelled")
    pieces = [("lost ", 3), ("Half an ", 6), ("answer", 7)]
    for words, seq in pieces:
        data = {"message_id": "m", "text": words, "kind": "text"}
        RunEvent.objects.create(run=run, seq=seq, event="token", data=data, ts=run.created_at)
    dropped = {"from_seq": 3, "to_seq": 4, "reason": "retry"}
    RunEvent.objects.create(run=run, seq=5, event="superseded", data=dropped, ts=run.created_at)
    page = text(ada.get(address))
    assert "Half an answer</div>" in page
    assert "lost" not in page
    assert "Stopped after" in page


def test_a_failed_run_shows_its_first_line_and_a_way_to_retry(ada: Person, echo: UUID) -> None:
    address = ada.conversation(echo, "Hello")
    run = session_of(address).runs.get()
    finish(run, ("user", "Hello"), status="error")
    error = {"type": "ModelError", "code": "model_error", "message": "No <b>luck</b>\nsecond line", "retryable": False}
    Run.objects.update(error=error)
    page = text(ada.get(address))
    assert "No &lt;b&gt;luck&lt;/b&gt;</p>" in page
    assert "second line" not in page
    assert 'data-act="retry"' in page


def test_a_tool_call_is_a_line_and_its_payload_comes_when_asked(ada: Person, echo: UUID) -> None:
    address = ada.conversation(echo, "Hello")
    run = session_of(address).runs.get()
    finish(run, ("user", "Hello"), ("assistant", ""))
    call = {"id": "c1", "name": "calculator", "args": {"expression": "6*7"}}
    Message.objects.filter(role="assistant").update(tool_calls=[call])
    outcome = {**call, "status": "ok", "result": "forty-two", "error": None, "duration_ms": 4200.0}
    RunStep.objects.create(
        run=run, index=1, kind="tools", status="ok", attempt=1, started_at=run.created_at, duration_ms=1,
        tool_calls=[outcome],
    )  # fmt: skip
    page = text(ada.get(address))
    assert "expression: &quot;6*7&quot;" in page
    assert "4.2 s" in page
    assert "forty-two" not in page
    assert ada.get(f"{address}/runs/{run.id}/calls/c1").json()["result"] == "forty-two"
    assert ada.get(f"{address}/runs/{run.id}/calls/c2").status_code == 404


def long_conversation(ada: Person, echo: UUID, turns: int) -> str:
    address = ada.conversation(echo, "Message 0")
    session = session_of(address)
    first = session.runs.get()
    finish(first, ("user", "Message 0"), ("assistant", "Answer 0"))
    for number in range(1, turns):
        first.id, first.number = new_id(), None
        first._state.adding = True
        first.save()
        finish(first, ("user", f"Message {number}"), ("assistant", f"Answer {number}"))
    return address


def test_the_newest_fifty_messages_come_first_and_the_others_on_request(ada: Person, echo: UUID) -> None:
    address = long_conversation(ada, echo, 30)
    page = text(ada.get(address))
    assert page.count('<article class="said') - 2 == 50  # two are templates
    assert 'data-before="11"' in page
    assert "Message 5<" in page
    assert "Message 4<" not in page
    older = text(ada.get(f"{address}/earlier?before=11"))
    assert older.count("<article") == 10
    assert "data-before" not in older


@pytest.mark.parametrize("before", ["", "x", "-1", "99999999999"])
def test_a_malformed_number_is_refused(ada: Person, echo: UUID, before: str) -> None:
    assert ada.get(f"{ada.conversation(echo)}/earlier?before={before}").status_code == 422


def test_a_page_takes_as_many_queries_for_many_turns_as_for_few(
    ada: Person, echo: UUID, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    address = long_conversation(ada, echo, 25)
    for _ in range(10):
        ada.conversation(echo)
    # Three of them say who asks.
    with django_assert_max_num_queries(10):
        ada.get(address)


def test_a_page_is_light(ada: Person, echo: UUID) -> None:
    page = ada.get(long_conversation(ada, echo, 25)).content
    assert len(gzip.compress(page)) < 30_000


def test_renaming(ada: Person, echo: UUID) -> None:
    address = ada.conversation(echo)
    assert ada.client.post(f"{address}/title", {"title": " Shoes "}).status_code == 302
    assert "<h1>Shoes</h1>" in text(ada.get(address))
    assert ada.client.post(f"{address}/title", {"title": " "}).status_code == 422


def test_events_for_a_page_without_a_websocket(ada: Person, echo: UUID) -> None:
    address = ada.conversation(echo)
    run = session_of(address).runs.get()
    finish(run, ("user", "Hello"))
    RunEvent.objects.create(run=run, seq=1, event="end", data={"status": "success"}, ts=run.created_at)
    assert [event["id"] for event in ada.get(f"{address}/events?after=0-0").json()["events"]] == ["1-1"]
    assert ada.get(f"{address}/events?after=1-1").json() == {"events": []}


def test_vendored_files_are_those_that_are_named() -> None:
    folder = Path("static/vendor")
    table = (folder / "VENDORED.md").read_text()
    for file in folder.glob("*.js"):
        assert sha256(file.read_bytes()).hexdigest() in table
        assert b"sourceMappingURL" not in file.read_bytes()


# -- headers ---------------------------------------------------------------------------------------------------------


def test_our_pages_have_a_policy_with_a_fresh_nonce_and_stay_out_of_caches(ada: Person) -> None:
    first, second = ada.get("/console/chat"), ada.get("/console/chat")
    policy = first["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy != second["Content-Security-Policy"]
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert f'nonce="{nonce}"' in text(first)
    assert first["Cache-Control"] == "no-store"


def test_the_login_page_has_it_too_and_a_librarys_page_one_without_a_nonce(ada: Person) -> None:
    assert "nonce-" in Client().get("/login")["Content-Security-Policy"]
    librarys = ada.client.get("/assistants", headers={"accept": "text/html"})["Content-Security-Policy"]
    assert "script-src 'self';" in librarys
    assert "unsafe-eval" not in librarys


# -- workspaces ------------------------------------------------------------------------------------------------------


def test_who_has_several_workspaces_switches_between_them(workspace: Workspace, ada: Person, echo: UUID) -> None:
    assert "Switch" not in text(ada.get("/console/chat"))
    other = create_workspace("Other", "other")
    Membership.objects.create(workspace=other, user=ada.user, role=Role.ADMIN)
    page = text(ada.get("/console/chat"))
    assert "Member in Acme" in page
    assert f'name="workspace" value="{other.id}">Other' in page
    assert ada.client.post("/console/workspace", {"workspace": other.id})["Location"] == "/console/"
    page = text(ada.get("/console/chat"))
    assert "Admin in Other" in page
    assert "Echo" not in page
    assert ada.client.get("/me").json()["workspace"]["id"] == str(other.id)


def test_one_switches_to_ones_own_workspaces_only(ada: Person) -> None:
    stranger = create_workspace("Elsewhere", "elsewhere")
    for wanted, status in ((stranger.id, 404), (new_id(), 404), ("x", 422)):
        assert ada.client.post("/console/workspace", {"workspace": wanted}).status_code == status
    assert "Elsewhere" not in text(ada.get("/console/chat"))
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada.user)
    assert strict.post("/console/workspace", {"workspace": stranger.id}).status_code == 403
    assert ada.get("/console/workspace").status_code == 405


def test_a_superuser_switches_to_any(workspace: Workspace) -> None:
    other = create_workspace("Other", "other")
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    assert "Superuser in Acme" in client.get("/console/chat").text
    client.post("/console/workspace", {"workspace": other.id})
    assert "Superuser in Other" in client.get("/console/settings/keys").text


@pytest.mark.parametrize(
    ("role", "staff", "sees"), [("operator", True, True), ("member", True, False), ("admin", False, False)]
)
def test_the_way_to_the_admin_is_shown_to_whom_it_is_open(
    workspace: Workspace, role: str, staff: bool, sees: bool
) -> None:
    person = Person(workspace, "eve", Role(role))
    User.objects.filter(pk=person.user.pk).update(is_staff=staff)
    assert ('href="/admin/"' in text(person.get("/console/chat"))) == sees


def test_what_a_run_took_leaves_out_how_long_it_waited_for_a_person() -> None:
    begun = datetime(2026, 1, 1, 12, tzinfo=UTC)
    run = {"started_at": begun, "finished_at": begun + timedelta(seconds=90), "waited_s": 88.5}
    assert Turn(run).duration_s == 1.5


def test_what_the_agent_wrote_to_its_model_is_not_taken_for_the_persons(ada: Person, echo: UUID) -> None:
    address = ada.conversation(echo)
    said = (("user", "Hello"), ("assistant", "No."), ("user", "Once more."), ("assistant", "Yes."))
    finish(session_of(address).runs.get(), *said)
    Message.objects.filter(seq=3).update(metadata={"asked_again": True})
    page = ada.get(address).content.decode()
    assert page.count('<article class="said user" aria-label="You, ') == 1
    assert re.search(r'<details class="note" data-id="[^"]+"><summary>.*</summary><p>Once more\.</p>', page)
