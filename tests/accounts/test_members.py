"""`/members`: who belongs to the workspace."""

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts.models import Membership, Role, Ticket, User, Workspace
from accounts.services import create_workspace
from tests.accounts.conftest import ApiFor


@pytest.fixture
def api(api_for: ApiFor) -> APIClient:
    return api_for("*")


def add(api: APIClient, username: str, **body: Any) -> Any:
    return api.post("/members", {"username": username, **body}, format="json")


def join(workspace: Workspace, name: str, role: Role) -> Membership:
    """Somebody who chose a password long ago."""
    user = User.objects.create(username=name, password="md5$x$x")
    return Membership.objects.create(workspace=workspace, user=user, role=role)


def change(api: APIClient, member: Membership | str, role: str) -> Any:
    return api.patch(f"/members/{getattr(member, 'id', member)}", {"role": role}, format="json")


def test_who_is_new_gets_an_invitation_once(api: APIClient) -> None:
    made = add(api, "bob", role="editor", email="bob@example.com").json()
    assert made["invitation"].startswith("/invitations/")
    assert (made["role"], made["email"], made["pending"], made["created_by"]) == (
        "editor", "bob@example.com", True, "key:test"
    )  # fmt: skip
    shown = api.get(f"/members/{made['id']}").json()
    assert shown == {name: value for name, value in made.items() if name != "invitation"}


def test_who_is_known_is_let_in_as_they_are(api: APIClient, workspace: Workspace) -> None:
    join(create_workspace("Other", "other"), "ada", Role.ADMIN)
    made = add(api, "ada").json()
    assert (made["invitation"], made["role"], made["pending"]) == (None, "member", False)
    assert add(api, "ada").json()["code"] == "already_exists"


def test_who_was_invited_is_a_member_already(api: APIClient) -> None:
    add(api, "bob")
    assert add(api, "bob").json()["code"] == "already_exists"
    assert Membership.objects.count() == 1


def test_the_address_of_who_is_known_is_left_alone(api: APIClient, workspace: Workspace) -> None:
    join(create_workspace("Other", "other"), "ada", Role.ADMIN)
    answer = add(api, "ada", email="mallory@example.com")
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["email"])
    assert User.objects.get(username="ada").email == ""


def test_who_has_not_come_yet_is_invited_by_one_workspace_only(api: APIClient) -> None:
    add(api, "bob")
    Membership.objects.update(workspace=create_workspace("Other", "other"))
    answer = add(api, "bob", role="admin")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert Membership.objects.count() == 1


def test_sent_again_it_adds_nobody_again(api: APIClient) -> None:
    sent = {"path": "/members", "data": {"username": "bob"}, "format": "json", "headers": {"idempotency-key": "k"}}
    first, again = api.post(**sent), api.post(**sent)
    assert (again.status_code, again["Idempotency-Replayed"]) == (201, "true")
    assert (again.json()["id"], again.json()["invitation"]) == (first.json()["id"], None)


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["username"]),
        ({"username": ""}, ["username"]),
        ({"username": "a b"}, ["username"]),
        ({"username": "a" * 151}, ["username"]),
        ({"username": "bob", "role": "owner"}, ["role"]),
        ({"username": "bob", "role": None}, ["role"]),
        ({"username": "bob", "email": "nobody"}, ["email"]),
        ({"username": "bob", "password": "x"}, ["password"]),
    ],
)
def test_a_bad_body_makes_nobody(api: APIClient, body: dict[str, Any], loc: list[str]) -> None:
    answer = api.post("/members", body, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, loc)
    assert not User.objects.exists()


def test_nobody_gives_or_takes_a_role_that_holds_more(api_for: ApiFor, workspace: Workspace) -> None:
    api = api_for("keys:write", "sessions:write", "runs:write", *(f"{f}:read" for f in READABLE))
    boss, hand = join(workspace, "ada", Role.ADMIN), join(workspace, "bob", Role.MEMBER)
    join(workspace, "eve", Role.ADMIN)
    assert add(api, "new", role="admin").status_code == 403
    assert add(api, "new", role="editor").status_code == 403
    assert add(api, "new", role="member").status_code == 201
    assert change(api, hand, "admin").status_code == 403
    assert change(api, boss, "member").status_code == 403
    assert api.delete(f"/members/{boss.id}").status_code == 403
    assert change(api, hand, "operator").status_code == 200


READABLE = ("assistants", "schedules", "knowledge", "memory", "webhooks")


