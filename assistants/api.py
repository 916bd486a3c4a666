"""The assistants' HTTP API."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.audit import entry_document
from accounts.idempotency import REPLAYED, Replayed, once_of
from accounts.identity import Identity
from accounts.permissions import identity_of
from accounts.serializers import AuditEntryDocument
from assistants import queries, services
from assistants.config import CreateAssistant, UpdateOptions
from assistants.diff import changes
from assistants.documents import (
    agent_type_document,
    assistant_document,
    config_of,
    in_order,
    middleware_type_document,
    version_document,
)
from assistants.models import Assistant, Status
from assistants.serializers import (
    AssistantDocument,
    AssistantTypeDocument,
    DiffDocument,
    MiddlewareTypeDocument,
    ToolDocument,
    UpdateAssistant,
    VersionDocument,
)
from core.errors import NotFound
from core.forms import BodyForm
from core.ids import path_id
from core.openapi import list_parameters, listed
from core.pagination import BY_AGE, Filter, Listing, choices, json_object, paginate, read_integers, read_no_query, text
from core.validation import Body, validate
from runtime.middleware import middleware_types
from runtime.registry import agent_types
from tools import registry

ASSISTANTS = Listing(
    orderings={
        "created_at": BY_AGE,
        "updated_at": ("updated_at", "id"),
        "name": ("name",),
    },
    default="-created_at",
    filters={
        "type": Filter("type", text),
        "status": Filter("status__in", choices(Status)),
        "name": Filter("name__icontains", text),
        "metadata": Filter("metadata__contains", json_object),
    },
)
VERSIONS = Listing(orderings={"version": ("number",)}, default="-version")
AUDIT = Listing(orderings={"created_at": BY_AGE}, default="-created_at", filters={"action": Filter("action", text)})
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, description='The version that the change is meant for: `"3"`.'
)
DIFF = [OpenApiParameter(name, int, required=True, description="A version.") for name in ("from", "to")]
EXAMPLE = {"name": "my-assistant", "llm": {"provider": "fake", "model": "echo"}, "system_prompt": ""}


def _answer(assistant: Assistant, status: int = 200, told: Mapping[str, str] = MappingProxyType({})) -> Response:
    # The ETag is what `If-Match` compares with.
    return Response(assistant_document(assistant), status, headers={"ETag": f'"{assistant.version}"', **told})


def _read_nothing(request: Request) -> None:
    """For routes that take neither a query nor fields."""
    read_no_query(request.query_params)
    validate(Body, request.data)


def version_in(path: str) -> int:
    """The version number in a path."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", path):
        raise NotFound(f"The assistant has no version {path}.")
    return int(path)


class AssistantViewSet(ViewSet):
    """Assistants: named, versioned agent configurations."""

    scope_family = "assistants"
    idempotent = ("create",)

    @extend_schema(parameters=list_parameters(ASSISTANTS), responses=listed(AssistantDocument))
    def list(self, request: Request) -> Response:
        query = ASSISTANTS.read(request.query_params)
        return Response(paginate(queries.assistants(identity_of(request)), query, assistant_document))

    @extend_schema(request=CreateAssistant, responses={201: AssistantDocument})
    def create(self, request: Request) -> Response:
        """Create an assistant at version 1. It is active if it passes its checks."""
        read_no_query(request.query_params)
        identity = identity_of(request)
        try:
            return _answer(services.create_assistant(identity, request.data, once_of(request, identity)), 201)
        except Replayed as earlier:
            return _answer(queries.assistant(identity, earlier.resource_id), 201, REPLAYED)

    @extend_schema(responses=AssistantDocument)
    def retrieve(self, request: Request, assistant_id: str) -> Response:
        read_no_query(request.query_params)
        return _answer(queries.assistant(identity_of(request), path_id(assistant_id)))

    @extend_schema(request=UpdateAssistant, parameters=[IF_MATCH], responses=AssistantDocument)
    def partial_update(self, request: Request, assistant_id: str) -> Response:
        """Change the configuration: objects merge, lists are replaced, null returns to the default.

        What changes it makes a new version. An active assistant must still pass its checks (else 422).
        """
        read_no_query(request.query_params)
        assistant = services.update_assistant(
            identity_of(request), path_id(assistant_id), request.data, request.headers.get("If-Match")
        )
        return _answer(assistant)

    @extend_schema(responses={200: AssistantDocument})
    def destroy(self, request: Request, assistant_id: str) -> Response:
        """Archive the assistant; again without effect. `runs.assistants_api` reads the query."""
        assistant = services.delete_assistant(identity_of(request), path_id(assistant_id))
        return Response(assistant_document(assistant))

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: an example to create, the present configuration to change."""
        if "assistant_id" not in self.kwargs:
            return BodyForm(EXAMPLE)
        try:
            found = queries.assistant(identity_of(self.request), path_id(self.kwargs["assistant_id"]))
        except NotFound:
            # The page that says so has a form too.
            return BodyForm({})
        return BodyForm(config_of(found))


class AssistantMoves(ViewSet):
    """Moves between the states of an assistant; an illegal one is a conflict."""

    scope_family = "assistants"

    @extend_schema(request=None, responses=AssistantDocument)
    def activate(self, request: Request, assistant_id: str) -> Response:
        """Let a created assistant serve; failed checks are a conflict that names them."""
        return self._move(services.activate_assistant, request, assistant_id)

    @extend_schema(request=None, responses=AssistantDocument)
    def archive(self, request: Request, assistant_id: str) -> Response:
        """Take an active assistant out of service."""
        return self._move(services.archive_assistant, request, assistant_id)

    @extend_schema(request=None, responses=AssistantDocument)
    def restore(self, request: Request, assistant_id: str) -> Response:
        """Let an archived assistant serve again; failed checks are a conflict that names them."""
        return self._move(services.restore_assistant, request, assistant_id)

    def _move(self, move: Callable[[Identity, UUID], Assistant], request: Request, assistant_id: str) -> Response:
        _read_nothing(request)
        return _answer(move(identity_of(request), path_id(assistant_id)))

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: a move has no fields."""
        return BodyForm({})


