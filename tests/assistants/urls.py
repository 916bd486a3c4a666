"""The assistants' addresses alone, for tests that need no other room of the house."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("", include("assistants.urls"))]
handler404 = "core.http.handler404"
