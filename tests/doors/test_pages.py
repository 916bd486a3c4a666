"""The pages for people, and everybody who could be signed in: nobody, who belongs nowhere, members, strangers."""

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from accounts.models import TicketPurpose, User
from accounts.services import issue_ticket
from tests.api import UNKNOWN
from tests.doors.cases import API, Case
from tests.doors.routes import admin_pages, pages
from tests.doors.world import OF_USER, OF_WORKSPACE, World, filled

LOGIN = "/login"
CHAT = "/console/chat/{session_id}"
BROWSER = {"accept": "text/html"}


@dataclass(frozen=True)
class Page:
    """A page that wants a login: the status for ann, whose it is. By rule an admin's is the same, and another member's
    and a stranger's, who is an admin elsewhere, is 404 where the address has an id."""

    method: str
    path: str
    ann: int = 200
    bob: int | None = None
    stranger: int | None = None
    form: Any = None
    admin: int | None = None

    @property
    def expected(self) -> dict[str, int]:
        hidden = 404 if "{" in self.path else self.ann
        told = {"ann": self.ann, "bob": self.bob or hidden, "stranger": self.stranger or hidden}
        return {"nobody": 302, "outsider": 403, **told, "admin": self.admin or self.ann}

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def settings(path: str, form: Any = None, *, done: int = 200, gone: int = 404) -> list[Page]:
    """A page of the settings, which are the admins', and its form; `gone` is for a form whose object is not there."""
    has_id = "{" in path
    shown = Page("GET", path, 403, 403, 404 if has_id else 200, admin=200)
    if form is None:
        return [shown]
    return [shown, Page("POST", path, 403, 403, gone if has_id else done, form, admin=done)]


KEY, MEMBER = "/console/settings/keys/{key_id}", "/console/settings/members/{member_id}"
ONCE = {"once": "{new}"}
PAGES = [
    Page("GET", "/console/status"),
    Page("GET", "/console/chat"),
    Page("GET", "/console/chat?assistant={assistant_id}", bob=200),
    Page("POST", "/console/chat", 201, 201, 404, {"assistant": "{assistant_id}", "message": "Hi", "run": "{new}"}),
    Page("GET", "/console/chat/conversations"),
    Page("GET", CHAT),
    Page("GET", f"{CHAT}/earlier?before=5"),
    Page("GET", f"{CHAT}/events?after=0-0"),
    Page("GET", f"{CHAT}/asked"),
    Page("GET", f"{CHAT}/asked?run={{run_id}}"),
    Page("GET", f"{CHAT}/todos"),
    Page("POST", f"{CHAT}/title", 302, form={"title": "Mine"}),
    Page("GET", f"{CHAT}/runs/{{run_id}}/calls/{{call_id}}"),
    Page("POST", "/console/workspace", 302, 302, 404, {"workspace": "{workspace_id}"}),
    *settings("/console/settings/audit"),
    *settings("/console/settings/keys"),
    *settings("/console/settings/keys/new", {**ONCE, "name": "k", "scopes": "keys:read", "life": "30"}),
    *settings(f"{KEY}/rotate", {**ONCE, "overlap": "3600"}),
    *settings(f"{KEY}/revoke", {**ONCE, "name": OF_WORKSPACE}, done=302),
    *settings("/console/settings/members"),
    *settings("/console/settings/members/new", {**ONCE, "username": "{new}", "role": "member"}),
    *settings(f"{MEMBER}/role", {**ONCE, "role": "editor"}, done=302),
    *settings(f"{MEMBER}/remove", {**ONCE, "name": "{username}"}, done=302, gone=302),
    *settings(f"{MEMBER}/invite", ONCE),
    *settings("/console/settings/secrets"),
    *settings("/console/settings/new-secret", {**ONCE, "name": "n", "value": "v", "hosts": "a.example"}, done=302),
    *settings("/console/settings/secrets/{name}", {**ONCE, "value": "v", "hosts": "a.example"}, done=302),
    *settings("/console/settings/secrets/{name}/delete", {**ONCE, "name": "{name}"}, done=302, gone=302),
]
# They answer everybody, and show nothing of any workspace: with what, the tests below say.
OPEN = {"/", "/favicon.ico", "/login", "/logout", "/sign-in/{token}", "/invitations/{token}", "/console/"}


