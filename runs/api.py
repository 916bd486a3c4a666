"""The runs' HTTP API, and what of the sessions' concerns their runs.

Clients with a key meet the async routes of `runs.hot` first where both serve an address. These are for people who
are signed in to the browsable API, where a write needs a CSRF token, and for `/openapi.json`.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.db import close_old_connections
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.idempotency import REPLAYED, Replayed, once_of
from accounts.identity import Identity
from accounts.permissions import identity_of
from core.db import Bound, Row
from core.errors import BadRequest, Invalid
from core.forms import BodyForm
from core.ids import new_id, path_id
from core.mount import address
from core.openapi import list_parameters, listed
from core.pagination import BY_AGE, Filter, Listing, ListQuery, choices, identifier, paginate, read_no_query, text
from core.validation import Body, validate
from runs import accepting, queries, services
from runs.announce import (
    announce_accepted_after_commit,
    announce_after_commit,
    announce_rows_after_commit,
    look_after_commit,
)
from runs.bodies import DEFAULT_WAIT_S, MAX_WAIT_S, CancelRun, CreateRun, CreateStatelessRun, ResumeRun, parse_wait_s
from runs.documents import has_ended, run_document, run_summary, state_document
from runs.events import event_document, parse_seq
from runs.lifecycle import TERMINAL, Status
from runs.notices import stop_after_commit
from runs.resuming import resume_run
from runs.serializers import (
    CheckpointDetailDocument,
    EventDocument,
    RunDocument,
    RunSummaryDocument,
    SessionStateDocument,
    StreamedEventDocument,
)
from runtime.values import METADATA
from sessions import queries as session_queries
from sessions.api import SessionViewSet as Sessions
from sessions.api import refuse_unknown_assistant
from sessions.documents import checkpoint_document, session_document
from sessions.queries import get_session, messages_of, session_state, visible_sessions
from sessions.serializers import SessionDocument

POLL_S = 0.2
CANCEL_WAIT_S = 60.0

_ORDERINGS = {"created_at": BY_AGE}
_STATUS = {"status": Filter("status__in", choices(Status))}
RUNS = Listing(
    _ORDERINGS,
    "-created_at",
    {
        **_STATUS,
        "assistant_id": Filter("assistant_id", identifier),
        "session_id": Filter("session_id", identifier),
        "user_id": Filter("user_id", text),
        "parent_run_id": Filter("parent_run_id", identifier),
        # One that is deleted has runs still.
        "schedule_id": Filter("schedule_id", identifier),
    },
)
RUNS_OF_SESSION = Listing(_ORDERINGS, "-created_at", _STATUS)


def _events_after(number: int | None) -> Listing:
    """The list of a run's events; the ids among them begin with the run's number."""

    def after(given: str) -> int:
        """An event's id or its number: those after it."""
        return parse_seq(given, number)

    return Listing({"seq": ("seq",)}, "seq", {"after": Filter("seq__gt", after)})


_WAIT_S = OpenApiParameter(
    "wait_s", float, description=f"Seconds, up to {MAX_WAIT_S}; then 202 with the run as it is.", default=DEFAULT_WAIT_S
)
_AFTER = OpenApiParameter("after", str, description="An event's id, or `Last-Event-ID` as a header: go on after it.")
_WAITED = {200: RunDocument, 202: RunDocument}
_STREAMED: dict[Any, Any] = {(200, "text/event-stream"): StreamedEventDocument}
_CREATED = {202: RunDocument, 200: RunDocument, **_STREAMED}
_EXAMPLE = {"input": {"message": "Hello"}}


# -- sessions --------------------------------------------------------------------------------------------------------


class SessionViewSet(Sessions):
    """Sessions: conversations, each with one version of an assistant."""

    @extend_schema(responses={200: SessionDocument})
    def destroy(self, request: Request, session_id: str) -> Response:
        """Close the session, as `/close` does: its history stays."""
        return _close(request, session_id)

    @extend_schema(responses=SessionStateDocument)
    def state(self, request: Request, session_id: str) -> Response:
        """What the session stands at."""
        read_no_query(request.query_params)
        session = session_state(identity_of(request), path_id(session_id))
        messages, interrupt = messages_of(session["id"]), queries.interrupt_of(session["head_run_id"])
        stands = session["state"], session["context"], interrupt, session["checkpoint_id"]
        return Response(state_document(messages, *stands))

    @extend_schema(responses=CheckpointDetailDocument)
    def checkpoint(self, request: Request, session_id: str, checkpoint_id: str) -> Response:
        """A checkpoint, and what the session stood at there."""
        read_no_query(request.query_params)
        wanted = path_id(checkpoint_id)
        row = session_queries.checkpoint(identity_of(request), path_id(session_id), wanted)
        messages = session_queries.messages_at(wanted).run()
        values = session_queries.values_at(wanted).run()
        stood = values, values.get(METADATA, {}), queries.interrupt_at(row), wanted
        return Response({**checkpoint_document(row), "state": state_document(messages, *stood)})


