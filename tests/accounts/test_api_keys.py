"""`/api-keys`."""

import re
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import ApiKey, Workspace
from accounts.services import create_api_key, create_workspace
from tests.accounts.conftest import ApiFor

BODY = {"name": "ci", "scopes": ["runs:write"]}


@pytest.fixture
def api(api_for: ApiFor) -> APIClient:
    return api_for("*")


def test_a_key_is_shown_once(api: APIClient) -> None:
    made = api.post("/api-keys", {**BODY, "expires_at": "2100-01-01T00:00:00Z"}, format="json").json()
    assert re.fullmatch(r"sk_[0-9a-f]{12}_[0-9a-f]{40}", made["key"])
    shown = api.get(f"/api-keys/{made['id']}").json()
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert shown["prefix"] == made["key"][:12]
    assert shown["expires_at"] == "2100-01-01T00:00:00.000000Z"


def test_a_new_key_works(api: APIClient) -> None:
    made = api.post("/api-keys", {"name": "ci", "scopes": ["keys:read"]}, format="json").json()
    assert APIClient(headers={"X-Api-Key": made["key"]}).get("/api-keys").json()["total"] == 2


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"name": ""}, ["name"]),
        ({"name": 5}, ["name"]),
        ({"scopes": []}, ["scopes"]),
        ({"scopes": ["runs:everything"]}, ["scopes", 0]),
        ({"user_id": ""}, ["user_id"]),
        ({"expires_at": 5}, ["expires_at"]),
        ({"expires_at": "tomorrow"}, ["expires_at"]),
        ({"expires_at": "2100-01-01T00:00:00"}, ["expires_at"]),
        ({"expires_at": "2000-01-01T00:00:00Z"}, ["expires_at"]),
        ({"extra": 1}, ["extra"]),
    ],
)
def test_a_bad_body_is_invalid_and_leaves_no_row(api: APIClient, change: dict[str, Any], loc: list[Any]) -> None:
    answer = api.post("/api-keys", BODY | change, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, loc)
    assert ApiKey.objects.count() == 1


def test_nobody_hands_on_more_than_they_hold(api_for: ApiFor) -> None:
    api = api_for("keys:write", "runs:read")
    assert api.post("/api-keys", {"name": "x", "scopes": ["runs:read"]}, format="json").status_code == 201
    assert api.post("/api-keys", BODY, format="json").status_code == 403
    assert api.post("/api-keys", {"name": "x", "scopes": ["*"]}, format="json").status_code == 403


def test_a_bound_key_makes_keys_for_its_own_user_only(api_for: ApiFor) -> None:
    api = api_for("*", user_id="u1")
    assert api.post("/api-keys", {**BODY, "user_id": "u1"}, format="json").status_code == 201
    assert api.post("/api-keys", {**BODY, "user_id": "u2"}, format="json").status_code == 403
    assert api.post("/api-keys", BODY, format="json").status_code == 403


def test_a_revoked_key_stays_in_the_list(api: APIClient) -> None:
    made = api.post("/api-keys", BODY, format="json").json()
    assert api.delete(f"/api-keys/{made['id']}").status_code == 204
    revoked_at = api.get(f"/api-keys/{made['id']}").json()["revoked_at"]
    assert revoked_at
    assert api.delete(f"/api-keys/{made['id']}").status_code == 204
    assert api.get(f"/api-keys/{made['id']}").json()["revoked_at"] == revoked_at


def test_a_strangers_key_is_unknown(api: APIClient, workspace: Workspace) -> None:
    strange, _ = create_api_key(create_workspace("Other", "other"), "theirs", ["*"])
    for path in (f"/api-keys/{strange.id}", "/api-keys/x", f"/api-keys/{workspace.id}"):
        for method in (api.get, api.delete):
            answer = method(path)
            assert (answer.status_code, answer.json()["detail"]) == (404, "Not found.")
    strange.refresh_from_db()
    assert strange.revoked_at is None
    assert api.get("/api-keys").json()["total"] == 1


def test_scopes_are_asked_for(api_for: ApiFor) -> None:
    assert api_for("runs:write").get("/api-keys").status_code == 403
    assert api_for("keys:read").post("/api-keys", BODY, format="json").status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "content_type", "body", "status"),
    [
        ("PUT", "/api-keys", "application/json", b"{}", 405),
        ("POST", "/api-keys", "text/plain", b"{}", 415),
        ("POST", "/api-keys", "application/x-www-form-urlencoded", b"name=x", 415),
        ("POST", "/api-keys", "multipart/form-data; boundary=b", b"--b--", 415),
        ("POST", "/api-keys", "application/json", b"{", 400),
        ("POST", "/api-keys", "application/json", b'{"name": "a", "name": "b"}', 400),
        ("POST", "/api-keys", "application/json", b"[]", 422),
        ("POST", "/api-keys", "application/json", b"", 422),
        ("GET", "/api-keys?sort=name", "", b"", 422),
        ("POST", "/api-keys?x=1", "application/json", b"{}", 422),
        ("GET", "/nowhere", "", b"", 404),
    ],
)
def test_every_fault_has_the_one_body(
    api: APIClient, method: str, path: str, content_type: str, body: bytes, status: int
) -> None:
    answer = api.generic(method, path, body, content_type)
    assert answer.status_code == status
    assert set(answer.json()) == {"detail", "code", "request_id", "errors"}


def test_what_nobody_can_answer_in_is_answered_in_json(api: APIClient) -> None:
    assert api.get("/api-keys", headers={"accept": "text/event-stream"}).json()["total"] == 1
