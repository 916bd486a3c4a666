"""Secrets of webhooks: their form, how they are kept, and the server's key that is exchanged."""

import base64
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from standardwebhooks import Webhook

from accounts.services import put_secret
from accounts.vault import Unreadable
from core.ids import new_id
from tests.api import Api
from tests.webhooks.hooks import Hooks
from webhooks.models import Endpoint
from webhooks.signing import known_secret, new_secret, seal, secrets_of, unseal


def written(size: int) -> str:
    return "whsec_" + base64.b64encode(b"x" * size).decode()


def test_a_new_secret_is_one_that_the_library_takes_and_no_two_are_alike() -> None:
    secret = known_secret(new_secret())
    assert secret != new_secret()
    assert Webhook(secret).sign("m", timezone.now(), "{}").startswith("v1,")


@pytest.mark.parametrize("size", [24, 64])
def test_a_secret_has_24_to_64_bytes(size: int) -> None:
    assert known_secret(written(size)) == written(size)
    with pytest.raises(ValueError, match="24 to 64"):
        known_secret(written(size - 1 if size == 24 else size + 1))


@pytest.mark.parametrize(
    "text", ["", "whsec_", written(25).rstrip("="), written(24)[6:], "whsec_" + "_" * 40, "whsec_é"]
)
def test_what_receivers_could_not_read_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        known_secret(text)


def test_a_sealed_secret_is_of_one_endpoint_alone() -> None:
    workspace, endpoint = new_id(), new_id()
    sealed, former = seal(workspace, endpoint, "new"), seal(workspace, endpoint, "old")
    assert secrets_of(workspace, endpoint, sealed, None) == ["new"]
    assert secrets_of(workspace, endpoint, memoryview(sealed), memoryview(former)) == ["new", "old"]
    for place in ((workspace, new_id()), (new_id(), endpoint)):
        with pytest.raises(Unreadable):
            unseal(*place, sealed)


def test_the_servers_key_is_exchanged_for_webhooks_too(api: Api, hooks: Hooks, settings: Any) -> None:
    made = hooks.make()
    path = f"/webhooks/{made['id']}/rotate"
    rotated = api.post(path).json()["secret"]
    put_secret(api.identity, "crm", "a value", ["example.com"])
    hooks.make()
    former = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = ["n" * 32, *former]
    call_command("rotate_secrets", stdout=None)
    settings.ENCRYPTION_KEYS = ["n" * 32]
    row = Endpoint.objects.get(id=made["id"])
    assert secrets_of(row.workspace_id, row.pk, row.sealed_secret, row.previous_secret) == [rotated, made["secret"]]
    settings.ENCRYPTION_KEYS = former
    with pytest.raises(CommandError, match=f"webhook:{made['id']}"):
        call_command("rotate_secrets", stdout=None)
