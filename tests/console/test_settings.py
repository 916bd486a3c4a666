"""The pages of keys, members, secrets and the audit trail: who sees them, and what their forms do."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import ApiKey, AuditEntry, Membership, Role, Secret, User, Workspace
from accounts.services import create_api_key, create_workspace, put_secret
from core.ids import new_id
from tests.api import UNKNOWN, Api
from tests.console.conftest import Person

SETTINGS = "/console/settings"
LISTS = ["keys", "members", "secrets", "audit"]
FORMS = ["keys/new", "members/new", "new-secret"]
KEY_TEXT = re.compile(r"sk_[0-9a-f]{12}_[0-9a-f]{40}")
LINK = re.compile(r"http://testserver/invitations/[\w-]+")
NEW_KEY = {"name": "ci", "scopes": ["runs:read"], "life": "90"}


@pytest.fixture
def root(workspace: Workspace) -> Person:
    """An admin of the workspace."""
    return Person(workspace, "root", Role.ADMIN)


@pytest.fixture
def stranger(db: None) -> Api:
    return Api(create_workspace("Elsewhere", "elsewhere"))


def send(person: Person, page: str, once: Any = None, **fields: Any) -> Any:
    """Send a page's form, which carries the token that was made when it was drawn."""
    return person.client.post(f"{SETTINGS}/{page}", {"once": once or new_id(), **fields})


def key_of(workspace: Workspace, name: str = "ci", **changes: Any) -> ApiKey:
    key, _ = create_api_key(workspace, name, ["runs:read"])
    ApiKey.objects.filter(id=key.id).update(**changes)
    key.refresh_from_db()
    return key


# -- who -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*LISTS, *FORMS])
def test_pages_are_an_admins(root: Person, page: str) -> None:
    answer = root.get(f"{SETTINGS}/{page}")
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    assert answer.text.count("<h1>") == 1


@pytest.mark.parametrize("role", [Role.MEMBER, Role.EDITOR, Role.OPERATOR])
@pytest.mark.parametrize("page", [*LISTS, *FORMS])
def test_others_are_told_which_role_it_needs_and_whom_to_ask(
    workspace: Workspace, root: Person, role: Role, page: str
) -> None:
    person = Person(workspace, "eve", role)
    for answer in (
        person.client.get(f"{SETTINGS}/{page}", headers={"accept": "text/html"}),
        person.client.post(f"{SETTINGS}/{page}", NEW_KEY, headers={"accept": "text/html"}),
    ):
        assert answer.status_code in {403, 405}
    refused = person.client.get(f"{SETTINGS}/{page}", headers={"accept": "text/html"}).text
    assert "It needs the Admin role in Acme. Ask root." in refused
    assert SETTINGS not in person.get("/console/chat").text


def test_the_rail_offers_them_to_admins(root: Person) -> None:
    page = root.get("/console/chat").text
    for name in LISTS:
        assert f'href="{SETTINGS}/{name}"' in page


def test_without_a_login_one_is_led_to_it(client: Any, db: None) -> None:
    assert client.get(f"{SETTINGS}/keys")["Location"] == f"/login?next={SETTINGS}/keys"


def test_another_workspaces_things_are_not_found(root: Person, stranger: Api) -> None:
    key = key_of(stranger.workspace)
    member = Membership.objects.create(workspace=stranger.workspace, user=User.objects.create_user("mallory"))
    put_secret(stranger.identity, "crm", "a value", ["crm.example.com"])
    pages = [
        *(f"keys/{key.id}/{act}" for act in ("rotate", "revoke")),
        *(f"members/{member.id}/{act}" for act in ("role", "remove", "invite")),
        "secrets/crm",
        "secrets/crm/delete",
    ]
    for page in pages:
        assert root.get(f"{SETTINGS}/{page}").status_code == 404
        assert send(root, page, name="crm", role="admin", hours="0").status_code in {302, 404}
    key.refresh_from_db()
    member.refresh_from_db()
    assert (key.revoked_at, key.expires_at, member.role) == (None, None, "member")
    assert Secret.objects.filter(workspace=stranger.workspace).exists()
    for name in LISTS:
        page = root.get(f"{SETTINGS}/{name}").text
        assert "mallory" not in page
        assert key.prefix not in page


