"""The store: documents under a namespace and a key."""

from typing import Any

import pytest
from django.db import connection

from core.errors import BadRequest, Invalid
from memory.items import Listing, Put, Search
from memory.models import StoreItem
from memory.services import Owner, delete_items, get_items, list_namespaces, put_items, search_items, sweep
from tests.api import Api


@pytest.fixture
def owner(api: Api) -> Owner:
    return Owner(api.workspace.id)


def put(owner: Owner, namespace: str, key: str, value: dict[str, Any] | None = None, ttl: float | None = None) -> None:
    put_items(owner, [Put(namespace.split("."), key, value or {}, ttl)]).run()


def get(owner: Owner, namespace: str, key: str, *, refresh: bool = True) -> Any:
    name = (tuple(namespace.split(".")), key)
    found = get_items(owner, [name], refresh_ttl=refresh).run()
    return found[name]["value"] if found else None


def keys(owner: Owner, prefix: str = "", **search: Any) -> list[str]:
    labels = prefix.split(".") if prefix else []
    return [row["key"] for row in search_items(owner, Search(labels, **search)).run()]


def namespaces(owner: Owner, **listing: Any) -> list[str]:
    return [".".join(labels) for labels in list_namespaces(owner, Listing(**listing)).run()]


def let_time_pass(minutes: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE store_items SET expires_at = expires_at - make_interval(secs => %s), "
            "created_at = created_at - make_interval(secs => %s)",
            [minutes * 60, minutes * 60],
        )


def test_what_is_put_is_got_and_a_second_put_replaces_it(owner: Owner) -> None:
    put(owner, "users.u1", "food", {"likes": "rice"})
    put(owner, "users.u1", "food", {"likes": "figs"})
    assert get(owner, "users.u1", "food") == {"likes": "figs"}
    row = StoreItem.objects.get()
    assert row.created_at < row.updated_at


def test_of_two_under_one_name_at_once_the_last_stays(owner: Owner) -> None:
    put_items(owner, [Put(["a"], "k", {"n": 1}), Put(["a"], "k", {"n": 2})]).run()
    assert get(owner, "a", "k") == {"n": 2}


def test_what_is_deleted_is_gone_and_again_without_effect(owner: Owner) -> None:
    put(owner, "a", "k")
    assert delete_items(owner, [(("a",), "k")]).run() == 1
    assert delete_items(owner, [(("a",), "k")]).run() == 0
    assert get(owner, "a", "k") is None


def test_each_user_and_each_workspace_has_a_store_of_its_own(owner: Owner, stranger: Api) -> None:
    put(owner, "a", "k", {"whose": "all"})
    ann = Owner(owner.workspace_id, "ann")
    put(ann, "a", "k", {"whose": "ann"})
    assert get(owner, "a", "k") == {"whose": "all"}
    assert get(ann, "a", "k") == {"whose": "ann"}
    assert get(Owner(stranger.workspace.id), "a", "k") is None
    assert keys(Owner(owner.workspace_id, "bob")) == []
    assert namespaces(Owner(stranger.workspace.id)) == []


def test_text_that_postgresql_cannot_store_is_cleaned_in_names_too(owner: Owner) -> None:
    put(owner, "a\x00", "k\x00", {"t": "x\x00"})
    assert get(owner, "a\x00", "k\x00") == {"t": "x\ufffd"}
    assert keys(owner, "a\x00") == ["k\ufffd"]


# -- searching ---------------------------------------------------------------------------------------------------------


def test_a_search_is_by_whole_labels_and_gives_what_changed_last_first(owner: Owner) -> None:
    for namespace, key in [("users.u1", "old"), ("users.u1.deep", "new"), ("users.u10", "other"), ("user", "none")]:
        put(owner, namespace, key)
    assert keys(owner, "users.u1") == ["new", "old"]
    assert keys(owner, "users") == ["other", "new", "old"]
    assert keys(owner, limit=2, offset=1) == ["other", "new"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"n": 3}, "c"),
        ({"n": {"$eq": 3}}, "c"),
        ({"n": {"$ne": 3}}, "ab"),
        ({"n": {"$gt": 1}}, "bc"),
        ({"n": {"$gte": 1, "$lt": 3}}, "ab"),
        ({"n": {"$lte": 2}}, "ab"),
        ({"n": 10, "t": "x"}, ""),
        ({"t": {"$gt": "w"}}, "a"),
        ({"t": {"$gt": 0}}, ""),
        ({"d": {"in": 1}}, "a"),
        ({"d": {"in": {"$gte": 2}}}, "b"),
        ({"l": [1, 2]}, "a"),
        ({"l": [1]}, ""),
        ({"none": None}, "b"),
        ({"t' OR true --": 1}, ""),
    ],
)
def test_filters(owner: Owner, wanted: dict[str, Any], found: str) -> None:
    put(owner, "f", "a", {"n": 1, "t": "x", "d": {"in": 1, "and": 0}, "l": [1, 2]})
    put(owner, "f", "b", {"n": 2, "d": {"in": 2}, "none": None})
    put(owner, "f", "c", {"n": 3, "d": 5})
    put(owner, "f", "d", {})
    assert "".join(sorted(keys(owner, "f", filter=wanted))) == found


