"""The assistants' addresses. `/assistants/{id}/sessions` is in `sessions.urls`; those that concern their runs too,
`/assistants/{id}` among them, are in `runs.urls`.
"""

from django.urls import path

from assistants.api import (
    AssistantAudit,
    AssistantMoves,
    AssistantTypes,
    AssistantViewSet,
    MiddlewareTypes,
    Tools,
    VersionTags,
    VersionViewSet,
)

ONE = "assistants/<str:assistant_id>"

urlpatterns = [
    path("assistants", AssistantViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{ONE}/activate", AssistantMoves.as_view({"post": "activate"})),
    path(f"{ONE}/archive", AssistantMoves.as_view({"post": "archive"})),
    path(f"{ONE}/restore", AssistantMoves.as_view({"post": "restore"})),
    path(f"{ONE}/versions", VersionViewSet.as_view({"get": "list"})),
    path(f"{ONE}/versions/diff", VersionViewSet.as_view({"get": "diff"})),
    path(f"{ONE}/versions/<str:number>", VersionViewSet.as_view({"get": "retrieve"})),
    path(f"{ONE}/versions/<str:number>/rollback", VersionViewSet.as_view({"post": "rollback"})),
    path(f"{ONE}/versions/<str:number>/tags/<str:tag>", VersionTags.as_view({"put": "update", "delete": "destroy"})),
    path(f"{ONE}/audit", AssistantAudit.as_view({"get": "list"})),
    path("assistant-types", AssistantTypes.as_view({"get": "list"})),
    path("middleware-types", MiddlewareTypes.as_view({"get": "list"})),
    path("tools", Tools.as_view({"get": "list"})),
]