# -- keys ------------------------------------------------------------------------------------------------------------


def test_a_new_key_is_shown_once(root: Person, workspace: Workspace) -> None:
    form = root.get(f"{SETTINGS}/keys/new").text
    assert "checked" not in form
    assert '<option value="90" selected>' in form
    token = new_id()
    first = send(root, "keys/new", token, **NEW_KEY)
    (text,) = KEY_TEXT.findall(first.text)
    assert "no-store" in first["Cache-Control"]
    key = ApiKey.objects.get()
    assert (key.name, key.scopes, key.created_by) == ("ci", ["runs:read"], "user:root")
    assert key.expires_at is not None
    assert timedelta(days=89) < key.expires_at - timezone.now() < timedelta(days=91)
    # A reload sends the form again: nothing is made, and nothing shown.
    again = send(root, "keys/new", token, **NEW_KEY)
    assert not KEY_TEXT.search(again.text)
    assert ApiKey.objects.count() == 1
    assert text not in root.get(f"{SETTINGS}/keys").text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": " "}, "Name: "),
        ({"scopes": []}, "Tick what the key may do."),
        ({"scopes": ["runs:fly"]}, "Not a scope"),
        ({"life": "1000000"}, "Choose when the key ends."),
        ({"name": "x" * 201}, "Name: "),
        ({"user_id": "x" * 256}, "User id: "),
    ],
)
def test_a_form_that_is_wrong_says_so_and_keeps_what_was_typed(
    root: Person, fields: dict[str, Any], message: str
) -> None:
    answer = send(root, "keys/new", **{**NEW_KEY, "name": "my key", **fields})
    assert answer.status_code == 422
    assert message in answer.text
    assert fields.get("name", "my key").strip() in answer.text
    assert not ApiKey.objects.exists()


def test_a_form_without_its_token_does_nothing(root: Person) -> None:
    assert root.client.post(f"{SETTINGS}/keys/new", NEW_KEY).status_code == 422
    assert not ApiKey.objects.exists()


def test_rotation_links_both_keys_and_lets_the_old_one_go_on(root: Person, workspace: Workspace) -> None:
    old = key_of(workspace)
    assert 'value="24"' in root.get(f"{SETTINGS}/keys/{old.id}/rotate").text
    answer = send(root, f"keys/{old.id}/rotate", hours="48")
    assert len(KEY_TEXT.findall(answer.text)) == 1
    new = ApiKey.objects.exclude(id=old.id).get()
    old.refresh_from_db()
    assert new.rotated_from == old
    assert old.expires_at
    assert timedelta(hours=47) < old.expires_at - timezone.now() < timedelta(hours=49)
    listed = root.get(f"{SETTINGS}/keys").text
    assert f'replaced by <a href="#key-{new.id}">' in listed
    assert f'in the place of <a href="#key-{old.id}">' in listed


@pytest.mark.parametrize("hours", ["", "-1", "1.5", "169", "x", "٣"])
def test_an_overlap_is_a_number_of_hours(root: Person, workspace: Workspace, hours: str) -> None:
    key = key_of(workspace)
    assert send(root, f"keys/{key.id}/rotate", hours=hours).status_code == 422
    assert ApiKey.objects.count() == 1


def test_a_key_is_revoked(root: Person, workspace: Workspace) -> None:
    key = key_of(workspace)
    assert "has never been used" in root.get(f"{SETTINGS}/keys/{key.id}/revoke").text
    token = new_id()
    for _ in range(2):
        assert send(root, f"keys/{key.id}/revoke", token)["Location"] == f"{SETTINGS}/keys"
    assert AuditEntry.objects.filter(action="revoked").count() == 1
    page = root.get(f"{SETTINGS}/keys").text
    assert "is revoked" in page
    assert f'id="key-{key.id}"' not in page
    assert f'id="key-{key.id}"' in root.get(f"{SETTINGS}/keys?show=ended").text


