"""The way in, and the API's description."""

from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.renderers import TemplateHTMLRenderer

from accounts.permissions import HasScope
from core.errors import Forbidden, Unauthenticated
from core.http import JSONRenderer


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


def admin_login(request: HttpRequest) -> HttpResponseBase:
    """The admin's login is ours: one place slows guessing down."""
    if request.user.is_authenticated:
        raise Forbidden("Your account may not use the admin.")
    return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
