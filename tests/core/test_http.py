"""How Django's and DRF's failures become the one error body."""

import psycopg
import pydantic
import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import IntegrityError, OperationalError
from django.http import Http404
from django.test import RequestFactory
from psycopg_pool import PoolTimeout
from rest_framework import exceptions as drf
from rest_framework.test import APIRequestFactory

from core.errors import NotFound
from core.http import as_app_error, exception_handler, handler404
from core.validation import invalid_from_pydantic


def caused(exception: Exception, cause: Exception) -> Exception:
    exception.__cause__ = cause
    return exception


@pytest.mark.parametrize(
    ("exception", "status", "code"),
    [
        (drf.ParseError(), 400, "bad_request"),
        (drf.NotAuthenticated(), 401, "unauthenticated"),
        (drf.AuthenticationFailed(), 401, "unauthenticated"),
        (drf.PermissionDenied(), 403, "forbidden"),
        (PermissionDenied(), 403, "forbidden"),
        (drf.NotFound(), 404, "not_found"),
        (Http404(), 404, "not_found"),
        (drf.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (RequestDataTooBig(), 413, "too_large"),
        (drf.UnsupportedMediaType("x/y"), 415, "unsupported_media_type"),
        (drf.ValidationError("no"), 422, "invalid"),
        (drf.Throttled(wait=3), 429, "rate_limited"),
        (OperationalError(), 503, "unavailable"),
        (psycopg.OperationalError(), 503, "unavailable"),
        (PoolTimeout(), 503, "unavailable"),
        (psycopg.errors.ForeignKeyViolation(), 409, "conflict"),
        (caused(IntegrityError(), psycopg.errors.ForeignKeyViolation()), 409, "conflict"),
    ],
)
def test_known_failures(exception: Exception, status: int, code: str) -> None:
    error = as_app_error(exception)
    assert error
    assert (error.status, error.code) == (status, code)


def test_a_bug_is_not_taken_for_anything_else() -> None:
    assert as_app_error(KeyError("x")) is None
    assert as_app_error(psycopg.ProgrammingError()) is None
    assert as_app_error(caused(IntegrityError(), psycopg.errors.UniqueViolation())) is None


def test_drfs_nested_messages_become_places() -> None:
    detail = {
        "llm": {"top_p": ["Too big.", "Odd."]},
        "tools": [{}, {"name": ["Missing."]}],
        "non_field_errors": ["No."],
    }
    error = as_app_error(drf.ValidationError(detail))
    assert error
    assert [(list(fault.loc), fault.message) for fault in error.errors] == [
        (["llm", "top_p"], "Too big."),
        (["llm", "top_p"], "Odd."),
        (["tools", 1, "name"], "Missing."),
        ([], "No."),
    ]


def test_pydantics_faults_become_places() -> None:
    class Part(pydantic.BaseModel):
        size: int

    class Body(pydantic.BaseModel):
        parts: list[Part]

    with pytest.raises(pydantic.ValidationError) as fault:
        Body.model_validate({"parts": [{"size": 1}, {"size": "x"}]})
    error = invalid_from_pydantic(fault.value, ("body",))
    assert error.errors[0].loc == ("body", "parts", 1, "size")
    assert error.detail.startswith("body.parts.1.size: Input should be a valid integer")


def test_waiting_times_are_told() -> None:
    answer = exception_handler(drf.Throttled(wait=2.2), {"request": APIRequestFactory().get("/")})
    assert answer
    assert answer.headers["retry-after"] == "3"


def test_browsers_get_a_page_and_programs_the_body() -> None:
    requests = RequestFactory()
    assert handler404(requests.get("/x"), NotFound())["Content-Type"] == "application/json"
    page = handler404(requests.get("/x", headers={"accept": "text/html,*/*"}), NotFound())
    assert page.status_code == 404
    assert b"<h1>There is nothing here</h1>" in page.content
