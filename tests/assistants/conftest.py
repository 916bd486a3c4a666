"""A workspace of its own for every test, and bodies to start from."""

from typing import Any

import pytest
from django.test import Client

from accounts.identity import Identity
from accounts.models import Membership, Role, User, Workspace

ECHO: dict[str, Any] = {"provider": "fake", "model": "echo"}


@pytest.fixture
def body() -> dict[str, Any]:
    """The least that makes an assistant."""
    return {"name": "helper", "llm": dict(ECHO)}


@pytest.fixture
def identity(db: None) -> Identity:
    workspace = Workspace.objects.create(name="Ours", slug="ours")
    return Identity(workspace.id, frozenset({"*"}), "key:tests")


@pytest.fixture
def stranger(db: None) -> Identity:
    workspace = Workspace.objects.create(name="Theirs", slug="theirs")
    return Identity(workspace.id, frozenset({"*"}), "key:stranger")


@pytest.fixture
def admin(db: None) -> Client:
    """Who may do everything in the admin."""
    client = Client()
    client.force_login(User.objects.create_superuser("admin", password="admin"))
    return client


@pytest.fixture
def onlooker(identity: Identity) -> Client:
    """Who may look at assistants in the admin, and change none."""
    person = User.objects.create_user("onlooker", is_staff=True)
    Membership.objects.create(workspace_id=identity.workspace_id, user=person, role=Role.OPERATOR)
    client = Client()
    client.force_login(person)
    return client
