"""`/me` and `/workspaces`: who asks, and where they may act."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts.models import ApiKey, Membership, Role, User, Workspace
from accounts.services import create_workspace
from tests.accounts.conftest import ApiFor


@pytest.fixture
def signed_in(person: User) -> APIClient:
    client = APIClient()
    client.force_login(person)
    return client


def test_a_key_is_told_what_it_may_do(api_for: ApiFor, workspace: Workspace) -> None:
    api = api_for("runs:write", "assistants:read", user_id="u1", expires_at=timezone.now() + timedelta(days=1))
    told = api.get("/me").json()
    assert (
        told.pop("expires_at")
        == api_for("keys:read").get("/api-keys?ordering=created_at").json()["items"][0]["expires_at"]
    )
    assert told == {
        "workspace": {"id": str(workspace.id), "name": "Acme", "slug": "acme"},
        "actor": "key:test",
        "user_id": "u1",
        "role": None,
        "scopes": ["assistants:read", "runs:write"],
    }


def test_a_person_is_told_their_role(signed_in: APIClient) -> None:
    told = signed_in.get("/me").json()
    assert (told["actor"], told["user_id"], told["role"], told["expires_at"]) == ("user:ada", "ada", "member", None)
    assert "runs:write" in told["scopes"]


def test_nobody_is_told_nothing(db: None) -> None:
    assert APIClient().get("/me").status_code == APIClient().get("/workspaces").status_code == 401


def test_a_key_has_one_workspace(api_for: ApiFor, workspace: Workspace) -> None:
    create_workspace("Other", "other")
    assert api_for("runs:read").get("/workspaces").json()["items"] == [
        {"id": str(workspace.id), "name": "Acme", "slug": "acme", "role": None, "current": True}
    ]


def test_a_person_has_those_that_they_belong_to(signed_in: APIClient, person: User) -> None:
    Membership.objects.create(workspace=create_workspace("Other", "other"), user=person, role=Role.ADMIN)
    create_workspace("Strange", "strange")
    mine = signed_in.get("/workspaces").json()["items"]
    assert [(one["slug"], one["role"], one["current"]) for one in mine] == [
        ("other", "admin", False), ("acme", "member", True)
    ]  # fmt: skip


def test_a_superuser_has_all(
    signed_in: APIClient, person: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        create_workspace(f"W{number}", f"w{number}")
    User.objects.update(is_superuser=True)
    # The login takes its own: its session, its person, their memberships and workspace.
    with django_assert_max_num_queries(7):
        found = signed_in.get("/workspaces").json()
    assert found["total"] == 6
    assert [one["role"] for one in found["items"]] == [None] * 5 + ["member"]


def test_the_end_of_the_key_is_read_anew(api_for: ApiFor) -> None:
    api = api_for("runs:read")
    assert api.get("/me").json()["expires_at"] is None
    ApiKey.objects.update(expires_at="2100-01-01T00:00:00Z")
    assert api.get("/me").json()["expires_at"] == "2100-01-01T00:00:00.000000Z"
