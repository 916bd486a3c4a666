"""Django middleware."""

from collections.abc import Callable
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from core.errors import AppError, BadRequest, MethodNotAllowed, Unavailable, UnsupportedMediaType
from core.http import answer_error
from core.text import clean

GetResponse = Callable[[HttpRequest], HttpResponse]
_FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}


def chunked_bodies(get_response: GetResponse) -> GetResponse:
    """DRF takes a body without a Content-Length for no body at all; here it has arrived whole and has a length."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if "HTTP_TRANSFER_ENCODING" in request.META and "CONTENT_LENGTH" not in request.META:
            request.META["CONTENT_LENGTH"] = str(len(request.body))
        return get_response(request)

    return middleware


def sound_connections(get_response: GetResponse) -> GetResponse:
    """After a restart of PostgreSQL each connection in the pool is broken: who finds one has all of them looked at."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code == Unavailable.status:
            connection.close()
            connection.pool.check()  # type: ignore[attr-defined]  # of this one driver
        return response

    return middleware


class CleanForms:
    """Refuses forms with text that no database keeps, as `core.strict_json` does with bodies: NUL, lone surrogates.

    A form that a view reads has been read for its CSRF token already; the API's views take none, and read no form.
    """

    def __init__(self, get_response: GetResponse):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Python knows "charsets" that spell out what UTF-8 refuses, and some that are none at all.
        charset = (request.content_params or {}).get("charset", "utf-8")
        if request.content_type in _FORMS and charset.lower() not in {"utf-8", "utf8"}:
            return answer_error(request, UnsupportedMediaType("A form must be in UTF-8."))
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, *_: Any) -> HttpResponse | None:
        if request.method != "POST" or getattr(view, "csrf_exempt", False):
            return None
        for name, values in request.POST.lists():
            if clean([name, *values]) != [name, *values]:
                return answer_error(request, BadRequest("The form has a character that cannot be stored."))
        if not _chosen_rows_can_be(request, view):
            return answer_error(request, BadRequest("What was chosen is none of these rows."))
        return None


def _chosen_rows_can_be(request: HttpRequest, view: Any) -> bool:
    """Whether the rows that an action of the admin is for are named as its model names rows; Django does not ask."""
    model_admin: Any = getattr(view, "model_admin", None)
    for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME) if model_admin else ():
        try:
            model_admin.model._meta.pk.to_python(chosen)
        except ValidationError:
            return False
    return True


class ErrorBodies:
    """The one error body for Django's plain views, where DRF's handler does not reach."""

    def __init__(self, get_response: GetResponse):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if isinstance(response, HttpResponseNotAllowed) and not response.content:
            refused = answer_error(request, MethodNotAllowed())
            refused["Allow"] = response["Allow"]
            return refused
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return answer_error(request, exception) if isinstance(exception, AppError) else None