class SessionClosing(ViewSet):
    """The end of a session."""

    scope_family = "sessions"

    @extend_schema(request=Body, responses={200: SessionDocument})
    def close(self, request: Request, session_id: str) -> Response:
        """Close the session: its unfinished runs are cancelled, its history stays."""
        return _close(request, session_id)

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: closing has no fields."""
        return BodyForm({})


def _close(request: Request, session_id: str) -> Response:
    read_no_query(request.query_params)
    validate(Body, request.data)
    closed = services.close_session(identity_of(request), path_id(session_id)).run()
    stop_after_commit(closed.sessions)
    announce_rows_after_commit(closed.ended)
    return Response(session_document(closed.session))


class SessionRuns(ViewSet):
    """The runs of a session."""

    scope_family = "runs"
    idempotent = ("create", "wait", "stream")

    @extend_schema(parameters=list_parameters(RUNS_OF_SESSION), responses=listed(RunSummaryDocument))
    def list(self, request: Request, session_id: str) -> Response:
        query = RUNS_OF_SESSION.read(request.query_params)
        found = path_id(session_id)
        get_session(identity_of(request), found).run()
        return Response(paginate(queries.runs(identity_of(request)).filter(session_id=found), query, run_summary))

    @extend_schema(request=CreateRun, parameters=[_WAIT_S], responses=_CREATED)
    def create(self, request: Request, session_id: str) -> Response:
        """Queue a run; `wait` and `stream` do as `/wait` and `/stream`."""
        body = validate(CreateRun, request.data)
        return _create(request, body, self._accept(request, session_id, body))

    @extend_schema(request=CreateRun, parameters=[_WAIT_S], responses=_WAITED)
    def wait(self, request: Request, session_id: str) -> Response:
        """Queue a run and wait until it ends or is interrupted. Leaving does not stop it."""
        return _wait(request, self._accept(request, session_id, validate(CreateRun, request.data)))

    @extend_schema(request=CreateRun, responses=_STREAMED)
    def stream(self, request: Request, session_id: str) -> Response:
        """Queue a run and hear its events. Leaving does not stop it."""
        raise _no_stream()

    def _accept(self, request: Request, session_id: str, body: CreateRun) -> "_Accept":
        return partial(accepting.create_run, identity_of(request), path_id(session_id), body)

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: an example."""
        return BodyForm(_EXAMPLE)


# -- runs ------------------------------------------------------------------------------------------------------------


