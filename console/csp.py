"""The Content-Security-Policy of our own pages.

A page asks for its nonce where its base template writes a script element, so having asked is what tells our pages from
the admin, the API docs and the browsable API, whose libraries need looser rules. What is no page loads nothing, which
`core.edge` says.
"""

import secrets
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Pages of libraries: no script but from files of this site; their styles stand in the pages, too.
LIBRARY_POLICY = (
    "default-src 'none'; script-src 'self'{more}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The admin's Alpine makes functions of the attributes that it finds.
ADMIN_POLICY = LIBRARY_POLICY.format(more=" 'unsafe-eval'")
API_POLICY = LIBRARY_POLICY.format(more="")


class ContentSecurityPolicy:
    """Middleware: `request.csp_nonce` for templates, and the header that fits on every page."""

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
        elif response.headers.get("Content-Type", "").startswith("text/html"):
            policy = ADMIN_POLICY if request.path_info.startswith("/admin/") else API_POLICY
            response.headers.setdefault("Content-Security-Policy", policy)
        return response
