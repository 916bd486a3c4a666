"""Django middleware."""

from collections.abc import Callable

from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from core.errors import AppError, MethodNotAllowed, Unavailable
from core.http import answer_error

GetResponse = Callable[[HttpRequest], HttpResponse]


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