def test_every_page_has_a_case() -> None:
    assert {page.path.partition("?")[0] for page in PAGES} | OPEN == pages()


def ask(client: Client, method: str, path: str, form: Any = None, **options: Any) -> Any:
    return client.generic(method, path, **options) if form is None else client.post(path, form, **options)


@pytest.mark.parametrize("page", PAGES, ids=str)
@pytest.mark.parametrize("who", ["nobody", "outsider", "ann", "bob", "stranger", "admin"])
def test_a_page_shows_what_its_reader_may_see(world: World, page: Page, who: str) -> None:
    expected = page.expected[who]
    ids = world.fresh() if page.method == "POST" and expected < 400 else world.ids
    before, anns = world.rows(), world.anns()
    client = world.people[who]
    answer = ask(client, page.method, filled(page.path, ids), filled(page.form, ids))
    assert answer.status_code == expected, answer.text
    if who == "nobody":
        assert answer["Location"].startswith(f"{LOGIN}?next=/console/")
    if who not in {"ann", "admin"}:
        assert OF_USER not in answer.text
        assert world.anns() == anns
    if who not in {"ann", "bob", "admin"}:
        assert OF_WORKSPACE not in answer.text
    is_hidden = who == "stranger" and (expected == 404 or "{" in page.path)
    if expected < 400 and who != "nobody" and not is_hidden:
        return
    assert world.rows() == before
    if is_hidden:
        gone = world.unknown()
        unknown = ask(client, page.method, filled(page.path, gone), filled(page.form, gone))
        assert _same(answer) == _same(unknown)


def _same(answer: Any) -> Any:
    # A page names its request, and has a token for its forms.
    text = re.sub(r"[0-9A-Za-z]{64}|[0-9a-f]{32}", "", answer.text)
    return answer.status_code, text, sorted(answer.headers.items())


@pytest.mark.parametrize("page", [page for page in PAGES if page.method == "POST"], ids=str)
def test_a_form_without_its_token_does_nothing(world: World, page: Page) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = world.people["ann"].cookies
    before = world.rows()
    assert ask(client, "POST", filled(page.path, world.ids), filled(page.form, world.ids)).status_code == 403
    assert world.rows() == before


@pytest.mark.parametrize("who", ["stranger", "bob"])
def test_the_id_of_anothers_run_starts_a_conversation_as_a_new_one_does(world: World, who: str) -> None:
    assistant = (world.theirs if who == "stranger" else world.ours).assistant()
    form = {"assistant": assistant, "message": "Hi", "run": world.ids["run_id"]}
    anns = world.anns()
    answer = world.people[who].post("/console/chat", form)
    assert answer.status_code == 201
    assert world.ids["session_id"] not in answer.text
    assert world.anns() == anns


# -- what is open ----------------------------------------------------------------------------------------------------


def test_the_start_leads_to_the_login_or_the_console(world: World) -> None:
    assert world.people["nobody"].get("/")["Location"] == LOGIN
    assert world.people["ann"].get("/")["Location"] == "/console/"
    # It shows nothing; the chat, to which it leads, asks who comes.
    assert world.people["nobody"].get("/console/")["Location"] == "/console/chat"


def test_the_login_and_the_icon_are_open(world: World) -> None:
    nobody = world.people["nobody"]
    assert nobody.get(LOGIN).status_code == 200
    assert nobody.get("/favicon.ico")["Location"].startswith("/static/")
    # Static files hold nothing of anybody.
    assert nobody.get("/static/favicon.svg").status_code == 200
    assert nobody.get("/static/../config/settings.py").status_code == 404


def test_signing_out_takes_a_form(world: World) -> None:
    assert world.people["nobody"].get("/logout").status_code == 405
    assert world.people["nobody"].post("/logout")["Location"] == LOGIN


LINKS = {TicketPurpose.SIGN_IN: "/sign-in/{}", TicketPurpose.INVITATION: "/invitations/{}"}


@pytest.mark.parametrize("purpose", LINKS)
def test_a_link_that_is_unknown_or_for_something_else_signs_nobody_in(world: World, purpose: TicketPurpose) -> None:
    person, workspace = User.objects.get(username="ann"), world.ours.workspace
    tickets = [
        issue_ticket(other, path="/", user=person, workspace=workspace)[0] for other in set(TicketPurpose) - {purpose}
    ]
    password = {"password": "a fine long password", "again": "a fine long password"}
    for token in ("unknown", *tickets):
        client = Client()
        answer = client.post(LINKS[purpose].format(token), password)
        assert answer.status_code == 410
        assert OF_WORKSPACE not in answer.text
        assert client.get("/console/chat").status_code == 302


