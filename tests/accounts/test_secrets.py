"""A workspace's secrets: kept, used, and never shown."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts import queries
from accounts.models import AuditEntry, Secret, User, Workspace
from accounts.services import create_workspace, put_secret
from accounts.vault import Unreadable, seal, unseal
from core.ids import new_id
from tests.accounts.conftest import PASSWORD, ApiFor
from tests.api import Api

VALUE = "the-value-that-nobody-reads"
BODY = {"value": VALUE, "hosts": ["api.example.com"]}


@pytest.fixture
def client_of(api_for: ApiFor) -> APIClient:
    return api_for("keys:write")


@pytest.fixture
def operator(workspace: Workspace, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


@pytest.fixture
def kept(api: Api) -> Secret:
    return put_secret(api.identity, "crm", VALUE, ["api.example.com"])[0]


def put(client: Any, name: str, **change: Any) -> Any:
    return client.put(f"/secrets/{name}", {**BODY, **change}, format="json")


# -- over HTTP -------------------------------------------------------------------------------------------------------


def test_a_secret_is_made_and_replaced_and_its_value_is_in_no_answer(client_of: APIClient) -> None:
    made = put(client_of, "crm")
    again = put(client_of, "crm", value="another one", hosts=["API.example.com:8443", "[::1]:80"])
    assert (made.status_code, again.status_code) == (201, 200)
    shown = client_of.get("/secrets/crm").json()
    assert shown == again.json()
    assert shown["created_at"] == made.json()["created_at"] < shown["updated_at"]
    assert (shown["name"], shown["hosts"]) == ("crm", ["api.example.com:8443", "[::1]:80"])
    answers = [made, again, client_of.get("/secrets"), client_of.get("/secrets/crm")]
    assert not any(VALUE in answer.text or "another one" in answer.text for answer in answers)


def test_a_secret_is_deleted(client_of: APIClient) -> None:
    put(client_of, "crm")
    assert client_of.delete("/secrets/crm").status_code == 204
    assert [method("/secrets/crm").status_code for method in (client_of.get, client_of.delete)] == [404, 404]


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"value": ""}, ["value"]),
        ({"value": " \n"}, ["value"]),
        ({"value": "x" * 8193}, ["value"]),
        ({"value": 5}, ["value"]),
        ({"hosts": []}, ["hosts"]),
        ({"hosts": ["example.com"] * 33}, ["hosts"]),
        ({"hosts": ["example.com", "https://example.com"]}, ["hosts", 1]),
        ({"hosts": ["example.com/path"]}, ["hosts", 0]),
        ({"hosts": ["*.example.com"]}, ["hosts", 0]),
        ({"hosts": ["example.com:0"]}, ["hosts", 0]),
        ({"hosts": ["example.com:65536"]}, ["hosts", 0]),
        ({"hosts": ["user@example.com"]}, ["hosts", 0]),
        ({"hosts": ["[:::]"]}, ["hosts", 0]),
        ({"hosts": ["bücher.example"]}, ["hosts", 0]),
        ({"extra": 1}, ["extra"]),
    ],
)
def test_a_bad_body_is_invalid_and_leaves_no_row(client_of: APIClient, change: dict[str, Any], loc: list[Any]) -> None:
    answer = put(client_of, "crm", **change)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, loc)
    assert not Secret.objects.exists()


@pytest.mark.parametrize("name", ["1crm", "crm key", "x" * 65, "crm%00", "ключ", "_crm"])
def test_a_bad_name_is_invalid_and_never_found(client_of: APIClient, name: str) -> None:
    assert put(client_of, name).json()["errors"][0]["loc"] == ["name"]
    assert client_of.get(f"/secrets/{name}").status_code == 404
    assert client_of.delete(f"/secrets/{name}").status_code == 404


def test_scopes_are_asked_for(api_for: ApiFor) -> None:
    assert put(api_for("keys:read"), "crm").status_code == 403
    assert api_for("keys:read").get("/secrets").status_code == 200
    assert api_for("assistants:write").get("/secrets").status_code == 403


def test_another_workspaces_secret_is_unknown(kept: Secret, stranger: Api) -> None:
    assert stranger.get("/secrets/crm").status_code == stranger.delete("/secrets/crm").status_code == 404
    assert stranger.items("/secrets") == []
    assert queries.open_secrets(stranger.identity.workspace_id, ["crm"]).run() == {}
    assert put(stranger.client, "crm").status_code == 201
    assert Secret.objects.filter(name="crm").count() == 2


def test_the_list_costs_two_statements_however_long_it_is(api: Api) -> None:
    for number in range(5):
        put_secret(api.identity, f"s{number}", VALUE, ["example.com"])
    api.get("/secrets")
    with CaptureQueriesContext(
        connection,
    ) as asked:
        names = [item["name"] for item in api.items("/secrets", limit=3)]
    assert names == ["s0", "s1", "s2"]
    about = [query["sql"] for query in asked if '"secrets"' in query["sql"]]
    assert len(about) == 2
    assert not any("ciphertext" in sql for sql in about)


def test_what_is_done_is_audited_without_values(client_of: APIClient) -> None:
    put(client_of, "crm")
    put(client_of, "crm", hosts=["other.example"])
    client_of.delete("/secrets/crm")
    entries = AuditEntry.objects.filter(subject_type="secret").order_by("id")
    assert [entry.action for entry in entries] == ["created", "updated", "deleted"]
    assert entries[1].details == {"name": "crm", "hosts": ["other.example"]}
    assert not any(VALUE in str(entry.details) for entry in entries)


# -- encrypted -------------------------------------------------------------------------------------------------------


def test_what_is_stored_is_not_the_value(kept: Secret, api: Api) -> None:
    assert VALUE.encode() not in bytes(Secret.objects.get().ciphertext)
    opened = queries.open_secrets(api.identity.workspace_id, ["crm", "other"]).run()
    assert [(name, secret.value, secret.hosts) for name, secret in opened.items()] == [
        ("crm", VALUE, ("api.example.com",))
    ]
    assert VALUE not in repr(opened)


def test_one_value_is_never_stored_alike_twice() -> None:
    place = new_id()
    assert seal(place, "a", VALUE) != seal(place, "a", VALUE)


def test_a_row_copied_to_another_place_cannot_be_read() -> None:
    here, there = new_id(), new_id()
    sealed = seal(here, "crm", VALUE)
    assert unseal(here, "crm", sealed) == VALUE
    for workspace, name, text in [
        (there, "crm", sealed),
        (here, "other", sealed),
        (here, "crm", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (here, "crm", b"\x02" + sealed[1:]),
        (here, "crm", b""),
    ]:
        with pytest.raises(Unreadable):
            unseal(workspace, name, text)


def test_keys_are_rotated(kept: Secret, api: Api, settings: Any) -> None:
    old, new = "o" * 32, "n" * 32
    settings.ENCRYPTION_KEYS = [new, *settings.ENCRYPTION_KEYS]
    call_command("rotate_secrets", stdout=None)
    settings.ENCRYPTION_KEYS = [new]
    assert queries.open_secrets(api.identity.workspace_id, ["crm"]).run()["crm"].value == VALUE
    settings.ENCRYPTION_KEYS = [old]
    assert queries.open_secrets(api.identity.workspace_id, ["crm"]).run()["crm"].value == ""
    with pytest.raises(CommandError, match=f"{api.identity.workspace_id}/crm"):
        call_command("rotate_secrets", stdout=None)


# -- in the admin ----------------------------------------------------------------------------------------------------


def test_the_admin_takes_a_value_and_shows_none(operator: Client, workspace: Workspace) -> None:
    form = {"workspace": workspace.id, "name": "crm", "value": VALUE, "hosts": "a.example, b.example:8443"}
    made = operator.post("/admin/accounts/secret/add/", form, follow=True)
    secret = Secret.objects.get()
    assert secret.hosts == ["a.example", "b.example:8443"]
    page = operator.get(f"/admin/accounts/secret/{secret.id}/change/")
    assert 'type="password"' in page.text
    assert "a.example, b.example:8443" in page.text
    assert not any(VALUE in answer.text for answer in (made, page, operator.get("/admin/accounts/secret/")))
    assert AuditEntry.objects.get(subject_id=secret.id).actor == "user:root"


def test_the_admin_changes_hosts_with_the_value_only(operator: Client, workspace: Workspace) -> None:
    operator.post(
        "/admin/accounts/secret/add/", {"workspace": workspace.id, "name": "crm", "value": VALUE, "hosts": "a.example"}
    )
    page = f"/admin/accounts/secret/{Secret.objects.get().id}/change/"
    for form in ({"hosts": "evil.example"}, {"hosts": "http://evil.example", "value": VALUE}):
        assert operator.post(page, form).status_code == 200
        assert Secret.objects.get().hosts == ["a.example"]
    assert operator.post(page, {"hosts": "b.example", "value": "new value"}).status_code == 302
    opened = queries.open_secrets(workspace.id, ["crm"]).run()["crm"]
    assert (opened.value, opened.hosts) == ("new value", ("b.example",))


def test_the_admin_deletes_by_the_service(operator: Client, workspace: Workspace) -> None:
    other = create_workspace("Other", "other")
    for place in (workspace, other):
        form = {"workspace": place.id, "name": "crm", "value": VALUE, "hosts": "a.example"}
        operator.post("/admin/accounts/secret/add/", form)
    action = {"action": "delete_selected", "_selected_action": [Secret.objects.get(workspace=other).id], "post": "yes"}
    operator.post("/admin/accounts/secret/", action)
    assert Secret.objects.get().workspace_id == workspace.id
    assert AuditEntry.objects.filter(action="deleted", workspace=other).exists()
