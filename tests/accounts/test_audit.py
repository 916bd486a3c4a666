"""`/audit`: what is kept of what people and keys do with access itself, and who may read it."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from accounts.models import ApiKey, AuditEntry, Membership, Role, User, Workspace
from accounts.services import create_workspace
from tests.accounts.conftest import PASSWORD, ApiFor


@pytest.fixture(autouse=True)
def _quick_hashes(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def api(api_for: ApiFor) -> APIClient:
    return api_for("*")


def acts(api: APIClient, **query: str) -> list[tuple[str, str]]:
    """The trail, the oldest first."""
    entries = api.get("/audit", {"ordering": "created_at", **query}).json()["items"]
    return [(entry["subject_type"], entry["action"]) for entry in entries]


def test_what_becomes_of_a_key_is_kept(api: APIClient) -> None:
    body = {"name": "ci", "scopes": ["runs:read"]}
    made = api.post("/api-keys", body, format="json").json()
    new = api.post(f"/api-keys/{made['id']}/rotate").json()
    for _ in range(2):
        api.delete(f"/api-keys/{new['id']}")
    assert acts(api) == [("api_key", act) for act in ("created", "rotated", "created", "revoked")]
    entries = api.get("/audit", {"subject_id": made["id"]}).json()["items"]
    asking = ApiKey.objects.get(name="test")
    assert [(entry["actor"], entry["actor_id"]) for entry in entries] == [("key:test", str(asking.id))] * 2
    known = {"name": "ci", "prefix": made["prefix"], "scopes": ["runs:read"], "user_id": None, "limits": {}}
    assert entries[0]["details"] == {**known, "into": new["id"], "overlap_s": 86_400.0}
    assert made["key"] not in str(entries)
    assert new["key"] not in str(entries)


def test_what_becomes_of_a_member_is_kept(api: APIClient) -> None:
    made = api.post("/members", {"username": "bob"}, format="json").json()
    path = f"/members/{made['id']}"
    for role in ("admin", "admin"):
        api.patch(path, {"role": role}, format="json")
    token = api.post(f"{path}/invitation").json()["invitation"].rsplit("/")[-1]
    api.post("/members", {"username": "eve", "role": "admin"}, format="json")
    api.delete(path)
    about = acts(api, subject_id=made["id"])
    assert about == [("membership", act) for act in ("added", "changed", "invited", "removed")]
    changed = api.get("/audit", {"action": "changed"}).json()["items"][0]
    assert changed["details"] == {"username": "bob", "role": "admin", "former_role": "member"}
    assert token not in str(api.get("/audit").json())


def test_what_is_refused_is_not_kept(api_for: ApiFor) -> None:
    api = api_for("keys:write")
    api.post("/api-keys", {"name": "ci", "scopes": ["*"]}, format="json")
    api.post("/members", {"username": "bob", "role": "admin"}, format="json")
    assert acts(api) == []


def test_signing_in_and_out_is_kept_in_each_workspace_of_the_person(
    client: Client, person: User, workspace: Workspace
) -> None:
    other = create_workspace("Other", "other")
    Membership.objects.create(workspace=other, user=person, role=Role.EDITOR)
    create_workspace("Strange", "strange")
    client.post("/login", {"username": "ada", "password": PASSWORD})
    client.post("/logout")
    entries = list(
        AuditEntry.objects.order_by("id").values("workspace_id", "action", "actor", "actor_id", "subject_id")
    )
    mine = {"actor": "user:ada", "actor_id": person.id, "subject_id": person.id}
    assert entries[:2] == [{"workspace_id": w.id, "action": "signed_in", **mine} for w in (workspace, other)]
    assert entries[2:] == [{"workspace_id": w.id, "action": "signed_out", **mine} for w in (workspace, other)]
    assert AuditEntry.objects.filter(action="signed_in")[0].details == {"by": "password", "address": "127.0.0.1"}


def test_leaving_by_the_admins_door_is_kept_too(client: Client, person: User) -> None:
    client.force_login(person)
    client.post("/admin/logout/")
    assert "_auth_user_id" not in client.session
    assert AuditEntry.objects.get().action == "signed_out"


def test_a_refused_sign_in_is_kept_where_the_name_is_known(client: Client, person: User) -> None:
    for name in ("ada", "nobody"):
        client.post("/login", {"username": name, "password": "wrong"})
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor, entry.actor_id, entry.subject_id) == (
        "sign_in_refused", "anonymous", None, person.id
    )  # fmt: skip
    assert entry.details == {"name": "ada", "address": "127.0.0.1"}


def test_a_superuser_of_no_workspace_leaves_a_trail_where_they_enter(client: Client, workspace: Workspace) -> None:
    User.objects.create_superuser("root", password=PASSWORD)
    client.post("/login", {"username": "root", "password": PASSWORD})
    assert AuditEntry.objects.get().workspace_id == workspace.id


def test_the_list_is_narrowed(api: APIClient) -> None:
    made = api.post("/api-keys", {"name": "ci", "scopes": ["runs:read"]}, format="json").json()
    api.post("/members", {"username": "bob"}, format="json")
    assert acts(api, actor="key:test", subject_type="api_key") == [("api_key", "created")]
    assert acts(api, action="added") == [("membership", "added")]
    assert acts(api, subject_id=made["id"]) == [("api_key", "created")]
    assert acts(api, actor="key:other") == []
    for query in ({"who": "me"}, {"subject_id": "x"}, {"ordering": "actor"}):
        assert api.get("/audit", query).status_code == 422


def test_it_comes_in_pages_of_two_statements(
    api: APIClient, workspace: Workspace, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        api.post("/members", {"username": f"p{number}"}, format="json")
    with django_assert_max_num_queries(2):
        page = api.get("/audit?limit=3").json()
    rest = api.get(f"/audit?limit=3&cursor={page['next_cursor']}").json()
    names = [entry["details"]["username"] for entry in [*page["items"], *rest["items"]]]
    assert names == ["p4", "p3", "p2", "p1", "p0"]


def test_a_caller_that_is_bound_to_a_user_sees_its_own_acts(api: APIClient, api_for: ApiFor) -> None:
    bound = api_for("keys:write", user_id="u1")
    for one in (api, bound):
        body: dict[str, Any] = {"name": "ci", "scopes": ["keys:read"], "user_id": "u1"}
        assert one.post("/api-keys", body, format="json").status_code == 201
    # Both keys have one name.
    assert {key["name"] for key in api.get("/api-keys").json()["items"]} == {"test", "ci"}
    assert len(acts(bound)) == 1
    assert len(acts(api)) == 2


def test_no_trail_is_seen_over_the_wall(api: APIClient, api_for: ApiFor) -> None:
    api.post("/members", {"username": "bob"}, format="json")
    AuditEntry.objects.update(workspace=create_workspace("Other", "other"))
    assert acts(api) == []
    assert api_for("runs:write").get("/audit").status_code == 403
