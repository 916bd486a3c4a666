"""The sessions' addresses. Those that concern their runs too, `/sessions/{id}` among them, are in `runs.urls`."""

from django.urls import path

from sessions.api import AssistantSessions, SessionFork, SessionHistory, SessionViewSet
from sessions.files_api import SessionFile, SessionFileMove, SessionFiles

ONE = "sessions/<str:session_id>"

urlpatterns = [
    path("assistants/<str:assistant_id>/sessions", AssistantSessions.as_view({"get": "list", "post": "create"})),
    path("sessions", SessionViewSet.as_view({"get": "list"})),
    path(f"{ONE}/fork", SessionFork.as_view({"post": "create"})),
    path(f"{ONE}/messages", SessionHistory.as_view({"get": "messages"})),
    path(f"{ONE}/checkpoints", SessionHistory.as_view({"get": "checkpoints"})),
    path(f"{ONE}/files", SessionFiles.as_view({"get": "list"})),
    path(f"{ONE}/files/move", SessionFileMove.as_view({"post": "create"})),
    path(f"{ONE}/files/<path:path>", SessionFile.as_view({"get": "retrieve", "put": "put", "delete": "delete"})),
]
