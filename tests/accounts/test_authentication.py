"""Keys and logins, at DRF's door and at the async one."""

import time
from datetime import timedelta
from uuid import UUID

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from accounts import credentials, memory
from accounts.authentication import WORKSPACE_CHOICE, authenticate, login_identity
from accounts.credentials import MEMORY, shown_in
from accounts.identity import Identity
from accounts.models import ApiKey, Membership, Role, User, Workspace
from accounts.services import create_api_key, create_workspace, revoke_api_key
from core.errors import BadRequest, Unauthenticated
from tests.accounts.conftest import PASSWORD, ApiFor, in_thread


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
def test_both_headers_let_in(key: str, header: str) -> None:
    value = f"Bearer {key}" if header == "Authorization" else key
    assert APIClient(headers={header: value}).get("/api-keys").status_code == 200


def test_the_same_key_twice_is_one_credential() -> None:
    key = "k" * 20
    assert shown_in({"authorization": f"bearer {key}", "x-api-key": key}) == key


def test_two_different_keys_are_a_bad_request(key: str) -> None:
    answer = APIClient(headers={"Authorization": f"Bearer {key}", "X-Api-Key": "x" * 20}).get("/api-keys")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "short"},
        {"x-api-key": "x" * 129},
        {"x-api-key": "ü" * 20},
        {"x-api-key": ""},
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer " + "u" * 40},
        {"cookie": "sessionid=nobody"},
        {"cookie": "sessionid=" + "x" * 5000},
    ],
)
async def test_anything_else_stays_out(pool: None, headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        await authenticate(headers)


@pytest.mark.django_db
def test_nobody_gets_the_error_body() -> None:
    answer = APIClient().get("/api-keys")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer.json() | {"request_id": ""} == {
        "detail": "A valid API key or login is needed.", "code": "unauthenticated", "request_id": "", "errors": []
    }  # fmt: skip


def test_a_revoked_key_stays_out_at_once(workspace: Workspace, api_for: ApiFor) -> None:
    api = api_for("keys:read")
    assert api.get("/api-keys").status_code == 200
    revoke_api_key(Identity(workspace.id, frozenset({"*"}), "key:other"), ApiKey.objects.get().id)
    assert api.get("/api-keys").status_code == 401


def test_an_expired_key_stays_out(workspace: Workspace, key: str) -> None:
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert APIClient(headers={"X-Api-Key": key}).get("/api-keys").status_code == 401


async def test_the_async_door_knows_the_same_keys(pool: None, workspace: Workspace, key: str) -> None:
    identity = await authenticate({"authorization": f"Bearer {key}"})
    assert (identity.workspace_id, identity.actor, identity.scopes) == (workspace.id, "key:test", {"*"})


def test_a_known_key_costs_no_query(key: str, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    credentials.identify(key)
    with django_assert_num_queries(0):
        credentials.identify(key)


def test_a_key_is_looked_up_again_after_two_seconds(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials.identify(key)
    ApiKey.objects.update(revoked_at=timezone.now())
    later = time.monotonic() + 2
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(Unauthenticated):
        credentials.identify(key)


def test_the_memory_is_bounded(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = credentials.identify(key)
    monkeypatch.setattr(memory, "MEMORY_SIZE", 10)
    for number in range(25):
        MEMORY.put(str(number), identity)
    assert len(MEMORY._known) <= 10


def test_the_last_use_is_noted_once_a_minute(key: str) -> None:
    credentials.identify(key)
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    MEMORY.clear()
    credentials.identify(key)
    assert ApiKey.objects.get().last_used_at == first


def test_a_login_reads(person: User, client: Client) -> None:
    client.force_login(person)
    assert client.get("/api-keys", headers={"accept": "application/json"}).status_code == 200


def test_a_login_writes_with_a_csrf_token_only(person: User, workspace: Workspace) -> None:
    Membership.objects.update(role=Role.ADMIN)
    client = Client(enforce_csrf_checks=True)
    client.force_login(person)
    body = {"name": "mine", "scopes": ["runs:read"]}
    assert client.post("/api-keys", body, "application/json").status_code == 403
    client.get("/api-keys", headers={"accept": "text/html"})
    token = client.cookies["csrftoken"].value
    made = client.post("/api-keys", body, "application/json", headers={"x-csrftoken": token})
    assert made.status_code == 201


def test_a_role_sets_what_a_login_may_do(person: User, client: Client) -> None:
    client.force_login(person)
    answer = client.post("/api-keys", {"name": "x", "scopes": ["runs:read"]}, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_person_without_a_workspace_stays_out(db: None, client: Client) -> None:
    client.force_login(User.objects.create_user("bob", password=PASSWORD))
    assert client.get("/api-keys", headers={"accept": "application/json"}).status_code == 401


async def test_the_async_door_knows_logins(pool: None, person: User, workspace: Workspace) -> None:
    client = Client()
    await in_thread(client.force_login, person)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    identity = await authenticate({"cookie": f"x=y; {settings.SESSION_COOKIE_NAME}={cookie}"})
    assert (identity.workspace_id, identity.actor, identity.login_id) == (workspace.id, "user:ada", person.id)


def test_a_person_works_in_the_workspace_they_chose(person: User, client: Client) -> None:
    other = create_workspace("Other", "other")
    strange = create_workspace("Strange", "strange")
    Membership.objects.create(workspace=other, user=person)

    def workspace_with(choice: object) -> UUID | None:
        session = client.session
        session[WORKSPACE_CHOICE] = str(choice)
        identity = login_identity(person, session)
        return identity.workspace_id if identity else None

    first = Workspace.objects.get(slug="acme").id
    assert workspace_with("") == first
    assert workspace_with(other.id) == other.id
    assert workspace_with(strange.id) == first


def test_a_superuser_needs_no_membership(workspace: Workspace, client: Client) -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    identity = login_identity(root, client.session)
    assert identity
    assert (identity.workspace_id, identity.scopes) == (workspace.id, {"*"})


def test_a_key_of_ones_own_choice(workspace: Workspace) -> None:
    own = "bootstrap-key_0123456789"
    stored, key = create_api_key(workspace, "bootstrap", ["*"], key=own)
    assert (key, stored.prefix) == (own, "bootstrap-ke")
    assert credentials.identify(own).api_key_id == stored.id


def test_the_digest_is_stored_and_the_key_is_not(workspace: Workspace, key: str) -> None:
    row = ApiKey.objects.values().get()
    assert key not in str(row)
    assert len(row["digest"]) == 64


def test_conflicting_headers_are_told_before_the_database_is_asked() -> None:
    with pytest.raises(BadRequest):
        shown_in({"authorization": "Bearer " + "a" * 20, "x-api-key": "b" * 20})
