"""The schedules' addresses."""

from django.urls import path

from scheduling.api import AssistantSchedules, ScheduleMoves, ScheduleSlots, ScheduleViewSet

ONE = "schedules/<str:schedule_id>"

urlpatterns = [
    path("assistants/<str:assistant_id>/schedules", AssistantSchedules.as_view({"get": "list", "post": "create"})),
    path("schedules", ScheduleViewSet.as_view({"get": "list"})),
    path(ONE, ScheduleViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"})),
    path(f"{ONE}/pause", ScheduleMoves.as_view({"post": "pause"})),
    path(f"{ONE}/resume", ScheduleMoves.as_view({"post": "resume"})),
    path(f"{ONE}/trigger", ScheduleMoves.as_view({"post": "trigger"})),
    path(f"{ONE}/preview", ScheduleSlots.as_view({"get": "preview"})),
    path(f"{ONE}/runs", ScheduleSlots.as_view({"get": "runs"})),
]
