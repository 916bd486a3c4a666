"""`/invitations/<token>`: the page where a person who was invited chooses a password."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user
from django.test import Client
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from accounts.authentication import WORKSPACE_CHOICE
from accounts.identity import EVERYTHING, Identity
from accounts.members import add_member, remove_member
from accounts.models import AuditEntry, Membership, Ticket, User, Workspace
from tests.accounts.conftest import ApiFor

GOOD = "my own long secret"
CHOICE = {"password": GOOD, "again": GOOD}


@pytest.fixture(autouse=True)
def _quick_hashes(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def admin(workspace: Workspace) -> Identity:
    return Identity(workspace.id, frozenset({EVERYTHING}), "user:ada")


@pytest.fixture
def invitation(admin: Identity) -> str:
    path = add_member(admin, "bob.miller", "editor")[1]
    assert path is not None
    return path


def test_the_page_says_what_it_is_and_who_invited(client: Client, invitation: str) -> None:
    page = client.get(invitation)
    assert page.status_code == 200
    for said in ("Welcome to Acme", "ada has invited you", "bob.miller", "editor"):
        assert said in page.text
    assert "<script" not in page.text.split("<body")[1]
    assert "no-store" in page["Cache-Control"]


def test_who_chooses_a_password_is_in(client: Client, invitation: str, workspace: Workspace) -> None:
    client.get(invitation)
    answer = client.post(invitation, CHOICE)
    assert (answer.status_code, answer["Location"]) == (302, "/console/")
    assert client.session[WORKSPACE_CHOICE] == str(workspace.id)
    bob = User.objects.get()
    assert get_user(client).pk == bob.pk  # type: ignore[arg-type]
    assert bob.check_password(GOOD)
    assert not Membership.objects.get().is_pending
    told = AuditEntry.objects.filter(actor="user:bob.miller").order_by("id")
    assert [(entry.action, entry.actor_id) for entry in told] == [("joined", bob.pk), ("signed_in", bob.pk)]


def test_it_works_once(client: Client, invitation: str) -> None:
    client.post(invitation, CHOICE)
    User.objects.update(password="!")  # not even where the password is gone again
    for answer in (Client().get(invitation), Client().post(invitation, CHOICE)):
        assert answer.status_code == 410
        assert "does not work any more" in answer.text


@pytest.mark.parametrize(
    ("password", "again", "message"),
    [
        (GOOD, GOOD + ".", "not the same"),
        ("short", "short", "at least 12 characters"),
        ("123456789012345", "123456789012345", "entirely numeric"),
        ("qazwsxedcrfv", "qazwsxedcrfv", "too common"),
        ("bob.miller12", "bob.miller12", "too similar"),
        ("", "", "at least 12 characters"),
        ("long secret" * 100, "long secret" * 100, "more than 1000"),
    ],
)
def test_a_weak_password_leaves_the_invitation(
    client: Client, invitation: str, password: str, again: str, message: str
) -> None:
    answer = client.post(invitation, {"password": password, "again": again})
    assert answer.status_code == 422
    assert message in answer.text
    assert not User.objects.get().has_usable_password()
    assert client.post(invitation, CHOICE).status_code == 302


def test_it_ends_after_seven_days(client: Client, invitation: str) -> None:
    left = Ticket.objects.get().expires_at - timezone.now()
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7, minutes=1)
    Ticket.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(invitation).status_code == 410


def test_it_ends_with_the_membership(client: Client, invitation: str, admin: Identity) -> None:
    remove_member(admin, Membership.objects.get().id)
    assert client.get(invitation).status_code == client.post(invitation, CHOICE).status_code == 410


def test_the_former_link_ends_with_a_new_one(client: Client, api_for: ApiFor) -> None:
    api: APIClient = api_for("*")
    made = api.post("/members", {"username": "bob"}, format="json").json()
    again = api.post(f"/members/{made['id']}/invitation").json()["invitation"]
    assert client.get(made["invitation"]).status_code == 410
    assert client.post(again, CHOICE).status_code == 302


def test_a_form_needs_its_token(invitation: str) -> None:
    assert Client(enforce_csrf_checks=True).post(invitation, CHOICE).status_code == 403


def test_who_was_signed_in_as_another_is_not_any_more(client: Client, invitation: str, person: User) -> None:
    client.force_login(person)
    client.post(invitation, CHOICE)
    assert str(get_user(client)) == "bob.miller"  # type: ignore[arg-type]
