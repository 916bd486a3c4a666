"""The sessions' HTTP API. Closing one and reading its state, now or earlier, concern its runs: `runs.api` adds them."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.idempotency import REPLAYED, Once, Replayed, once_of
from accounts.identity import Identity
from accounts.permissions import identity_of
from assistants.queries import has_assistant
from core.db import Bound, Row
from core.errors import Invalid
from core.forms import BodyForm
from core.ids import path_id
from core.mount import address
from core.openapi import list_parameters, listed
from core.pagination import BY_AGE, Filter, Listing, ListQuery, choices, identifier, paginate, read_no_query, text
from core.validation import validate
from sessions import queries, services
from sessions.bodies import ChangeSession, ForkSession, OpenSession
from sessions.documents import checkpoint_document, message_document, session_document
from sessions.models import Session, Status
from sessions.serializers import CheckpointDocument, MessageDocument, SessionDocument

_ORDERINGS = {"created_at": BY_AGE}
_FILTERS = {
    "status": Filter("status__in", choices(Status)),
    "user_id": Filter("user_id", text),
    "parent_id": Filter("parent_id", identifier),
}
SESSIONS = Listing(_ORDERINGS, "-created_at", {"assistant_id": Filter("assistant_id", identifier), **_FILTERS})
SESSIONS_OF_ASSISTANT = Listing(_ORDERINGS, "-created_at", _FILTERS)
MESSAGES = Listing({"seq": ("seq",)}, "seq")
CHECKPOINTS = Listing({"step": ("step",)}, "-step")


def refuse_unknown_assistant(identity: Identity, query: ListQuery) -> None:
    """Raise `Invalid` for a filter that names an assistant which the caller's workspace does not have."""
    wanted = query.filters.get("assistant_id")
    if wanted and not has_assistant(identity, wanted):
        raise Invalid.at("query", "assistant_id", message="There is no such assistant.")


def _wanted(identity: Identity, sessions: QuerySet[Session, Row], query: ListQuery) -> QuerySet[Session, Row]:
    """Those of sub-agents are listed for the session that they belong to, and not beside it.

    Raises `Invalid` for one that the caller does not see.
    """
    parent = query.filters.get("parent_id")
    if parent is None:
        return sessions.filter(parent_id=None)
    if not queries.visible_sessions(identity).filter(id=parent).exists():
        raise Invalid.at("query", "parent_id", message="There is no such session.")
    return sessions


class SessionViewSet(ViewSet):
    """Sessions: conversations, each with one version of an assistant."""

    scope_family = "sessions"

    @extend_schema(parameters=list_parameters(SESSIONS), responses=listed(SessionDocument))
    def list(self, request: Request) -> Response:
        query = SESSIONS.read(request.query_params)
        identity = identity_of(request)
        refuse_unknown_assistant(identity, query)
        return Response(paginate(_wanted(identity, queries.sessions(identity), query), query, session_document))

    @extend_schema(responses=SessionDocument)
    def retrieve(self, request: Request, session_id: str) -> Response:
        read_no_query(request.query_params)
        return Response(session_document(queries.session(identity_of(request), path_id(session_id))))

    @extend_schema(request=ChangeSession, responses=SessionDocument)
    def partial_update(self, request: Request, session_id: str) -> Response:
        read_no_query(request.query_params)
        body = validate(ChangeSession, request.data)
        changed = services.change_session(identity_of(request), path_id(session_id), body).run()
        return Response(session_document(changed))

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: what may be changed."""
        session = queries.session(identity_of(self.request), path_id(self.kwargs["session_id"]))
        return BodyForm({name: session[name] for name in ("title", "metadata", "assistant_version")})


class SessionFork(ViewSet):
    """Another session that begins where one stands, or stood."""

    scope_family = "sessions"
    idempotent = ("create",)

    @extend_schema(request=ForkSession, responses={201: SessionDocument})
    def create(self, request: Request, session_id: str) -> Response:
        """Open a session with the messages and the state of this one, now or as of a checkpoint."""
        read_no_query(request.query_params)
        body = validate(ForkSession, request.data)
        identity = identity_of(request)
        return _opened(request, partial(services.fork_session, identity, path_id(session_id), body))

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: a fork needs nothing."""
        return BodyForm({"checkpoint_id": None, "metadata": {}})


class AssistantSessions(ViewSet):
    """The sessions of an assistant."""

    scope_family = "sessions"
    idempotent = ("create",)

    @extend_schema(parameters=list_parameters(SESSIONS_OF_ASSISTANT), responses=listed(SessionDocument))
    def list(self, request: Request, assistant_id: str) -> Response:
        query = SESSIONS_OF_ASSISTANT.read(request.query_params)
        identity = identity_of(request)
        sessions = queries.sessions_of_assistant(identity, path_id(assistant_id))
        return Response(paginate(_wanted(identity, sessions, query), query, session_document))

    @extend_schema(request=OpenSession, responses={201: SessionDocument})
    def create(self, request: Request, assistant_id: str) -> Response:
        read_no_query(request.query_params)
        body = validate(OpenSession, request.data)
        identity = identity_of(request)
        return _opened(request, partial(services.open_session, identity, path_id(assistant_id), body))

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: a session needs nothing."""
        return BodyForm({"title": "", "metadata": {}})


def _opened(request: Request, open_once: Callable[[Once | None], Bound[Row]]) -> Response:
    """The answer with a new session; a request that was sent before gets its session as it is now."""
    identity, replayed = identity_of(request), {}
    try:
        session = open_once(once_of(request, identity)).run()
    except Replayed as earlier:
        session, replayed = queries.get_session(identity, earlier.resource_id).run(), REPLAYED
    return Response(
        session_document(session), 201, headers={"Location": address(f"/sessions/{session['id']}"), **replayed}
    )


class SessionHistory(ViewSet):
    """What was said in a session, and what each step left."""

    scope_family = "sessions"

    @extend_schema(parameters=list_parameters(MESSAGES), responses=listed(MessageDocument))
    def messages(self, request: Request, session_id: str) -> Response:
        query = MESSAGES.read(request.query_params)
        messages = queries.messages(identity_of(request), path_id(session_id))
        return Response(paginate(messages, query, message_document))

    @extend_schema(parameters=list_parameters(CHECKPOINTS), responses=listed(CheckpointDocument))
    def checkpoints(self, request: Request, session_id: str) -> Response:
        query = CHECKPOINTS.read(request.query_params)
        checkpoints = queries.checkpoints(identity_of(request), path_id(session_id))
        return Response(paginate(checkpoints, query, checkpoint_document))