def test_an_unknown_operator_is_refused(owner: Owner) -> None:
    with pytest.raises(BadRequest, match=r"Unsupported operator: \$foo"):
        keys(owner, filter={"n": {"$foo": 1}})


# -- namespaces --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listing", "found"),
    [
        ({}, ["a", "users.u1.food", "users.u1.work", "users.u2.food"]),
        ({"prefix": ["users", "u1"]}, ["users.u1.food", "users.u1.work"]),
        ({"prefix": ["*", "u2"]}, ["users.u2.food"]),
        ({"prefix": ["users", "*", "food"]}, ["users.u1.food", "users.u2.food"]),
        ({"suffix": ["food"]}, ["users.u1.food", "users.u2.food"]),
        ({"suffix": ["u1", "*"]}, ["users.u1.food", "users.u1.work"]),
        ({"max_depth": 1}, ["a", "users"]),
        ({"prefix": ["users"], "max_depth": 2}, ["users.u1", "users.u2"]),
        ({"limit": 1, "offset": 1}, ["users.u1.food"]),
        ({"prefix": ["users", "u1", "food", "more"]}, []),
    ],
)
def test_namespaces_are_those_that_have_items(owner: Owner, listing: dict[str, Any], found: list[str]) -> None:
    for namespace in ("users.u1.food", "users.u1.work", "users.u2.food", "a"):
        put(owner, namespace, "k")
    get(owner, "phantom", "k")
    assert namespaces(owner, **listing) == found


# -- time to live ------------------------------------------------------------------------------------------------------


def test_what_has_run_out_is_not_there_before_it_is_swept(owner: Owner) -> None:
    put(owner, "a", "short", {}, ttl=5)
    put(owner, "a", "long", {}, ttl=60)
    put(owner, "b", "for good")
    let_time_pass(6)
    assert get(owner, "a", "short") is None
    assert keys(owner) == ["for good", "long"]
    assert sweep(batch=1, batches=3) == 1
    assert StoreItem.objects.count() == 2


def test_a_namespace_whose_items_have_run_out_is_not_listed(owner: Owner) -> None:
    put(owner, "a", "k", ttl=1)
    let_time_pass(2)
    assert namespaces(owner) == []


def test_what_takes_the_place_of_something_run_out_is_new(owner: Owner) -> None:
    put(owner, "a", "k", ttl=1)
    let_time_pass(2)
    put(owner, "a", "k")
    row = StoreItem.objects.get()
    assert (row.updated_at - row.created_at).total_seconds() < 60
    assert row.expires_at is None


@pytest.mark.parametrize("reading", ["get", "search"])
@pytest.mark.parametrize("refresh", [True, False])
def test_reading_begins_the_time_anew_unless_told_not_to(owner: Owner, reading: str, refresh: bool) -> None:
    put(owner, "a", "k", {"x": 1}, ttl=10)
    let_time_pass(8)
    if reading == "get":
        assert get(owner, "a", "k", refresh=refresh) == {"x": 1}
    else:
        assert keys(owner, refresh_ttl=refresh) == ["k"]
    let_time_pass(8)
    assert (get(owner, "a", "k") is not None) == refresh


# -- what no item has --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("namespace", "key", "error"),
    [
        ([], "k", BadRequest),
        (["langgraph"], "k", BadRequest),
        (["a", ""], "k", Invalid),
        (["a.b"], "k", Invalid),
        (["a"], "k" * 1_025, Invalid),
        (["a"] * 33, "k", Invalid),
    ],
)
def test_names_that_no_item_may_have(owner: Owner, namespace: list[str], key: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        put_items(owner, [Put(namespace, key, {})]).run()


def test_a_name_of_the_longest_kind_fits_the_index(owner: Owner) -> None:
    longest = Owner(owner.workspace_id, "\N{GRINNING FACE}" * 255)
    namespace = [chr(0x4E00 + i) for i in range(32)]
    put_items(longest, [Put(namespace, "".join(chr(0x5000 + i) for i in range(309)), {})]).run()
    assert keys(longest, limit=1) != []


@pytest.mark.parametrize("ttl", [0, -1, 1e12, float("nan")])
def test_times_to_live_that_are_none(owner: Owner, ttl: float) -> None:
    with pytest.raises(Invalid, match="ttl"):
        put(owner, "a", "k", ttl=ttl)


def test_a_value_has_an_end(owner: Owner) -> None:
    with pytest.raises(Invalid, match="bytes at most"):
        put(owner, "a", "k", {"t": "x" * 1_048_576})