class RunViewSet(ViewSet):
    """Runs: single executions, of any session."""

    scope_family = "runs"
    idempotent = ("create", "wait", "stream")

    @extend_schema(parameters=list_parameters(RUNS), responses=listed(RunSummaryDocument))
    def list(self, request: Request) -> Response:
        query = RUNS.read(request.query_params)
        refuse_unknown_assistant(identity_of(request), query)
        _refuse_unknown_session(identity_of(request), query)
        _refuse_unknown_parent(identity_of(request), query)
        return Response(paginate(queries.runs(identity_of(request)), query, run_summary))

    @extend_schema(request=CreateStatelessRun, parameters=[_WAIT_S], responses=_CREATED)
    def create(self, request: Request) -> Response:
        """Open a session and queue its first run; `wait` and `stream` do as `/wait` and `/stream`."""
        body = validate(CreateStatelessRun, request.data)
        return _create(request, body, partial(accepting.create_stateless_run, identity_of(request), body))

    @extend_schema(request=CreateStatelessRun, parameters=[_WAIT_S], responses=_WAITED)
    def wait(self, request: Request) -> Response:
        """Open a session, queue its first run and wait until it ends or is interrupted."""
        body = validate(CreateStatelessRun, request.data)
        return _wait(request, partial(accepting.create_stateless_run, identity_of(request), body))

    @extend_schema(request=CreateStatelessRun, responses=_STREAMED)
    def stream(self, request: Request) -> Response:
        """Open a session, queue its first run and hear its events."""
        raise _no_stream()

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: an example."""
        return BodyForm({"assistant_id": "", **_EXAMPLE})


class RunDetail(ViewSet):
    """One run: as it is, as it goes on, and its end."""

    scope_family = "runs"

    @extend_schema(responses=RunDocument)
    def retrieve(self, request: Request, run_id: str) -> Response:
        read_no_query(request.query_params)
        return Response(run_document(queries.get_run(identity_of(request), path_id(run_id)).run()))

    @extend_schema(parameters=[_WAIT_S], responses=_WAITED)
    def join(self, request: Request, run_id: str) -> Response:
        """Wait until the run ends or is interrupted."""
        wait_s = _wait_s(request)
        return _waited(_until(has_ended, identity_of(request), path_id(run_id), wait_s), {})

    @extend_schema(parameters=[_AFTER], responses=_STREAMED)
    def stream(self, request: Request, run_id: str) -> Response:
        """Hear the run's events, those so far first; closes after `end`, or after `interrupt` while it waits."""
        raise BadRequest("This is an event stream: ask for it with Accept: text/event-stream.")

    @extend_schema(parameters=list_parameters(_events_after(None)), responses=listed(EventDocument))
    def events(self, request: Request, run_id: str) -> Response:
        """The run's committed events."""
        run = queries.get_run_state(identity_of(request), path_id(run_id)).run()
        query = _events_after(run["number"]).read(request.query_params)
        return Response(paginate(queries.events(run["id"]), query, event_document))

    @extend_schema(request=CancelRun, responses={202: RunDocument})
    def cancel(self, request: Request, run_id: str) -> Response:
        """Stop the run: one that waits ends at once, one that runs is asked to. `wait`: answer when it has ended.

        `rollback`: what it wrote, its messages and its checkpoints, is taken out of the session.
        """
        read_no_query(request.query_params)
        body, found = validate(CancelRun, request.data), path_id(run_id)
        status = services.cancel_run(identity_of(request), found, rollback=body.action == "rollback").run()
        if status == Status.RUNNING:
            stop_after_commit([found])
        wait_s = CANCEL_WAIT_S if body.wait else 0
        run = _until(lambda row: row["status"] in TERMINAL, identity_of(request), found, wait_s)
        if status == Status.CANCELLED:
            announce_after_commit(run["session_id"], [found])
            look_after_commit([found])
        return Response(run_document(run), 202)

    @extend_schema(request=ResumeRun, responses={202: RunDocument})
    def resume(self, request: Request, run_id: str) -> Response:
        """Answer what the interrupted run asks; it goes on where it stopped."""
        read_no_query(request.query_params)
        body, found = validate(ResumeRun, request.data), path_id(run_id)
        resumed = resume_run(identity_of(request), found, body).run()
        announce_rows_after_commit(resumed)
        return Response(run_document(queries.get_run(identity_of(request), found).run()), 202)

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: cancelling needs nothing."""
        return BodyForm({"wait": False})


# -- how -------------------------------------------------------------------------------------------------------------

_Accept = Callable[..., Bound[Row]]


def _no_stream() -> BadRequest:
    return BadRequest("Open the stream with a key, or create the run and GET /runs/{id}/stream.")


def _create(request: Request, body: CreateRun, accept: _Accept) -> Response:
    if body.wait and body.stream:
        raise Invalid.at("stream", message="Give wait or stream, not both.")
    if body.stream:
        raise _no_stream()
    if body.wait:
        return _wait(request, accept)
    read_no_query(request.query_params)
    return _answer(*_accepted(request, accept), 202)


def _accepted(request: Request, accept: _Accept) -> tuple[Row, dict[str, str]]:
    """The run and the answer's headers; a request that was sent before gets its run as it is now."""
    identity = identity_of(request)
    try:
        run = accept(run_id=new_id(), once=once_of(request, identity)).run()
    except Replayed as earlier:
        return queries.get_run(identity, earlier.resource_id).run(), REPLAYED
    announce_accepted_after_commit(run)
    return run, {}


def _wait(request: Request, accept: _Accept) -> Response:
    wait_s = _wait_s(request)
    run, told = _accepted(request, accept)
    return _waited(_until(has_ended, identity_of(request), run["id"], wait_s), told)


def _until(over: Callable[[Row], bool], identity: Identity, run_id: UUID, wait_s: float) -> Row:
    """The run once `over` says so, or as it is after `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    while not over(queries.get_run_state(identity, run_id).run()) and time.monotonic() < deadline:
        # Whoever waits must not keep a connection of the pool from the others.
        close_old_connections()
        time.sleep(POLL_S)
    return queries.get_run(identity, run_id).run()


def _waited(run: Row, told: dict[str, str]) -> Response:
    return _answer(run, told, 200 if has_ended(run) else 202)


def _answer(run: Row, told: dict[str, str], status: int) -> Response:
    return Response(run_document(run), status, headers={"Location": address(f"/runs/{run['id']}"), **told})


def _wait_s(request: Request) -> float:
    others = request.query_params.copy()
    given = others.pop("wait_s", [])
    read_no_query(others)
    if len(given) > 1:
        raise Invalid.at("query", "wait_s", message="Given twice.")
    return parse_wait_s(given[0] if given else None)


def _refuse_unknown_session(identity: Identity, query: ListQuery) -> None:
    wanted = query.filters.get("session_id")
    if wanted and not visible_sessions(identity).filter(id=wanted).exists():
        raise Invalid.at("query", "session_id", message="There is no such session.")


def _refuse_unknown_parent(identity: Identity, query: ListQuery) -> None:
    wanted = query.filters.get("parent_run_id")
    if wanted and not queries.runs(identity).filter(id=wanted).exists():
        raise Invalid.at("query", "parent_run_id", message="There is no such run.")
