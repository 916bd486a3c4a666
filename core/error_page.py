"""The page that a browser gets instead of the error body. It needs no database and no login to be drawn."""

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import get_script_prefix

from core.errors import AppError
from core.ids import parse_id

# No nonce: what fails in the outermost layers never reaches the middleware that gives one.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADINGS = {
    400: "This request cannot be read",
    401: "Sign in first",
    403: "You can\N{RIGHT SINGLE QUOTATION MARK}t open this",
    404: "There is nothing here",
    409: "Nothing was changed",
    422: "Something is not right yet",
    429: "Too many requests",
    500: "The server failed",
    503: "The server is not ready",
}
LOOK_AGAIN_S = 5


def error_page(request: HttpRequest, error: AppError, request_id: str) -> str:
    """The HTML for `error`: what happened, the request's id, and a way out."""
    is_read = request.method in {"GET", "HEAD"}
    context = {
        "status": error.status,
        "heading": HEADINGS.get(error.status, "This cannot be done"),
        "detail": _nothing(request) if error.status == 404 and error.detail == NOT_FOUND else error.detail,
        "wait_s": round(error.retry_after or 0) if error.status == 429 else 0,
        "request_id": request_id,
        "start": get_script_prefix(),
        # What was posted is not sent again by itself.
        "again": request.get_full_path() if is_read and error.status in {429, 500, 503} else "",
        "look_again_s": LOOK_AGAIN_S if is_read and error.status == 503 else 0,
    }
    return render_to_string("error.html", context)


NOT_FOUND = "Not found."


def _nothing(request: HttpRequest) -> str:
    ids = [part for part in request.path.split("/") if parse_id(part)]
    what = (
        f"Nothing with the id \N{HORIZONTAL ELLIPSIS}{ids[-1][-8:]} is here." if ids else "This address leads nowhere."
    )
    return f"{what} It may have been deleted, or it is in another workspace."
