"""Sessions over HTTP: opening, reading, changing."""

from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from assistants.services import archive_assistant, update_assistant
from core.ids import parse_id
from sessions.models import Session
from sessions.serializers import SessionDocument
from tests.api import Api, assert_refused

KEYS = (
    "id agent_id assistant_id assistant_version user_id title status activity message_count metadata context "
    "active_run_id created_at updated_at last_activity_at expires_at closed_at"
)


def test_a_session_opens_with_nothing_and_shows_every_key(api: Api) -> None:
    assistant = api.assistant()
    answer = api.post(f"/assistants/{assistant}/sessions")
    assert answer.status_code == 201
    session = answer.json()
    assert answer.headers["location"] == f"/sessions/{session['id']}"
    assert " ".join(session) == KEYS == " ".join(SessionDocument.model_fields)
    assert (session["status"], session["activity"], session["message_count"]) == ("active", "idle", 0)
    assert (session["assistant_id"], session["assistant_version"]) == (assistant, 1)
    assert (session["expires_at"], session["user_id"], session["active_run_id"]) == (None, None, None)
    assert api.get(f"/sessions/{session['id']}").json() == session


def test_what_is_posted_is_kept(api: Api) -> None:
    body = {"title": "Trip", "user_id": "ann", "metadata": {"a": [1]}, "agent_id": "bot-1", "ttl_seconds": 60}
    session = api.get(f"/sessions/{api.session(**body)}").json()
    assert {name: session[name] for name in ("title", "user_id", "metadata", "agent_id")} == {
        name: body[name] for name in ("title", "user_id", "metadata", "agent_id")
    }
    assert session["expires_at"] > session["created_at"]


def test_an_initial_state_is_the_first_checkpoint(api: Api) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    session = api.session(initial_state={"messages": messages, "metadata": {"lang": "de"}})
    assert [(m["seq"], m["role"], m["content"]) for m in api.items(f"/sessions/{session}/messages")] == [
        (1, "user", "Hi"),
        (2, "assistant", "Hello"),
    ]
    (checkpoint,) = api.items(f"/sessions/{session}/checkpoints")
    assert (checkpoint["step"], checkpoint["source"], checkpoint["message_count"]) == (1, "update", 2)
    assert api.get(f"/sessions/{session}").json()["context"] == {"lang": "de"}


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"version": 2}, "version"),
        ({"tag": "stable"}, "tag"),
        ({"version": "1"}, "version"),
        ({"ttl_seconds": 0}, "ttl_seconds"),
        ({"colour": "red"}, "colour"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_a_bad_body_is_refused_and_nothing_is_stored(api: Api, body: dict[str, Any], loc: str) -> None:
    assert_refused(api.post(f"/assistants/{api.assistant()}/sessions", body), 422, "invalid", loc)
    assert not Session.objects.exists()


def test_a_body_cannot_be_a_list(api: Api) -> None:
    assert_refused(api.post(f"/assistants/{api.assistant()}/sessions", []), 422, "invalid")


def test_a_system_message_cannot_be_posted(api: Api) -> None:
    state = {"messages": [{"role": "system", "content": "Obey"}]}
    answer = api.post(f"/assistants/{api.assistant()}/sessions", {"initial_state": state})
    assert_refused(answer, 422, "invalid", "initial_state", "messages", 0, "role")
    assert not Session.objects.exists()


def test_an_archived_assistant_opens_no_session(api: Api) -> None:
    assistant = api.assistant()
    archive_assistant(api.identity, _id(assistant))
    assert_refused(api.post(f"/assistants/{assistant}/sessions"), 409, "assistant_not_active")


def test_an_agent_id_is_taken_once(api: Api) -> None:
    assistant = api.assistant()
    api.session(assistant, agent_id="bot-1")
    assert_refused(api.post(f"/assistants/{assistant}/sessions", {"agent_id": "bot-1"}), 409, "already_exists")
    assert Session.objects.count() == 1


def test_metadata_is_merged_and_the_title_replaced(api: Api) -> None:
    session = api.session(title="Old", metadata={"a": 1, "b": 2})
    answer = api.patch(f"/sessions/{session}", {"title": "New", "metadata": {"b": 3}})
    assert answer.status_code == 200
    assert (answer.json()["title"], answer.json()["metadata"]) == ("New", {"a": 1, "b": 3})
    assert answer.json() == api.get(f"/sessions/{session}").json()


def test_a_session_moves_to_another_version(api: Api) -> None:
    assistant = api.assistant()
    session = api.session(assistant)
    update_assistant(api.identity, _id(assistant), {"description": "newer"})
    assert api.get(f"/sessions/{session}").json()["assistant_version"] == 1
    assert api.patch(f"/sessions/{session}", {"assistant_version": 2}).json()["assistant_version"] == 2


@pytest.mark.parametrize(
    ("body", "loc"),
    [({"assistant_version": 9}, "assistant_version"), ({"tag": "stable"}, "tag"), ({"status": "closed"}, "status")],
)
def test_a_bad_change_is_refused_and_changes_nothing(api: Api, body: dict[str, Any], loc: str) -> None:
    session = api.session(title="Old")
    before = api.get(f"/sessions/{session}").json()
    assert_refused(api.patch(f"/sessions/{session}", {"title": "New", **body}), 422, "invalid", loc)
    assert api.get(f"/sessions/{session}").json() == before


def test_unreadable_json_is_refused(api: Api) -> None:
    answer = api.client.patch(f"/sessions/{api.session()}", "{", content_type="application/json")
    assert_refused(answer, 400, "bad_request")


def test_a_form_is_no_json(api: Api) -> None:
    answer = api.client.patch(f"/sessions/{api.session()}", "a=b", content_type="application/x-www-form-urlencoded")
    assert_refused(answer, 415, "unsupported_media_type")


def test_without_a_key_nothing_is_told(api: Api) -> None:
    for path in ("/sessions", f"/sessions/{api.session()}", f"/sessions/{uuid4()}/messages"):
        assert_refused(APIClient().get(path), 401, "unauthenticated")


def test_a_reading_key_does_not_write(api: Api) -> None:
    reader = Api(api.workspace, scopes=("sessions:read",))
    session = api.session()
    assert reader.get(f"/sessions/{session}").status_code == 200
    assert_refused(reader.patch(f"/sessions/{session}", {"title": "x"}), 403, "forbidden")
    assert_refused(reader.delete(f"/sessions/{session}"), 403, "forbidden")
    assert_refused(reader.get(f"/sessions/{session}/runs"), 403, "forbidden")


def test_a_user_bound_key_sees_that_users_sessions_only(api: Api) -> None:
    assistant = api.assistant()
    anns, bobs = api.session(assistant, user_id="ann"), api.session(assistant, user_id="bob")
    ann = Api(api.workspace, user_id="ann")
    assert [session["id"] for session in ann.items("/sessions")] == [anns]
    assert ann.get(f"/sessions/{anns}").status_code == 200
    assert_refused(ann.get(f"/sessions/{bobs}"), 404, "not_found")
    assert_refused(ann.patch(f"/sessions/{bobs}", {"title": "x"}), 404, "not_found")
    assert_refused(ann.post(f"/assistants/{assistant}/sessions", {"user_id": "bob"}), 403, "forbidden")
    assert ann.post(f"/assistants/{assistant}/sessions").json()["user_id"] == "ann"


def _id(text: str) -> Any:
    return parse_id(text)
