"""The triggers' addresses."""

from django.urls import path

from scheduling.trigger_api import (
    AssistantTriggers,
    Calling,
    TriggerCalls,
    TriggerDetail,
    TriggerRotation,
    Triggers,
)
from scheduling.triggers import PREFIX

ONE = "triggers/<str:trigger_id>"

urlpatterns = [
    path("assistants/<str:assistant_id>/triggers", AssistantTriggers.as_view()),
    path("triggers", Triggers.as_view()),
    # No id begins like this.
    path(f"triggers/{PREFIX}<str:token>", Calling.as_view()),
    path(ONE, TriggerDetail.as_view()),
    path(f"{ONE}/rotate", TriggerRotation.as_view()),
    path(f"{ONE}/calls", TriggerCalls.as_view()),
]