def test_the_last_admin_stays(api: APIClient, workspace: Workspace) -> None:
    ada, bob = join(workspace, "ada", Role.ADMIN), join(workspace, "bob", Role.ADMIN)
    User.objects.filter(username="bob").update(is_active=False)
    for answer in (change(api, ada, "member"), api.delete(f"/members/{ada.id}")):
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    User.objects.filter(username="bob").update(is_active=True)
    assert change(api, ada, "member").json()["role"] == "member"
    assert change(api, bob, "member").status_code == 409
    assert api.delete(f"/members/{ada.id}").status_code == 204


def test_who_is_removed_is_out_and_stays_a_person(api: APIClient, workspace: Workspace) -> None:
    member = join(workspace, "bob", Role.EDITOR)
    assert api.delete(f"/members/{member.id}").status_code == 204
    assert api.get(f"/members/{member.id}").status_code == 404
    assert User.objects.filter(username="bob").exists()


def test_who_never_came_is_forgotten(api: APIClient) -> None:
    member = add(api, "bob").json()
    assert api.delete(f"/members/{member['id']}").status_code == 204
    assert not User.objects.exists()
    assert add(api, "bob").json()["invitation"]


def test_a_new_link_ends_the_one_before(api: APIClient) -> None:
    made = add(api, "bob").json()
    answer = api.post(f"/members/{made['id']}/invitation")
    assert answer.status_code == 201
    assert answer.json()["invitation"] != made["invitation"]
    assert Ticket.objects.count() == 1


@pytest.mark.parametrize("shield", [{"is_superuser": True}, {"is_staff": True}, {"is_active": False}])
def test_no_link_leads_to_who_runs_the_server(api: APIClient, shield: dict[str, bool]) -> None:
    made = add(api, "bob").json()
    User.objects.update(**shield)
    assert api.post(f"/members/{made['id']}/invitation").status_code == 409
    assert api.get(made["invitation"]).status_code == 410


def test_who_has_a_password_is_not_invited(api: APIClient, workspace: Workspace) -> None:
    member = join(workspace, "bob", Role.MEMBER)
    assert api.post(f"/members/{member.id}/invitation").status_code == 409


def test_a_person_without_a_password_whom_nobody_invited_gets_no_link(api: APIClient, workspace: Workspace) -> None:
    User.objects.create_user("robot")
    made = add(api, "robot").json()
    assert made["invitation"] is None
    assert api.post(f"/members/{made['id']}/invitation").status_code == 409


def test_a_greater_role_ends_the_link_that_was_made_for_a_lesser_one(api: APIClient) -> None:
    made = add(api, "bob", role="editor").json()
    change(api, made["id"], "member")
    assert Ticket.objects.count() == 1
    change(api, made["id"], "admin")
    assert Ticket.objects.count() == 0


def test_a_caller_that_is_bound_to_a_user_sees_that_user_only(api_for: ApiFor, workspace: Workspace) -> None:
    bob, ada = join(workspace, "bob", Role.MEMBER), join(workspace, "ada", Role.MEMBER)
    bound = api_for("*", user_id="bob")
    assert [member["id"] for member in bound.get("/members").json()["items"]] == [str(bob.id)]
    assert bound.get(f"/members/{ada.id}").status_code == 404
    assert add(bound, "eve").status_code == 403
    assert change(bound, bob, "admin").status_code == 403
    assert bound.delete(f"/members/{bob.id}").status_code == 403


def test_a_strangers_member_is_unknown(api: APIClient) -> None:
    strange = join(create_workspace("Other", "other"), "ada", Role.MEMBER)
    path = f"/members/{strange.id}"
    for answer in (
        api.get(path), api.delete(path), change(api, strange, "admin"), api.post(f"{path}/invitation")
    ):  # fmt: skip
        assert (answer.status_code, answer.json()["detail"]) == (404, "Not found.")
    assert api.get("/members").json()["total"] == 0


def test_scopes_are_asked_for(api_for: ApiFor) -> None:
    assert api_for("runs:write").get("/members").status_code == 403
    assert add(api_for("keys:read"), "bob").status_code == 403


def test_the_list_is_narrowed_by_role_and_costs_the_same_for_many(
    api: APIClient, workspace: Workspace, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        join(workspace, f"p{number}", Role.EDITOR if number else Role.ADMIN)
    api.get("/members")
    with django_assert_max_num_queries(2):
        assert api.get("/members").json()["total"] == 5
    assert api.get("/members?role=admin").json()["total"] == 1
    assert [m["username"] for m in api.get("/members?ordering=created_at&limit=2").json()["items"]] == ["p0", "p1"]
    assert api.get("/members?role=owner").status_code == 422
