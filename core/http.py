"""HTTP as Django and DRF speak it here: one way to read JSON, one to write it, one error body.

Everything that fails is turned into a `core.errors.AppError` by `as_app_error`, and from there into the error
body.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions as drf
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.renderers import BrowsableAPIRenderer as DRFBrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.asgi import error_headers, request_id
from core.db import DATABASE_DOWN
from core.error_page import POLICY, error_page
from core.errors import AppError, FieldError, Invalid
from core.strict_json import dump_json, media_type, parse_json

__all__ = [
    "BrowsableAPIRenderer",
    "JSONRenderer",
    "LenientNegotiation",
    "StrictJSONParser",
    "answer_error",
    "as_app_error",
    "csrf_failure",
    "dump_json",
    "exception_handler",
    "handler400",
    "handler403",
    "handler404",
    "handler500",
    "parse_json",
]

RETRY_AFTER_S = 1

Loc = tuple[str | int, ...]


def _drf_faults(detail: Any, loc: Loc = ()) -> Iterator[FieldError]:
    """DRF nests its messages as dicts by field and lists by position; ours are flat with a `loc`."""
    if isinstance(detail, dict):
        for key, value in detail.items():
            yield from _drf_faults(value, loc if key == "non_field_errors" else (*loc, key))
    elif isinstance(detail, list):
        for position, value in enumerate(detail):
            yield from _drf_faults(value, (*loc, position) if isinstance(value, dict | list) else loc)
    else:
        yield FieldError(loc, str(detail))


_BY_DRF_TYPE: list[tuple[type[Exception], type[AppError]]] = [
    (drf.ParseError, errors.BadRequest),
    (drf.NotAuthenticated, errors.Unauthenticated),
    (drf.AuthenticationFailed, errors.Unauthenticated),
    (drf.PermissionDenied, errors.Forbidden),
    (PermissionDenied, errors.Forbidden),
    (drf.NotFound, errors.NotFound),
    (Http404, errors.NotFound),
    (drf.MethodNotAllowed, errors.MethodNotAllowed),
    (drf.UnsupportedMediaType, errors.UnsupportedMediaType),
    (RequestDataTooBig, errors.TooLarge),
    (SuspiciousOperation, errors.BadRequest),
]


def as_app_error(exception: BaseException | None) -> AppError | None:
    """The error of ours that `exception` stands for, None for one that nobody foresaw."""
    if isinstance(exception, AppError):
        return exception
    if isinstance(exception, drf.ValidationError):
        return Invalid.of(list(_drf_faults(exception.detail)))
    if isinstance(exception, drf.Throttled):
        wait: float | None = getattr(exception, "wait", None)
        return errors.RateLimited(retry_after=wait)
    if isinstance(exception, DATABASE_DOWN):
        return errors.Unavailable(retry_after=RETRY_AFTER_S)
    if _refers_to_nothing(exception):
        return errors.Conflict("What this refers to was deleted in the meantime.")
    for theirs, ours in _BY_DRF_TYPE:
        if isinstance(exception, theirs):
            # An API exception's detail is a sentence for the caller; Django's are for the log.
            return ours(str(exception.detail) if isinstance(exception, drf.APIException) else "")
    return None


def _refers_to_nothing(exception: BaseException | None) -> bool:
    """Whether a foreign key's row is gone. Keys are checked at the commit, long after the row was seen."""
    if isinstance(exception, IntegrityError):
        exception = exception.__cause__
    return isinstance(exception, psycopg.errors.ForeignKeyViolation)


def exception_handler(exception: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's `EXCEPTION_HANDLER`."""
    error = as_app_error(exception)
    if error is None:
        return None
    document = error.document(_request_id(context["request"]))
    return Response(document, error.status, headers=error_headers(error))


def _request_id(request: HttpRequest | Request) -> str:
    # Django's test client speaks WSGI and has no scope.
    return request_id(getattr(request, "scope", {}))


def answer_error(request: HttpRequest, error: AppError) -> HttpResponse:
    """The error body, or a page for a browser."""
    document = error.document(_request_id(request))
    if "text/html" in request.headers.get("accept", ""):
        headers = {**error_headers(error), "Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
        return HttpResponse(error_page(request, error, document["request_id"]), status=error.status, headers=headers)
    body = dump_json(document)
    return HttpResponse(body, "application/json", error.status, headers=error_headers(error))


def handler400(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer_error(request, as_app_error(exception) or errors.BadRequest())


def handler403(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer_error(request, errors.Forbidden())


def handler404(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer_error(request, errors.NotFound())


def handler500(request: HttpRequest) -> HttpResponse:
    """Django calls this while it handles the exception: a database that is away can be told from a bug."""
    return answer_error(request, as_app_error(sys.exc_info()[1]) or errors.Internal())


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's `CSRF_FAILURE_VIEW`."""
    return answer_error(request, errors.Forbidden("The form's CSRF token is missing or has expired; reload the page."))


class JSONRenderer(BaseRenderer):
    """JSON by `dump_json`."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        if data is None:
            return b""
        # Only the browsable API asks for an indent.
        return dump_json(data, indent=bool((renderer_context or {}).get("indent")))


class BrowsableAPIRenderer(DRFBrowsableAPIRenderer):
    """The browsable API: with no form parser it offers the raw JSON form, which sends what clients send.

    DRF asks the view what the caller may do, and knows its own exceptions only: ours mean no form, not no page.
    """

    def get_rendered_html_form(self, data: Any, view: Any, method: str, request: Request) -> Any:
        try:
            return super().get_rendered_html_form(data, view, method, request)
        except AppError:
            return None

    def show_form_for_method(self, view: Any, method: str, request: Request, obj: Any) -> Any:
        try:
            return super().show_form_for_method(view, method, request, obj)
        except AppError:
            return False


class LenientNegotiation(DefaultContentNegotiation):
    """Answer JSON where nothing that is accepted can be had, instead of 406: a stream's errors are JSON too.

    Bodies are what they say that they are: a range of types (`*/*`) is for what is accepted.
    """

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        said = media_type(request.content_type or "")
        return next((parser for parser in parsers if parser.media_type == said), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> Any:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except drf.NotAcceptable:
            first = next(iter(renderers))
            return first, first.media_type


class StrictJSONParser(BaseParser):
    """JSON by `parse_json`, and nothing else."""

    media_type = "application/json"
    renderer_class = JSONRenderer

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return parse_json(stream.read())
