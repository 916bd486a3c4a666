"""What of the assistants' HTTP API concerns their runs: deleting one for good, and how its runs went."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.permissions import identity_of
from assistants.api import AssistantViewSet as Assistants
from assistants.serializers import AssistantDocument
from core.ids import path_id
from core.openapi import Error
from core.pagination import flag, read_option, seconds
from core.validation import Body, validate
from runs.deletion import delete_assistant_for_good
from runs.metrics import MAX_WINDOW_S, MIN_WINDOW_S, WINDOW_S, assistant_metrics
from runs.serializers import MetricsDocument

_PERMANENT = OpenApiParameter(
    "permanent", bool, description="Delete it with its versions, sessions and runs.", default=False
)
_DELETED: dict[Any, Any] = {
    200: AssistantDocument,
    204: OpenApiResponse(description="It is gone, with all that belonged to it."),
    409: OpenApiResponse(Error, "Permanently, and a run has not ended: `detail` says how many."),
}
_WINDOW_S = OpenApiParameter(
    "window_s",
    float,
    description=f"The last seconds, {MIN_WINDOW_S} to {MAX_WINDOW_S}, in which the runs were created.",
    default=WINDOW_S,
)


class AssistantViewSet(Assistants):
    """Assistants: named, versioned agent configurations."""

    @extend_schema(parameters=[_PERMANENT], responses=_DELETED)
    def destroy(self, request: Request, assistant_id: str) -> Response:
        """Archive the assistant, again without effect: its sessions and their history stay. Or delete it for good."""
        permanent = read_option(request.query_params, "permanent", flag, default=False)
        validate(Body, request.data)
        if not permanent:
            return super().destroy(request, assistant_id)
        delete_assistant_for_good(identity_of(request), path_id(assistant_id))
        return Response(status=204)


class AssistantMetrics(ViewSet):
    """How the runs of an assistant went."""

    scope_family = "assistants"

    @extend_schema(parameters=[_WINDOW_S], responses=MetricsDocument)
    def retrieve(self, request: Request, assistant_id: str) -> Response:
        """Counts, percentiles of times, tokens and cost of the runs that were created in the window.

        An archived assistant's are kept. A key that is bound to a user gets those of that user's sessions.
        """
        window_s = read_option(request.query_params, "window_s", seconds(MIN_WINDOW_S, MAX_WINDOW_S), WINDOW_S)
        return Response(assistant_metrics(identity_of(request), path_id(assistant_id), window_s).run())
