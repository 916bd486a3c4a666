"""Who answers where. The async routes of `config.asgi` take their share before Django is asked."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from accounts.views import sign_out
from config import views

urlpatterns = [
    path("", views.root, name="root"),
    # Asked for by browsers on pages that name no icon: the API's and the docs'.
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}favicon.svg")),
    path("", include("accounts.urls")),
    path("", include("assistants.urls")),
    path("", include("sessions.urls")),
    path("", include("runs.urls")),
    path("", include("webhooks.urls")),
    path("", include("scheduling.urls")),
    path("", include("scheduling.trigger_urls")),
    path("console/", include("console.urls")),
    path("admin/login/", views.admin_login),
    # So is the way out, which is kept in the audit trail.
    path("admin/logout/", sign_out),
    path("admin/", admin.site.urls),
    path("metrics", views.Metrics.as_view()),
    path("openapi.json", views.OpenApi.as_view(), name="openapi"),
    path("docs/", views.Docs.as_view(url_name="openapi")),
]

handler400 = "core.http.handler400"
handler403 = "core.http.handler403"
handler404 = "core.http.handler404"
handler500 = "core.http.handler500"
