"""Lists: pages, cursors, totals and what a query may hold."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from django.http import QueryDict
from pytest_django import DjangoAssertNumQueries

from accounts.models import ApiKey, Role, Workspace
from core import pagination
from core.errors import Invalid
from core.pagination import Filter, Listing, choices, flag, identifier, paginate, read_no_query, read_option, text

LISTING = Listing(
    orderings={"created_at": ("created_at", "id"), "digest": ("digest",)},
    default="-created_at",
    filters={
        "name": Filter("name__icontains", text),
        "workspace_id": Filter("workspace_id", identifier),
        "revoked": Filter("revoked_at__isnull", flag),
        "role": Filter("name__in", choices(Role)),
    },
)

ID = "0190a0a0-0000-7000-8000-000000000001"

Ask = Callable[[str], dict[str, Any]]


@pytest.fixture
def ask(db: None) -> Ask:
    """Seven keys, the newest is number 6."""
    workspace = Workspace.objects.create(name="W", slug="w")
    for number in range(7):
        ApiKey.objects.create(workspace=workspace, name=f"Key {number}", prefix="sk", digest=str(number))

    def page(query: str) -> dict[str, Any]:
        return paginate(ApiKey.objects.all(), LISTING.read(QueryDict(query)), lambda key: key.name[-1])

    return page


def test_the_newest_come_first(ask: Ask) -> None:
    page = ask("limit=3")
    assert page.pop("next_cursor")
    assert page == {"items": ["6", "5", "4"], "total": 7, "total_exact": True, "limit": 3, "offset": 0}


def test_an_offset_skips(ask: Ask) -> None:
    assert ask("offset=5")["items"] == ["1", "0"]
    assert ask("offset=50") == {
        "items": [], "total": 7, "total_exact": True, "limit": 20, "offset": 50, "next_cursor": None
    }  # fmt: skip


@pytest.mark.parametrize("ordering", ["", "&ordering=created_at", "&ordering=digest", "&ordering=-digest"])
def test_cursors_walk_the_whole_list_once(ask: Ask, ordering: str) -> None:
    page = ask(f"limit=2{ordering}")
    seen = page["items"]
    while page["next_cursor"]:
        page = ask(f"limit=2{ordering}&cursor={page['next_cursor']}")
        seen += page["items"]
    assert seen == ask(f"limit=100{ordering}")["items"]
    assert len(seen) == 7


def test_equal_moments_are_told_apart_by_id(ask: Ask) -> None:
    moment = ApiKey.objects.order_by("created_at").values_list("created_at", flat=True)[0]
    ApiKey.objects.update(created_at=moment)
    first = ask("limit=4")
    rest = ask(f"limit=4&cursor={first['next_cursor']}")
    assert sorted(first["items"] + rest["items"]) == list("0123456")


def test_filters(ask: Ask) -> None:
    assert ask("name=KEY%203")["items"] == ["3"]
    assert ask("role=member,admin")["items"] == []
    assert ask("revoked=false")["total"] == 0


def test_a_page_costs_two_queries_at_any_depth(ask: Ask, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    cursor = ask("limit=2")["next_cursor"]
    with django_assert_num_queries(2):
        ask(f"limit=2&cursor={cursor}")


def test_a_total_stops_counting(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagination, "MAX_TOTAL", 5)
    page = ask("limit=2")
    assert (page["total"], page["total_exact"]) == (5, False)


def cursor_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%D9%A1", "limit"),  # a digit, but not ours
        ("limit=1&limit=2", "limit"),
        ("offset=-1", "offset"),
        ("offset=10001", "offset"),
        ("page=2", "page"),
        ("ordering=name", "ordering"),
        ("ordering=--created_at", "ordering"),
        ("ordering=workspace__name", "ordering"),
        ("role=owner", "role"),
        ("role=", "role"),
        ("revoked=yes", "revoked"),
        ("workspace_id=x", "workspace_id"),
        ("offset=1&cursor=x", "offset"),
        ("cursor=", "cursor"),
        ("cursor=%FF", "cursor"),
        ("cursor=a", "cursor"),
        ("cursor=" + "a" * 4000, "cursor"),
        ("cursor=" + cursor_of("{}"), "cursor"),
        ("cursor=" + cursor_of('["-created_at"]'), "cursor"),
        ("cursor=" + cursor_of('["-created_at", "x", "y"]'), "cursor"),
        ("cursor=" + cursor_of('["-created_at", null, null]'), "cursor"),
        ("cursor=" + cursor_of('["-created_at", [], {}]'), "cursor"),
        ("cursor=" + cursor_of(f'["-created_at", "2026-01-01T00:00:00", "{ID}"]'), "cursor"),  # no time zone
        ("cursor=" + cursor_of(f'["created_at", "2026-01-01T00:00:00Z", "{ID}"]'), "cursor"),  # another ordering
    ],
)  # fmt: skip
def test_a_bad_query_is_invalid(ask: Ask, query: str, name: str) -> None:
    with pytest.raises(Invalid) as fault:
        ask(query)
    assert fault.value.errors[0].loc == ("query", name)


def test_every_fault_is_named() -> None:
    with pytest.raises(Invalid) as fault:
        LISTING.read(QueryDict("limit=0&page=1"))
    assert [error.loc[1] for error in fault.value.errors] == ["page", "limit"]


def test_a_route_without_query_keys_refuses_any() -> None:
    read_no_query(QueryDict(""))
    with pytest.raises(Invalid):
        read_no_query(QueryDict("x=1"))


@pytest.mark.parametrize(("query", "value"), [("", "none"), ("x=true", True), ("x=false", False)])
def test_a_route_with_one_query_key_reads_it(query: str, value: Any) -> None:
    assert read_option(QueryDict(query), "x", flag, "none") == value


@pytest.mark.parametrize(("query", "name"), [("x=1", "x"), ("x=true&x=true", "x"), ("x=true&y=1", "y")])
def test_and_refuses_all_else(query: str, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_option(QueryDict(query), "x", flag, None)
    assert [error.loc for error in refused.value.errors] == [("query", name)]
