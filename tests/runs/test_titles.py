"""A session without a title gets the one that middleware made."""

from typing import Any
from uuid import UUID

from sessions.models import Session
from tests.runs.hand import Hand
from tests.runs.worker import Tenant, in_thread


async def titles(tenant: Tenant, hand: Hand, session: UUID, *metadata: Any) -> list[str]:
    """The session's title after each step, which leaves this as its state's metadata."""
    await in_thread(tenant.run, session)
    held, found = await hand.claim(), []
    for changed in metadata:
        await held.says("Well,", **({} if changed is None else {"metadata": changed}))
        found.append((await in_thread(lambda: Session.objects.get(id=session))).title)
    return found


async def test_it_follows_the_first_title_while_the_run_goes_on(
    tenant: Tenant,
    hand: Hand,
    session: UUID,
    async_pool: None,
) -> None:
    steps = [None, {"other": 1}, {"conversation_title": "First"}, {"conversation_title": "Second"}]
    assert await titles(tenant, hand, session, *steps) == ["", "", "First", "First"]


async def test_it_keeps_the_title_that_its_client_gave(
    tenant: Tenant,
    hand: Hand,
    session: UUID,
    async_pool: None,
) -> None:
    await in_thread(lambda: Session.objects.filter(id=session).update(title="Mine"))
    assert await titles(tenant, hand, session, {"conversation_title": "Theirs"}) == ["Mine"]


async def test_what_is_no_title_is_passed_over(tenant: Tenant, hand: Hand, session: UUID, async_pool: None) -> None:
    steps = ["text", [1], {"conversation_title": None}, {"conversation_title": "x" * 300}]
    assert await titles(tenant, hand, session, *steps) == ["", "", "", "x" * 200]
