"""The Content-Security-Policy of our own pages.

A page asks for its nonce where its base template writes a script element, so having asked is what tells our pages from
the admin and the API docs, whose libraries need looser rules of their own.
"""

import secrets
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class ContentSecurityPolicy:
    """Middleware: `request.csp_nonce` for templates, and the header on every page that used it."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked: list[str] = []

        def nonce() -> str:
            asked.append(secrets.token_urlsafe(16))
            return asked[0]

        request.csp_nonce = SimpleLazyObject(nonce)  # type: ignore[attr-defined]
        response = self.get_response(request)
        if asked:
            response.headers["Content-Security-Policy"] = POLICY.format(nonce=asked[0])
        return response
