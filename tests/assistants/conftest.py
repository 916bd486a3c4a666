"""A workspace of its own for every test, and bodies to start from."""

from typing import Any

import pytest

from accounts.identity import Identity
from accounts.models import Workspace

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
