"""`POST /api-keys/{id}/rotate`: a new key in the place of one."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import ApiKey, Workspace
from accounts.services import create_api_key, create_workspace
from tests.accounts.conftest import ApiFor

DAY = timedelta(days=1)


def rotate(api: APIClient, key: ApiKey, body: Any = None, **headers: str) -> Any:
    return api.post(f"/api-keys/{key.id}/rotate", body, format="json", headers=headers)


def works(key: str) -> bool:
    return APIClient(headers={"X-Api-Key": key}).get("/me").status_code == 200


@pytest.fixture
def api(api_for: ApiFor) -> APIClient:
    return api_for("*")


@pytest.fixture
def former(workspace: Workspace) -> tuple[ApiKey, str]:
    return create_api_key(workspace, "ci", ["runs:write"], user_id="u1")


def test_the_new_key_is_as_the_old_one_was(api: APIClient, former: tuple[ApiKey, str]) -> None:
    answer = rotate(api, former[0])
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["scopes"], made["user_id"]) == ("ci", ["runs:write"], "u1")
    assert (made["rotated_from"], made["created_by"], made["expires_at"]) == (str(former[0].id), "key:test", None)
    assert works(made["key"])


def test_both_work_for_a_day(api: APIClient, former: tuple[ApiKey, str]) -> None:
    rotate(api, former[0])
    former[0].refresh_from_db()
    assert former[0].expires_at is not None
    assert abs(former[0].expires_at - timezone.now() - DAY) < timedelta(minutes=5)
    assert works(former[1])


def test_without_an_overlap_the_old_one_ends_at_once(api: APIClient, former: tuple[ApiKey, str]) -> None:
    assert works(former[1])
    rotate(api, former[0], {"overlap_s": 0})
    assert not works(former[1])
    assert rotate(api, former[0]).status_code == 409


def test_an_overlap_gives_no_key_more_time(api: APIClient, workspace: Workspace) -> None:
    soon = timezone.now() + timedelta(hours=1)
    key, _ = create_api_key(workspace, "short", ["runs:read"], expires_at=soon)
    rotate(api, key)
    key.refresh_from_db()
    assert key.expires_at == soon


def test_the_new_one_gets_as_long_a_life(api: APIClient, workspace: Workspace) -> None:
    key, _ = create_api_key(workspace, "yearly", ["runs:read"], expires_at=timezone.now() + DAY)
    ApiKey.objects.filter(id=key.id).update(created_at=timezone.now() - 9 * DAY)
    made = ApiKey.objects.get(id=rotate(api, key).json()["id"])
    assert made.expires_at is not None
    assert abs(made.expires_at - timezone.now() - 10 * DAY) < timedelta(minutes=5)
    chosen = rotate(api, key, {"expires_at": "2100-01-01T00:00:00Z"}).json()
    assert chosen["expires_at"] == "2100-01-01T00:00:00.000000Z"


def test_what_has_ended_is_not_rotated(api: APIClient, former: tuple[ApiKey, str]) -> None:
    api.delete(f"/api-keys/{former[0].id}")
    answer = rotate(api, former[0])
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert ApiKey.objects.count() == 2


def test_nobody_rotates_a_key_that_holds_more(api_for: ApiFor, workspace: Workspace) -> None:
    api = api_for("keys:write", "runs:read")
    for scopes in (["*"], ["runs:write"]):
        key, _ = create_api_key(workspace, "more", scopes)
        assert rotate(api, key).status_code == 403
        key.refresh_from_db()
        assert key.expires_at is None


def test_another_users_and_a_strangers_key_are_unknown(api_for: ApiFor, former: tuple[ApiKey, str]) -> None:
    bound = api_for("*", user_id="u2")
    strange, _ = create_api_key(create_workspace("Other", "other"), "theirs", ["*"])
    for key in (former[0], strange):
        for answer in (rotate(bound, key), bound.get(f"/api-keys/{key.id}"), bound.delete(f"/api-keys/{key.id}")):
            assert (answer.status_code, answer.json()["detail"]) == (404, "Not found.")
    assert [key["user_id"] for key in bound.get("/api-keys").json()["items"]] == ["u2"]
    assert not ApiKey.objects.exclude(revoked_at=None).exists()


def test_sent_again_it_makes_nothing_again(api: APIClient, former: tuple[ApiKey, str]) -> None:
    first, again = (rotate(api, former[0], {"overlap_s": 0}, idempotency_key="k1") for _ in range(2))
    assert (first.status_code, again.status_code, again["Idempotency-Replayed"]) == (201, 201, "true")
    assert (again.json()["id"], again.json()["key"]) == (first.json()["id"], None)


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"overlap_s": -1}, ["overlap_s"]),
        ({"overlap_s": 604_801}, ["overlap_s"]),
        ({"overlap_s": "1"}, ["overlap_s"]),
        ({"expires_at": "2000-01-01T00:00:00Z"}, ["expires_at"]),
        ({"scopes": ["*"]}, ["scopes"]),
    ],
)
def test_a_bad_body_changes_nothing(
    api: APIClient, former: tuple[ApiKey, str], body: dict[str, Any], loc: list[str]
) -> None:
    answer = rotate(api, former[0], body)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, loc)
    former[0].refresh_from_db()
    assert former[0].expires_at is None
    assert ApiKey.objects.count() == 2
