"""The first rows: made once, found again ever after."""

from dataclasses import replace

import pytest

from accounts.identity import Identity
from accounts.models import ApiKey, Membership, Role, User, Workspace
from accounts.services import revoke_api_key
from assistants.models import Assistant
from config.bootstrap import bootstrap
from config.env import ENV

pytestmark = pytest.mark.django_db


def test_it_makes_what_a_newcomer_needs() -> None:
    made = bootstrap()
    workspace = Workspace.objects.get(slug="default")
    admin = User.objects.get(username="admin")
    assert made["admin_password"]
    assert admin.check_password(made["admin_password"])
    assert Membership.objects.get(user=admin, workspace=workspace).role == Role.ADMIN
    assert Assistant.objects.get(workspace=workspace).name == "Echo"
    assert ApiKey.objects.get(workspace=workspace).scopes == ["*"]


def test_repeated_it_gives_the_same_key_and_a_fresh_link() -> None:
    first, second = bootstrap(), bootstrap()
    assert first["api_key"] == second["api_key"]
    assert first["admin_password"] == second["admin_password"]
    assert first["sign_in_path"] != second["sign_in_path"]
    for model in (Workspace, User, ApiKey, Assistant):
        assert model.objects.count() == 1


def test_a_password_that_the_admin_chose_is_left_alone_and_not_shown() -> None:
    bootstrap()
    admin = User.objects.get(username="admin")
    admin.set_password("my own")
    admin.save()
    assert bootstrap()["admin_password"] is None
    admin.refresh_from_db()
    assert admin.check_password("my own")


def test_a_revoked_key_is_replaced() -> None:
    former = bootstrap()["api_key"]
    key = ApiKey.objects.get()
    revoke_api_key(Identity(key.workspace_id, frozenset({"*"}), "user:admin"), key.id)
    assert bootstrap()["api_key"] != former
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_a_deleted_demo_assistant_stays_deleted_beside_others() -> None:
    bootstrap()
    Assistant.objects.update(name="Mine")
    bootstrap()
    assert [assistant.name for assistant in Assistant.objects.all()] == ["Mine"]


def test_the_environments_password_takes_the_place_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap()
    monkeypatch.setattr("config.bootstrap.ENV", replace(ENV, admin_password="of the environment"))
    for _ in range(2):
        assert bootstrap()["admin_password"] == "of the environment"
        assert User.objects.get(username="admin").check_password("of the environment")