def test_of_a_key_in_use_the_name_is_typed(root: Person, workspace: Workspace) -> None:
    key = key_of(workspace, last_used_at=timezone.now() - timedelta(hours=23))
    assert "It is in use" in root.get(f"{SETTINGS}/keys/{key.id}/revoke").text
    assert send(root, f"keys/{key.id}/revoke", name="other").status_code == 422
    key.refresh_from_db()
    assert key.revoked_at is None
    assert send(root, f"keys/{key.id}/revoke", name="ci").status_code == 302
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_what_should_worry_one_is_said(root: Person, workspace: Workspace) -> None:
    now = timezone.now()
    key_of(workspace, "old", created_at=now - timedelta(days=40))
    key_of(workspace, "short", expires_at=now + timedelta(days=3, hours=1))
    page = root.get(f"{SETTINGS}/keys").text
    assert "Never used in 40 days" in page
    assert "Expires in 3 d" in page
    assert page.count("No expiry") == 1


def test_what_a_key_may_take_is_said(root: Person, workspace: Workspace) -> None:
    key_of(workspace, limits={"requests_per_minute": 1200, "streams": 4})
    assert "requests per minute: 1,200, streams: 4" in root.get(f"{SETTINGS}/keys").text


def test_names_are_shown_as_text(root: Person, workspace: Workspace) -> None:
    hostile = "<script>alert(1)</script>{{ 7*7 }}"
    key = key_of(workspace, hostile)
    for page in ("keys", f"keys/{key.id}/rotate", f"keys/{key.id}/revoke"):
        shown = root.get(f"{SETTINGS}/{page}").text
        assert "<script>alert" not in shown
        assert "{{ 7*7 }}" in shown


# -- members ---------------------------------------------------------------------------------------------------------


def test_a_new_person_gets_a_link_which_is_shown_once(root: Person, workspace: Workspace) -> None:
    token = new_id()
    page = send(root, "members/new", token, username="zoe", role="editor")
    assert len(set(LINK.findall(page.text))) == 1
    assert not LINK.search(send(root, "members/new", token, username="zoe", role="editor").text)
    member = Membership.objects.get(user__username="zoe")
    assert (member.role, member.workspace) == ("editor", workspace)
    assert "Invited, has not come yet" in root.get(f"{SETTINGS}/members").text
    renewed = send(root, f"members/{member.id}/invite")
    assert set(LINK.findall(renewed.text)) != set(LINK.findall(page.text))


def test_a_known_person_is_added_at_once(root: Person) -> None:
    User.objects.create_user("bob", password="a long password")
    answer = send(root, "members/new", username="bob", role="member")
    assert answer["Location"] == f"{SETTINGS}/members"
    assert "bob is Member of this workspace now." in root.get(f"{SETTINGS}/members").text
    refused = send(root, "members/new", username="bob", role="member")
    assert refused.status_code == 409
    assert "is a member already" in refused.text


def test_roles_are_told_in_words_and_changed(root: Person, ada: Person) -> None:
    member = Membership.objects.get(user=ada.user)
    page = root.get(f"{SETTINGS}/members/{member.id}/role").text
    assert page.count('type="radio"') == len(Role)
    assert "Looks at everything and stops runs" in page
    assert send(root, f"members/{member.id}/role", role="operator").status_code == 302
    member.refresh_from_db()
    assert member.role == "operator"
    assert send(root, f"members/{member.id}/role", role="king").status_code == 422


def test_a_person_is_removed_and_two_clicks_are_one(root: Person, ada: Person) -> None:
    member = Membership.objects.get(user=ada.user)
    assert "Remove ada?" in root.get(f"{SETTINGS}/members/{member.id}/remove").text
    token = new_id()
    for _ in range(2):
        assert send(root, f"members/{member.id}/remove", token).status_code == 302
    assert not Membership.objects.filter(user=ada.user).exists()