class VersionViewSet(ViewSet):
    """The immutable versions of an assistant."""

    scope_family = "assistants"
    idempotent = ("rollback",)

    @extend_schema(parameters=list_parameters(VERSIONS), responses=listed(VersionDocument))
    def list(self, request: Request, assistant_id: str) -> Response:
        query = VERSIONS.read(request.query_params)
        versions = queries.versions(identity_of(request), path_id(assistant_id))
        return Response(paginate(versions, query, version_document))

    @extend_schema(responses=VersionDocument)
    def retrieve(self, request: Request, assistant_id: str, number: str) -> Response:
        read_no_query(request.query_params)
        version = queries.version(identity_of(request), path_id(assistant_id), version_in(number))
        return Response(version_document(version))

    @extend_schema(parameters=DIFF, responses=DiffDocument)
    def diff(self, request: Request, assistant_id: str) -> Response:
        """What differs between two versions, in any order of them. A list is one value."""
        numbers = read_integers(request.query_params, "from", "to")
        found = [queries.version(identity_of(request), path_id(assistant_id), number) for number in numbers]
        old, new = (in_order(version.config) for version in found)
        document = {
            "from": numbers[0],
            "to": numbers[1],
            "changes": changes(old, new),
            "from_config": old,
            "to_config": new,
        }
        return Response(document)

    @extend_schema(request=UpdateOptions, parameters=[IF_MATCH], responses={201: AssistantDocument})
    def rollback(self, request: Request, assistant_id: str, number: str) -> Response:
        """Copy the version's configuration forward as a new version; history is not rewritten."""
        read_no_query(request.query_params)
        options = validate(UpdateOptions, request.data)
        identity, found = identity_of(request), path_id(assistant_id)
        if_match = request.headers.get("If-Match")
        wanted, asked = version_in(number), once_of(request, identity)
        try:
            return _answer(services.roll_back_assistant(identity, found, wanted, options, if_match, asked), 201)
        except Replayed:
            return _answer(queries.assistant(identity, found), 201, REPLAYED)

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: nothing is needed to roll back or to tag."""
        return BodyForm({})


class VersionTags(ViewSet):
    """Labels such as `stable` that point at a version and may be moved."""

    scope_family = "assistants"

    @extend_schema(request=None, responses=VersionDocument)
    def update(self, request: Request, assistant_id: str, number: str, tag: str) -> Response:
        """Let the tag point at this version, wherever it pointed before."""
        _read_nothing(request)
        found = path_id(assistant_id)
        version = services.tag_version(identity_of(request), found, version_in(number), tag)
        return Response(version_document(version))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, assistant_id: str, number: str, tag: str) -> Response:
        """Take the tag off this version."""
        _read_nothing(request)
        services.untag_version(identity_of(request), path_id(assistant_id), version_in(number), tag)
        return Response(status=204)

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: a tag has no fields."""
        return BodyForm({})


class AssistantAudit(ViewSet):
    """Who did what to an assistant."""

    scope_family = "assistants"

    @extend_schema(parameters=list_parameters(AUDIT), responses=listed(AuditEntryDocument))
    def list(self, request: Request, assistant_id: str) -> Response:
        query = AUDIT.read(request.query_params)
        return Response(
            paginate(queries.audit_trail(identity_of(request), path_id(assistant_id)), query, entry_document)
        )


class AssistantTypes(ViewSet):
    """The agent types that this server knows."""

    scope_family = "assistants"

    @extend_schema(responses=AssistantTypeDocument)
    def list(self, request: Request) -> Response:
        read_no_query(request.query_params)
        return Response([agent_type_document(kind) for kind in agent_types()])


class MiddlewareTypes(ViewSet):
    """The middleware that this server knows."""

    scope_family = "assistants"

    @extend_schema(responses=MiddlewareTypeDocument)
    def list(self, request: Request) -> Response:
        read_no_query(request.query_params)
        return Response([middleware_type_document(kind) for kind in middleware_types()])


class Tools(ViewSet):
    """The tools that this server knows."""

    scope_family = "assistants"

    @extend_schema(responses=ToolDocument)
    def list(self, request: Request) -> Response:
        read_no_query(request.query_params)
        return Response(registry.documents())
