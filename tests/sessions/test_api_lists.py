"""Lists of sessions: filters, pages, and what they cost."""

from typing import Any
from uuid import uuid4

import pytest
from pytest_django import DjangoAssertNumQueries

from sessions.models import Session
from tests.api import Api, assert_refused


def test_the_newest_comes_first(api: Api) -> None:
    assistant = api.assistant()
    ids = [api.session(assistant) for _ in range(3)]
    assert [session["id"] for session in api.items("/sessions")] == ids[::-1]
    assert [session["id"] for session in api.items("/sessions", ordering="created_at")] == ids


def test_pages_by_offset_and_by_cursor(api: Api) -> None:
    assistant = api.assistant()
    ids = [api.session(assistant) for _ in range(3)][::-1]
    first = api.get("/sessions", limit=2).json()
    assert set(first) == {"items", "total", "total_exact", "limit", "offset", "next_cursor"}
    assert ([s["id"] for s in first["items"]], first["total"], first["total_exact"]) == (ids[:2], 3, True)
    second = api.get("/sessions", limit=2, cursor=first["next_cursor"]).json()
    assert ([s["id"] for s in second["items"]], second["next_cursor"]) == (ids[2:], None)
    assert [s["id"] for s in api.items("/sessions", limit=2, offset=2)] == ids[2:]


def test_filters(api: Api) -> None:
    first, second = api.assistant(), api.assistant()
    anns, other = api.session(first, user_id="ann"), api.session(second)
    api.delete(f"/sessions/{other}")
    assert [s["id"] for s in api.items("/sessions", assistant_id=first)] == [anns]
    assert [s["id"] for s in api.items("/sessions", user_id="ann")] == [anns]
    assert [s["id"] for s in api.items("/sessions", status="closed")] == [other]
    assert len(api.items("/sessions", status="active,closed")) == 2
    assert [s["id"] for s in api.items(f"/assistants/{second}/sessions")] == [other]
    assert api.items(f"/assistants/{second}/sessions", status="active") == []


def test_sessions_of_sub_agents_are_listed_for_the_one_that_they_belong_to(api: Api) -> None:
    assistant = api.assistant()
    session, child = api.session(assistant), api.session(assistant)
    Session.objects.filter(id=child).update(parent_id=session)
    for path in ("/sessions", f"/assistants/{assistant}/sessions"):
        assert [s["id"] for s in api.items(path)] == [session]
        assert [s["id"] for s in api.items(path, parent_id=session)] == [child]
    assert api.get(f"/sessions/{child}").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        {"colour": "red"},
        {"status": "open"},
        {"assistant_id": "x"},
        {"assistant_id": str(uuid4())},
        {"parent_id": str(uuid4())},
        {"user_id": "\0"},
        {"limit": "0"},
        {"limit": "101"},
        {"offset": "10001"},
        {"cursor": "x"},
        {"ordering": "user_id"},
    ],
)
def test_a_bad_query_is_refused(api: Api, query: dict[str, Any]) -> None:
    assert_refused(api.get("/sessions", **query), 422, "invalid", "query", *query)


def test_a_strangers_assistant_is_no_filter(api: Api, stranger: Api) -> None:
    answer = api.get("/sessions", assistant_id=stranger.assistant())
    assert_refused(answer, 422, "invalid", "query", "assistant_id")


def test_a_key_given_twice_is_refused(api: Api) -> None:
    assert_refused(api.get("/sessions?limit=1&limit=2"), 422, "invalid", "query", "limit")


@pytest.mark.parametrize("path", ["/sessions/{}", "/sessions/{}/state"])
def test_one_resource_takes_no_query(api: Api, path: str) -> None:
    assert_refused(api.get(path.format(api.session()), limit=1), 422, "invalid", "query", "limit")


def test_a_list_costs_two_queries_and_reads_no_state(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assistant = api.assistant()
    for _ in range(3):
        api.session(assistant)
    Session.objects.update(state={"large": "x"})
    with django_assert_num_queries(1) as asked:
        api.items("/sessions")
    assert '"state"' not in str(asked.captured_queries)
    with django_assert_num_queries(2):
        api.items("/sessions", limit=1)
    with django_assert_num_queries(3):
        api.items(f"/assistants/{assistant}/sessions", limit=1)
