"""An operation that begins a transaction on its way: what follows is kept as a whole, or not at all.

And one that has something done after its commit."""

import pytest
from django.db import connection, transaction

from accounts.models import Workspace
from core.db import BEGIN, After, Operation, Query, close_pool, open_pool, operation
from core.errors import Conflict
from core.ids import new_id

pytestmark = pytest.mark.django_db(transaction=True)


INSERT = "INSERT INTO workspaces (id, name, slug) VALUES (%(id)s, '', %(slug)s)"


def insert(slug: str) -> Query:
    return Query(INSERT, {"id": new_id(), "slug": slug})


@operation()
def three(*, fails: bool) -> Operation[str]:
    yield insert("before")
    yield BEGIN
    yield insert("after")
    yield BEGIN
    rows = yield Query("SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS is_open")
    if fails:
        raise Conflict
    return "kept" if rows[0]["is_open"] else "not in a transaction"


def slugs() -> set[str]:
    return set(Workspace.objects.values_list("slug", flat=True))


def test_with_djangos_connection() -> None:
    with pytest.raises(Conflict):
        three(fails=True).run()
    assert slugs() == {"before"}
    Workspace.objects.all().delete()
    assert three(fails=False).run() == "kept"
    assert slugs() == {"before", "after"}
    assert not connection.in_atomic_block


def test_inside_a_transaction_it_joins_that() -> None:
    with transaction.atomic():
        assert three(fails=False).run() == "kept"
        transaction.set_rollback(True)
    assert slugs() == set()


@pytest.mark.parametrize(("fails", "kept"), [(True, {"before"}), (False, {"before", "after"})])
async def test_with_the_async_pool(fails: bool, kept: set[str]) -> None:
    pool = await open_pool(size=1)
    try:
        if fails:
            with pytest.raises(Conflict):
                await three(fails=True).arun()
        else:
            assert await three(fails=False).arun() == "kept"
        async with pool.connection() as conn:
            rows = await (await conn.execute("SELECT slug FROM workspaces")).fetchall()
    finally:
        await close_pool()
    assert {row["slug"] for row in rows} == kept


# -- after the commit --------------------------------------------------------------------------------------------------


@operation(atomic=True)
def ringing(bell: list[str], *, fails: bool = False) -> Operation[None]:
    yield After(lambda: bell.append("rung"))
    yield insert("after")
    assert not bell
    if fails:
        raise Conflict


def test_what_comes_after_waits_for_the_outer_commit() -> None:
    bell: list[str] = []
    with transaction.atomic():
        ringing(bell).run()
        assert not bell
    assert bell == ["rung"]


def test_nothing_comes_after_what_is_rolled_back() -> None:
    bell: list[str] = []
    with pytest.raises(Conflict):
        ringing(bell, fails=True).run()
    assert not bell


@pytest.mark.parametrize(("fails", "rung"), [(True, []), (False, ["rung"])])
async def test_with_the_async_pool_it_is_the_same(fails: bool, rung: list[str]) -> None:
    bell: list[str] = []
    await open_pool(size=1)
    try:
        await ringing(bell, fails=fails).arun()
    except Conflict:
        assert fails
    finally:
        await close_pool()
    assert bell == rung


async def test_on_a_callers_connection_it_is_the_callers() -> None:
    bell: list[str] = []
    after: list[After] = []
    pool = await open_pool(size=1)
    try:
        async with pool.connection() as conn, conn.transaction():
            await ringing(bell).on(conn, after)
    finally:
        await close_pool()
    assert not bell
    assert len(after) == 1
