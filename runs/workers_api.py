"""The workers' HTTP API: who carries out runs at the moment, and who was lost lately."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.permissions import identity_of
from core.openapi import list_parameters, listed
from core.pagination import Filter, Listing, choices, paginate
from runs.documents import worker_document
from runs.models import WorkerState
from runs.queries import workers
from runs.serializers import WorkerDocument

WORKERS = Listing(
    {"started_at": ("started_at", "id")}, "-started_at", {"state": Filter("shown__in", choices(WorkerState))}
)


class WorkerViewSet(ViewSet):
    """Workers: the processes that carry out runs."""

    scope_family = "runs"

    @extend_schema(parameters=list_parameters(WORKERS), responses=listed(WorkerDocument))
    def list(self, request: Request) -> Response:
        """Those that live, and those that were lost within the last hour. They serve all workspaces.

        A caller that is bound to a user is refused.
        """
        identity_of(request).require_unbound("no workers")
        return Response(paginate(workers(), WORKERS.read(request.query_params), worker_document))