def test_the_last_admin_stays(root: Person) -> None:
    member = Membership.objects.get(user=root.user)
    for act, fields in (("role", {"role": "member"}), ("remove", {})):
        answer = send(root, f"members/{member.id}/{act}", **fields)
        assert answer.status_code == 409
        assert "last admin" in answer.text


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_is_set_replaced_and_deleted_and_never_shown(root: Person) -> None:
    value = "a value that nobody reads"
    shown = [send(root, "new-secret", name="crm", value=value, hosts="crm.example.com, b.example.com")]
    assert list(Secret.objects.values_list("name", "hosts")) == [("crm", ["crm.example.com", "b.example.com"])]
    shown += [root.get(f"{SETTINGS}/{page}") for page in ("secrets", "secrets/crm", "secrets/crm/delete")]
    shown.append(send(root, "secrets/crm", value=value, hosts=""))
    assert shown[-1].status_code == 422
    shown.append(send(root, "secrets/crm", value=value, hosts="c.example.com"))
    assert Secret.objects.get().hosts == ["c.example.com"]
    assert not any(value in answer.text for answer in shown)
    assert send(root, "secrets/crm/delete", name="other").status_code == 422
    token = new_id()
    for _ in range(2):
        assert send(root, "secrets/crm/delete", token, name="crm").status_code == 302
    assert not Secret.objects.exists()


def test_a_new_secret_overwrites_none(root: Person) -> None:
    token = new_id()
    fields = {"name": "crm", "value": "one value", "hosts": "crm.example.com"}
    for _ in range(2):
        assert send(root, "new-secret", token, **fields).status_code == 302
    assert send(root, "new-secret", **{**fields, "hosts": "evil.example.com"}).status_code == 409
    assert Secret.objects.get().hosts == ["crm.example.com"]


# -- audit -----------------------------------------------------------------------------------------------------------


def test_the_trail_tells_who_did_what_and_is_filtered_by_its_address(root: Person, workspace: Workspace) -> None:
    send(root, "keys/new", **NEW_KEY)
    send(root, "members/new", username="zoe", role="editor")
    page = root.get(f"{SETTINGS}/audit").text
    assert "api key" in page
    assert "name: ci" in page
    assert "username: zoe" in page
    filtered = root.get(f"{SETTINGS}/audit?actor=user%3Aroot&subject_type=membership&action=&subject_id=").text
    assert "username: zoe" in filtered
    assert "name: ci" not in filtered
    assert 'value="membership"' in filtered
    assert "Nothing matches: actor user:nobody" in root.get(f"{SETTINGS}/audit?actor=user:nobody").text


@pytest.mark.parametrize("query", ["subject_id=x", "cursor=x", "unknown=1", f"actor=a&actor=b&subject_id={UNKNOWN}"])
def test_an_address_that_means_nothing_is_refused(root: Person, query: str) -> None:
    assert root.get(f"{SETTINGS}/audit?{query}").status_code == 422


def test_older_entries_are_reached_by_a_cursor_with_the_filters_kept(root: Person, workspace: Workspace) -> None:
    AuditEntry.objects.bulk_create(
        AuditEntry(workspace=workspace, actor="key:ci", action="made", subject_type="thing", subject_id=new_id())
        for _ in range(60)
    )
    page = root.get(f"{SETTINGS}/audit?actor=key:ci").text
    assert page.count("<tr>") == 51
    assert "50 shown · 60 match" in page
    (older,) = re.findall(r'href="(\?[^"]*cursor=[^"]*)">Older', page)
    assert "actor=key%3Aci" in older
    last = root.get(f"{SETTINGS}/audit{older.replace('&amp;', '&')}").text
    assert last.count("<tr>") == 11
    assert "Older" not in last
    assert f'href="{SETTINGS}/audit?actor=key%3Aci">Newest' in last


@pytest.mark.parametrize("page", LISTS)
def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(
    root: Person, workspace: Workspace, page: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(8):
        key_of(workspace, f"key {number}")
        Membership.objects.create(workspace=workspace, user=User.objects.create_user(f"person {number}"))
        send(root, "new-secret", name=f"s{number}", value="a value", hosts="a.example.com")
    # Three of them say who asks, one what stands around the page.
    with django_assert_max_num_queries(8):
        assert root.get(f"{SETTINGS}/{page}").text.count("<tr") > 8