# -- the admin -------------------------------------------------------------------------------------------------------

NUMBERS = {"number": "1", "app_label": "runs", "url": "nowhere", "act": "nothing"}
OBJECTS = {
    "session": "session_id",
    "run": "run_id",
    "assistant": "assistant_id",
    "apikey": "api_key_id",
    "schedule": "schedule_id",
    "trigger": "trigger_id",
    "endpoint": "webhook_id",
    "delivery": "delivery_id",
    "alert": "alert_id",
}


def admin_path(world: World, path: str) -> str:
    """The path with what there is: an id of ours where it is one of that page's objects."""
    kind = next((name for model, name in OBJECTS.items() if f"/{model}/" in path), "")
    return re.sub(r"{(\w+)}", lambda match: NUMBERS.get(match[1], world.ids.get(kind, UNKNOWN)), path)


# Signing out is for everybody who is signed in.
LEAVING = "/admin/logout/"


@pytest.mark.parametrize("path", sorted({*admin_pages(), "/admin/runs/", "/admin/nowhere"} - {LEAVING}))
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_admin_lets_in_nobody_but_its_staff(world: World, path: str, method: str) -> None:
    before = world.rows()
    for who in ("nobody", "ann"):
        answer = world.people[who].generic(method, admin_path(world, path), follow=False)
        while answer.status_code in {301, 302}:
            assert answer["Location"].startswith(("/admin/", LOGIN)), answer["Location"]
            answer = world.people[who].get(answer["Location"])
        # To the login page, or to the word that the admin is not for them.
        assert answer.status_code == (200 if who == "nobody" else 403)
        assert who != "nobody" or answer.wsgi_request.path == LOGIN
        assert OF_WORKSPACE not in answer.text
    assert world.rows() == before


# -- the API in a browser --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in API if not case.writes], ids=str)
@pytest.mark.parametrize("who", ["nobody", "outsider", "stranger", "bob", "ann"])
def test_the_browsable_api_has_the_same_walls(world: World, case: Case, who: str) -> None:
    if case.path == "/docs/" or case.path.endswith("/stream"):
        return
    # A member is bound to their own name, and holds no keys:write; reading they may all.
    expected = {"stranger": case.for_stranger, "bob": case.for_other, "ann": case.for_owner}.get(who, 401)
    before = world.rows()
    client = world.people[who]
    answer = client.get(filled(case.path, world.ids), headers=BROWSER)
    assert answer.status_code == expected
    if who != "ann":
        assert OF_USER not in answer.text
    if who not in {"ann", "bob"}:
        assert OF_WORKSPACE not in answer.text
    assert world.rows() == before
    if expected == 404 and who == "stranger":
        unknown = client.get(filled(case.path, world.unknown()), headers=BROWSER)
        assert _without_ids(answer, world.ids) == _without_ids(unknown, world.unknown())


def _without_ids(answer: Any, ids: dict[str, str]) -> Any:
    status, text, headers = _same(answer)
    # The page repeats the address that was asked for, or the end of its id.
    for name in (*World.OBJECTS, "name"):
        text = text.replace(ids[name], "").replace(ids[name][-8:], "")
    return status, text, [header for header in headers if header[0] != "Content-Length"]


@pytest.mark.parametrize("case", [case for case in API if case.writes], ids=str)
@pytest.mark.parametrize("who", ["nobody", "outsider", "stranger", "ann"])
def test_a_login_writes_nothing_without_its_token(world: World, case: Case, who: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.cookies = world.people[who].cookies
    before = world.rows()
    body = "" if case.body is None else json.dumps(filled(case.body, world.ids))
    answer = client.generic(case.method, filled(case.path, world.ids), body, content_type="application/json")
    assert answer.status_code in ({401, 403} if who == "outsider" else {401 if who == "nobody" else 403})
    assert world.rows() == before


def test_the_docs_lead_a_browser_to_the_login(world: World) -> None:
    assert world.people["nobody"].get("/docs/", headers=BROWSER)["Location"] == f"{LOGIN}?next=/docs/"
    assert world.people["ann"].get("/docs/", headers=BROWSER).status_code == 200
