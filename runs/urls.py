"""The runs' addresses, and the assistants' and sessions' that concern their runs."""

from django.urls import path

from runs.api import RunDetail, RunViewSet, SessionClosing, SessionRuns, SessionViewSet
from runs.artifacts_api import RunArtifacts
from runs.assistants_api import AssistantMetrics, AssistantViewSet
from runs.bulk_api import RunBatch, RunsCancelling
from runs.middleware_api import SessionMiddleware
from runs.workers_api import WorkerViewSet

ASSISTANT = "assistants/<str:assistant_id>"
SESSION = "sessions/<str:session_id>"
RUN = "runs/<str:run_id>"

urlpatterns = [
    path(ASSISTANT, AssistantViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"})),
    path(f"{ASSISTANT}/metrics", AssistantMetrics.as_view({"get": "retrieve"})),
    path(SESSION, SessionViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"})),
    path(f"{SESSION}/close", SessionClosing.as_view({"post": "close"})),
    path(f"{SESSION}/state", SessionViewSet.as_view({"get": "state"})),
    path(f"{SESSION}/checkpoints/<str:checkpoint_id>", SessionViewSet.as_view({"get": "checkpoint"})),
    path(f"{SESSION}/middleware/<str:middleware_id>/notify", SessionMiddleware.as_view({"post": "notify"})),
    path(f"{SESSION}/runs", SessionRuns.as_view({"get": "list", "post": "create"})),
    path(f"{SESSION}/runs/wait", SessionRuns.as_view({"post": "wait"})),
    path(f"{SESSION}/runs/stream", SessionRuns.as_view({"post": "stream"})),
    path("runs", RunViewSet.as_view({"get": "list", "post": "create"})),
    path("runs/wait", RunViewSet.as_view({"post": "wait"})),
    path("runs/stream", RunViewSet.as_view({"post": "stream"})),
    path("runs/batch", RunBatch.as_view({"post": "create"})),
    path("runs/cancel", RunsCancelling.as_view({"post": "create"})),
    path(RUN, RunDetail.as_view({"get": "retrieve"})),
    path(f"{RUN}/join", RunDetail.as_view({"get": "join"})),
    path(f"{RUN}/stream", RunDetail.as_view({"get": "stream"})),
    path(f"{RUN}/events", RunDetail.as_view({"get": "events"})),
    path(f"{RUN}/artifacts", RunArtifacts.as_view({"get": "list"})),
    path(f"{RUN}/artifacts/<str:artifact_id>", RunArtifacts.as_view({"get": "retrieve"})),
    path(f"{RUN}/cancel", RunDetail.as_view({"post": "cancel"})),
    path(f"{RUN}/resume", RunDetail.as_view({"post": "resume"})),
    path("workers", WorkerViewSet.as_view({"get": "list"})),
]
