"""The assistants' addresses. `/assistants/{id}/sessions` belongs to sessions."""

from django.urls import path

from assistants.api import AssistantMoves, AssistantTypes, AssistantViewSet, Tools, VersionViewSet

ONE = "assistants/<str:assistant_id>"

urlpatterns = [
    path("assistants", AssistantViewSet.as_view({"get": "list", "post": "create"})),
    path(
        ONE,
        AssistantViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path(f"{ONE}/activate", AssistantMoves.as_view({"post": "activate"})),
    path(f"{ONE}/archive", AssistantMoves.as_view({"post": "archive"})),
    path(f"{ONE}/restore", AssistantMoves.as_view({"post": "restore"})),
    path(f"{ONE}/versions", VersionViewSet.as_view({"get": "list"})),
    path(f"{ONE}/versions/<str:number>", VersionViewSet.as_view({"get": "retrieve"})),
    path("assistant-types", AssistantTypes.as_view({"get": "list"})),
    path("tools", Tools.as_view({"get": "list"})),
]
