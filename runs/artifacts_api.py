"""The HTTP API of what a run's tools have made beside its documents."""

from django.http import HttpResponse
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.permissions import identity_of
from core.ids import path_id
from core.openapi import list_parameters, listed
from core.pagination import BY_AGE, Listing, paginate, read_no_query
from runs import queries
from runs.documents import artifact_document
from runs.serializers import ArtifactDocument

ARTIFACTS = Listing({"created_at": BY_AGE}, "created_at")
# A tool, and so a model or a page that it has read, says what is in it and of which type it is.
_CSP = "sandbox; default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class RunArtifacts(ViewSet):
    """What tool calls of a run gave or made that is too large for documents, or is none."""

    scope_family = "runs"

    @extend_schema(parameters=list_parameters(ARTIFACTS), responses=listed(ArtifactDocument))
    def list(self, request: Request, run_id: str) -> Response:
        """The run's artifacts, without what is in them."""
        query = ARTIFACTS.read(request.query_params)
        run = queries.get_run_state(identity_of(request), path_id(run_id)).run()
        return Response(paginate(queries.artifacts(run["id"]), query, artifact_document))

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def retrieve(self, request: Request, run_id: str, artifact_id: str) -> HttpResponse:
        """What is in one, to be saved as a file; its type is the artifact's own."""
        read_no_query(request.query_params)
        run = queries.get_run_state(identity_of(request), path_id(run_id)).run()
        artifact = queries.get_artifact(run["id"], path_id(artifact_id))
        answer = HttpResponse(bytes(artifact.content), content_type=artifact.mime_type)
        answer["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=artifact.name)
        answer["Content-Security-Policy"] = _CSP
        answer["X-Content-Type-Options"] = "nosniff"
        return answer
