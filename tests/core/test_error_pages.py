"""What a browser gets where a client gets the error body."""

import gzip
import re

import pytest
from django.test import Client, RequestFactory
from django.test.utils import override_script_prefix
from pytest_django import DjangoAssertNumQueries

from core import errors
from core.errors import AppError
from core.http import answer_error

BROWSER = {"accept": "text/html,*/*"}
EVERY = [
    errors.BadRequest(),
    errors.Forbidden("It needs the Admin role in Acme."),
    errors.NotFound(),
    errors.MethodNotAllowed(),
    errors.Conflict(),
    errors.RateLimited(retry_after=12),
    errors.Internal(),
    errors.Unavailable(retry_after=1),
]


def page_for(error: AppError, path: str = "/console/chat", method: str = "GET") -> str:
    answer = answer_error(RequestFactory(headers=BROWSER).generic(method, path), error)
    assert answer.status_code == error.status
    return answer.content.decode()


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.code)
def test_every_error_has_a_page_with_a_heading_the_requests_id_and_a_way_out(error: AppError) -> None:
    page = page_for(error)
    assert page.count("<h1>") == 1
    assert re.search(r'<code id="request-id">[0-9a-f]{32}</code>', page)
    assert '<a class="button' in page
    assert len(gzip.compress(page.encode())) < 8_000


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.code)
def test_a_page_runs_nobodys_script_and_stays_out_of_caches(error: AppError) -> None:
    answer = answer_error(RequestFactory(headers=BROWSER).get("/"), error)
    assert "default-src 'none'; script-src 'self';" in answer["Content-Security-Policy"]
    assert answer["Cache-Control"] == "no-store"
    assert not re.search(r"<script(?! src=)| style=| on\w+=", answer.content.decode())


def test_a_page_asks_the_database_nothing(
    db: None, client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        page = client.get("/nowhere", headers=BROWSER)
    assert page.status_code == 404
    assert "This address leads nowhere." in page.text


def test_words_are_shown_as_text() -> None:
    assert "<script>alert" not in page_for(errors.Forbidden("<script>alert(1)</script>"))
    assert "<b>" not in page_for(errors.Unavailable(), "/x?<b>")


def test_what_is_missing_is_named_by_the_end_of_its_id() -> None:
    page = page_for(errors.NotFound(), "/console/chat/01a1b2c3-d4e5-7f60-8abc-0123456789ab")
    assert "…456789ab is here" in page
    assert "There is no such conversation." in page_for(errors.NotFound("There is no such conversation."))


def test_a_pause_says_how_long() -> None:
    assert "Again in 12 s." in page_for(errors.RateLimited(retry_after=12))


def test_what_was_read_is_tried_again_and_what_was_written_is_not() -> None:
    page = page_for(errors.Unavailable(), "/console/chat?assistant=1")
    assert 'http-equiv="refresh" content="5"' in page
    assert 'href="/console/chat?assistant=1"' in page
    written = page_for(errors.Unavailable(), "/console/chat", "POST")
    assert "refresh" not in written
    assert "Try again" not in written
    assert "refresh" not in page_for(errors.Internal())


def test_the_way_out_is_under_the_servers_own_path() -> None:
    with override_script_prefix("/agents/"):
        assert 'href="/agents/"' in page_for(errors.NotFound())
