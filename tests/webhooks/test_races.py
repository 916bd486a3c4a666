"""A webhook that is deleted, or made, while something else happens: the second waits for the first."""

from uuid import UUID

import pytest

from accounts.identity import EVERYTHING, Identity
from accounts.models import Workspace
from core.errors import Conflict
from tests.races import meanwhile
from tests.webhooks.hooks import URL, tell_now
from webhooks import services
from webhooks.bodies import CreateWebhook
from webhooks.kinds import Kind
from webhooks.models import Delivery, DeliveryStatus, Endpoint

pytestmark = pytest.mark.django_db(transaction=True)
BODY = CreateWebhook(name="ops", url=URL, events=["run.failed"])


@pytest.fixture
def boss(transactional_db: None) -> Identity:
    workspace = Workspace.objects.create(name="Acme", slug="acme")
    return Identity(workspace.id, frozenset({EVERYTHING}), "key:tests")


def made(boss: Identity) -> UUID:
    return services.create_endpoint(boss, BODY)[0].pk


def test_what_is_told_while_somebody_deletes_the_webhook_does_not_wait_for_ever(boss: Identity) -> None:
    webhook = made(boss)
    second = meanwhile(
        lambda: tell_now(boss.workspace_id, Kind.RUN_FAILED, {}).run(), lambda: services.delete_endpoint(boss, webhook)
    )
    assert second.exception() is None
    assert Delivery.objects.get().status == DeliveryStatus.CANCELLED


def test_nothing_is_sent_again_to_a_webhook_that_somebody_deletes(boss: Identity) -> None:
    webhook = made(boss)
    delivery = services.send_test(boss, webhook)
    second = meanwhile(lambda: services.delete_endpoint(boss, webhook), lambda: services.redeliver(boss, delivery.pk))
    assert isinstance(second.exception(), Conflict)
    assert Delivery.objects.get().status == DeliveryStatus.CANCELLED


def test_the_last_place_is_given_once(boss: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MOST_ENDPOINTS", 1)
    second = meanwhile(lambda: made(boss), lambda: made(boss))
    assert isinstance(second.exception(), Conflict)
    assert Endpoint.objects.count() == 1
