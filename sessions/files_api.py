"""The files of a session over HTTP."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.permissions import identity_of
from core.forms import BodyForm
from core.ids import path_id
from core.openapi import list_parameters, listed
from core.pagination import Filter, Listing, paginate_rows, read_no_query, text
from core.validation import Body, validate
from sessions import files
from sessions.bodies import MoveFile, PutFile
from sessions.documents import file_document, file_summary
from sessions.models import SharedFile
from sessions.serializers import FileDocument, FileSummaryDocument

FILES = Listing({"path": ("path",)}, "path", {"prefix": Filter("path__startswith", text)})


class SessionFiles(ViewSet):
    """The files that a session's agent has, by the middleware `files`."""

    scope_family = "sessions"

    @extend_schema(parameters=list_parameters(FILES), responses=listed(FileSummaryDocument))
    def list(self, request: Request, session_id: str) -> Response:
        """The session's own files and those that it shares, of `prefix` those whose path begins so."""
        query = FILES.read(request.query_params)
        found = files.files_of(identity_of(request), path_id(session_id)).run()
        prefix = query.filters.get("path__startswith", "")
        rows = [row for row in found if row["path"].startswith(prefix)]
        return Response(paginate_rows(rows, query, file_summary, SharedFile))


class SessionFile(ViewSet):
    """One file of a session."""

    scope_family = "sessions"

    @extend_schema(responses=FileDocument)
    def retrieve(self, request: Request, session_id: str, path: str) -> Response:
        read_no_query(request.query_params)
        return Response(file_document(files.file_of(identity_of(request), path_id(session_id), f"/{path}").run()))

    @extend_schema(request=PutFile, responses={200: FileDocument, 201: FileDocument})
    def put(self, request: Request, session_id: str, path: str) -> Response:
        """Create a file, or set its content; one of the session's own only while it has no unfinished run."""
        read_no_query(request.query_params)
        body = validate(PutFile, request.data)
        identity, session = identity_of(request), path_id(session_id)
        row, is_new = files.put_file(identity, session, f"/{path}", body.content).run()
        return Response(file_document(row), 201 if is_new else 200)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, session_id: str, path: str) -> Response:
        read_no_query(request.query_params)
        validate(Body, request.data)
        files.delete_file(identity_of(request), path_id(session_id), f"/{path}").run()
        return Response(status=204)

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form."""
        return BodyForm({"content": ""})


class SessionFileMove(ViewSet):
    """Moving a file of a session."""

    scope_family = "sessions"

    @extend_schema(request=MoveFile, responses={200: FileDocument})
    def create(self, request: Request, session_id: str) -> Response:
        """Move a file to where there is none."""
        read_no_query(request.query_params)
        body = validate(MoveFile, request.data)
        moved = files.move_file(identity_of(request), path_id(session_id), body.source, body.to).run()
        return Response(file_document(moved))

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form."""
        return BodyForm({"from": "/a.txt", "to": "/b.txt"})
