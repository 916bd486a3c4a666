"""The admin's pages for workspaces, people and keys."""

import re

import pytest
from django.test import Client

from accounts.models import ApiKey, AuditEntry, User, Workspace
from accounts.services import create_api_key
from core import admin as core_admin
from tests.accounts.conftest import PASSWORD


@pytest.fixture
def operator(workspace: Workspace, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


@pytest.mark.parametrize("model", ["workspace", "user", "membership", "apikey"])
@pytest.mark.parametrize("page", ["", "add/"])
def test_pages_open(operator: Client, person: User, key: str, model: str, page: str) -> None:
    assert operator.get(f"/admin/accounts/{model}/{page}").status_code == 200


def test_the_index_opens(operator: Client) -> None:
    page = operator.get("/admin/")
    assert page.status_code == 200
    assert "Agent Server" in page.text


def test_a_new_key_is_shown_once(operator: Client, workspace: Workspace) -> None:
    form = {"workspace": workspace.id, "name": "ci", "scopes": ["runs:read", "keys:read"]}
    page = operator.post("/admin/accounts/apikey/add/", form, follow=True)
    shown = re.findall(r"sk_[0-9a-f]{12}_[0-9a-f]{40}", page.text)
    assert len(shown) == 1
    assert Client(headers={"x-api-key": shown[0]}).get("/api-keys").json()["total"] == 1
    assert shown[0] not in operator.get("/admin/accounts/apikey/").text


def test_a_key_is_read_and_its_digest_is_not(operator: Client, key: str) -> None:
    stored = ApiKey.objects.get()
    page = operator.get(f"/admin/accounts/apikey/{stored.id}/change/")
    assert stored.prefix in page.text
    assert stored.digest not in page.text


def test_keys_are_revoked_by_the_service(operator: Client, key: str) -> None:
    client = Client(headers={"x-api-key": key})
    assert client.get("/api-keys").status_code == 200
    action = {"action": "revoke", "_selected_action": [ApiKey.objects.get().id]}
    operator.post("/admin/accounts/apikey/", action)
    assert client.get("/api-keys").status_code == 401


def test_a_new_person_gets_a_password(operator: Client) -> None:
    form = {"username": "eve", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    assert operator.post("/admin/accounts/user/add/", form).status_code == 302
    assert User.objects.get(username="eve").check_password(PASSWORD)


def test_the_admin_has_no_login_of_its_own(client: Client, person: User) -> None:
    assert client.get("/admin/", follow=True).redirect_chain[-1][0] == "/login?next=/admin/"
    client.force_login(person)
    assert client.get("/admin/", follow=True).status_code == 403


def test_a_long_list_is_not_counted_to_its_end(
    operator: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_admin, "MAX_ROWS", 3)
    for _ in range(5):
        create_api_key(workspace, "many", ["*"])
    assert operator.get("/admin/accounts/apikey/").context["cl"].paginator.count == 3


def test_the_menu_shows_what_a_person_may_see(operator: Client, person: User) -> None:
    page = operator.get("/admin/").text
    for path in ("/admin/runs/run/", "/admin/assistants/assistant/", "/admin/agent_sessions/session/"):
        assert f'href="{path}"' in page
    User.objects.filter(pk=person.pk).update(is_staff=True)
    operator.force_login(person)
    assert 'href="/admin/runs/run/"' not in operator.get("/admin/").text


NO_MEMBERS = {f"memberships-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL")}


def test_workspaces_are_made_and_renamed_by_the_services(operator: Client) -> None:
    form = {"name": "Beta", "slug": "beta"}
    assert operator.post("/admin/accounts/workspace/add/", {**form, **NO_MEMBERS}).status_code == 302
    made = Workspace.objects.get(slug="beta")
    change = {"name": "Gamma", "slug": "gamma"}
    assert operator.post(f"/admin/accounts/workspace/{made.id}/change/", {**change, **NO_MEMBERS}).status_code == 302
    trail = AuditEntry.objects.filter(workspace=made).order_by("id")
    assert [(entry.actor, entry.action, entry.details) for entry in trail] == [
        ("user:root", "created", form),
        ("user:root", "renamed", {**change, "former_name": "Beta", "former_slug": "beta"}),
    ]
    assert {entry.actor_id for entry in trail} == {User.objects.get(username="root").pk}


def test_two_workspaces_have_two_slugs(operator: Client, workspace: Workspace) -> None:
    form = {"name": "Other", "slug": workspace.slug, **NO_MEMBERS}
    page = operator.post("/admin/accounts/workspace/add/", form)
    assert (page.status_code, Workspace.objects.count()) == (200, 1)


def test_whom_alerts_are_mailed_to(operator: Client, workspace: Workspace) -> None:
    page = f"/admin/accounts/workspace/{workspace.id}/change/"
    form = {"name": workspace.name, "slug": workspace.slug, **NO_MEMBERS}
    addresses = "ann@ours.test, bob@ours.test,ANN@ours.test"
    assert operator.post(page, {**form, "alert_emails": addresses}).status_code == 302
    workspace.refresh_from_db()
    assert workspace.alert_emails == ["ann@ours.test", "bob@ours.test"]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.details["before"]) == ("alerts_addressed", [])
    for wrong in ("ann", ",".join(f"a{number}@ours.test" for number in range(21))):
        assert operator.post(page, {**form, "alert_emails": wrong}).status_code == 200
    operator.post(page, form)
    workspace.refresh_from_db()
    assert workspace.alert_emails == []
