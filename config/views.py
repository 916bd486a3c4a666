"""The way in, the API's description, and the figures."""

from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.permissions import HasScope, identity_of
from core.errors import Forbidden, Unauthenticated
from core.http import JSONRenderer
from core.pagination import read_no_query
from runs.server_figures import prometheus


def root(request: HttpRequest) -> HttpResponseBase:
    """`/`: to the console, or to the login page on the way there."""
    return redirect(settings.LOGIN_REDIRECT_URL if request.user.is_authenticated else settings.LOGIN_URL)


@extend_schema(exclude=True)
class OpenApi(SpectacularJSONAPIView):
    """`/openapi.json`."""

    renderer_classes = [OpenApiJsonRenderer2]
    permission_classes = [HasScope]
    scope_family = None


@extend_schema(exclude=True)
class Docs(SpectacularSwaggerSplitView):
    """`/docs/`: Swagger UI, from files of our own. Its settings are a script apart: pages run none of their own."""

    renderer_classes = [TemplateHTMLRenderer, JSONRenderer]
    permission_classes = [HasScope]
    scope_family = None

    def handle_exception(self, exception: Exception) -> Any:
        if isinstance(exception, Unauthenticated) and "text/html" in self.request.headers.get("accept", ""):
            return redirect_to_login(self.request.get_full_path())
        return super().handle_exception(exception)


class Metrics(APIView):
    """The server's figures in Prometheus' text format."""

    scope_family = None

    @extend_schema(responses={(200, "text/plain"): str})
    def get(self, request: Request) -> HttpResponse:
        read_no_query(request.query_params)
        identity_of(request).require_unbound("no figures of the server")
        figures, content_type = prometheus()
        return HttpResponse(figures, content_type=content_type)


def admin_login(request: HttpRequest) -> HttpResponseBase:
    """The admin's login is ours: one place slows guessing down."""
    if request.user.is_authenticated:
        raise Forbidden("Your account may not use the admin.")
    return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
