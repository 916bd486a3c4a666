"""Several who call at once, and somebody who deletes what is called."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.db import connection, transaction
from standardwebhooks.webhooks import Webhook

from core.errors import Unauthenticated
from core.ids import new_id
from runs.deletion import delete_assistant_for_good
from runs.models import Run
from scheduling.models import TriggerCall
from scheduling.trigger_bodies import CreateTrigger
from scheduling.trigger_calls import Started, call
from scheduling.triggers import create_trigger
from tests.runs.worker import Tenant

pytestmark = pytest.mark.django_db(transaction=True)
BODY = '{"message": "Hello"}'


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    return Tenant.make()


def caller(tenant: Tenant, session_id: UUID | None = None) -> Callable[[str], Started]:
    """Who makes signed calls of a new trigger, each with its delivery's id."""
    body = CreateTrigger(name="ci", session_id=str(session_id) if session_id else None)  # type: ignore[arg-type]
    trigger, secret = create_trigger(tenant.identity, tenant.assistant, body, new_id())

    def knock(delivery: str) -> Started:
        at = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign(delivery, at, BODY),
        }
        try:
            return call(trigger.token, headers, BODY.encode(), "127.0.0.1")
        finally:
            connection.close()

    return knock


def waiting() -> int:
    """How many wait for somebody else's lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("in_one_session", [False, True])
def test_of_a_delivery_that_comes_many_times_at_once_there_is_one_run(tenant: Tenant, in_one_session: bool) -> None:
    knock = caller(tenant, tenant.session() if in_one_session else None)
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(knock, ["a", "b"] * 4))
    assert len({answer.run_id for answer in started}) == Run.objects.count() == TriggerCall.objects.count() == 2
    assert sorted(answer.replayed for answer in started) == [False] * 2 + [True] * 6


def test_calls_of_an_assistant_that_is_being_deleted_wait_and_are_refused(tenant: Tenant) -> None:
    knock = caller(tenant)
    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            delete_assistant_for_good(tenant.identity, tenant.assistant)
            called = [pool.submit(knock, delivery) for delivery in "ab"]
            while waiting() < 2 and not any(answer.done() for answer in called):
                time.sleep(0.01)
        assert [type(answer.exception(60)) for answer in called] == [Unauthenticated] * 2
    assert not Run.objects.exists()
