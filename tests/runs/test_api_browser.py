"""The browsable API and the description of sessions and runs."""

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import Membership, Role, User
from runs.models import Run
from sessions.models import Session
from tests.api import HELLO, Api, assert_refused

PAGE = {"headers": {"accept": "text/html"}}


@pytest.fixture
def person(api: Api) -> User:
    person = User.objects.create_user("ann", password="a long password")
    Membership.objects.create(workspace=api.workspace, user=person, role=Role.EDITOR)
    return person


@pytest.fixture
def browser(person: User, client: Client) -> Client:
    client.force_login(person)
    return client


@pytest.mark.parametrize(
    "path",
    [
        "/sessions",
        "/sessions/{session}",
        "/sessions/{session}/messages",
        "/sessions/{session}/checkpoints",
        "/sessions/{session}/state",
        "/sessions/{session}/runs",
        "/assistants/{assistant}/sessions",
        "/runs",
        "/runs/{run}",
        "/runs/{run}/events",
    ],
)
def test_pages_open(api: Api, browser: Client, path: str) -> None:
    assistant = api.assistant()
    session = api.session(assistant)
    page = browser.get(path.format(assistant=assistant, session=session, run=api.run(session)), **PAGE)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "path",
    ["/sessions/{session}/close", "/sessions/{session}/fork", "/runs/{run}/cancel", "/sessions/{session}/runs/wait"],
)
def test_pages_that_only_take_posts_show_their_form(api: Api, browser: Client, path: str) -> None:
    session = api.session()
    page = browser.get(path.format(session=session, run=api.run(session)), **PAGE)
    assert page.status_code == 405
    assert "<form" in page.text


def test_a_signed_in_person_opens_a_session_and_runs(api: Api, browser: Client) -> None:
    session = browser.post(f"/assistants/{api.assistant()}/sessions", {}, "application/json")
    assert session.status_code == 201
    run = browser.post(f"/sessions/{session.json()['id']}/runs", HELLO, "application/json")
    assert (run.status_code, run.json()["status"]) == (202, "pending")


def test_a_cookie_without_a_token_writes_nothing(api: Api, person: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(person)
    assistant, session = api.assistant(), api.session()
    assert_refused(browser.post(f"/assistants/{assistant}/sessions"), 403, "forbidden")
    assert_refused(browser.post(f"/sessions/{session}/runs", HELLO, format="json"), 403, "forbidden")
    assert (Session.objects.count(), Run.objects.count()) == (1, 0)


@pytest.fixture
def description(api: Api) -> dict[str, Any]:
    answer = api.get("/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def test_the_description_has_every_answer(description: dict[str, Any]) -> None:
    answers = {
        ("/assistants/{assistant_id}/sessions", "post"): {"201"},
        ("/sessions/{session_id}", "patch"): {"200"},
        ("/sessions/{session_id}", "delete"): {"200"},
        ("/sessions/{session_id}/close", "post"): {"200"},
        ("/sessions/{session_id}/runs", "post"): {"200", "202"},
        ("/sessions/{session_id}/runs/wait", "post"): {"200", "202"},
        ("/runs/{run_id}/join", "get"): {"200", "202"},
        ("/runs/{run_id}/cancel", "post"): {"202"},
    }
    for (path, method), expected in answers.items():
        told = set(description["paths"][path][method]["responses"])
        assert {status for status in told if not status.startswith("4")} == expected | {"default"}, path


@pytest.mark.parametrize("path", ["/runs/stream", "/sessions/{session_id}/runs/stream", "/sessions/{session_id}/runs"])
def test_streams_are_described_as_such(description: dict[str, Any], path: str) -> None:
    assert "text/event-stream" in description["paths"][path]["post"]["responses"]["200"]["content"]


def test_bodies_and_answers_refer_to_one_description_each(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    create = description["paths"]["/sessions/{session_id}/runs"]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/CreateRun")
    assert set(schemas["CreateRun"]["required"]) == {"input"}
    assert set(schemas["RunDocument"]["required"]) == set(schemas["RunDocument"]["properties"])
    assert set(schemas["SessionDocument"]["required"]) == set(schemas["SessionDocument"]["properties"])
    parameters = {p["name"] for p in description["paths"]["/runs"]["get"]["parameters"]}
    assert parameters >= {"limit", "offset", "cursor", "ordering", "status", "assistant_id", "session_id", "user_id"}
