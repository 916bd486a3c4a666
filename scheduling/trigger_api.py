"""The triggers' HTTP API, and the door that other systems knock at."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.idempotency import REPLAYED
from accounts.identity import Identity
from accounts.permissions import identity_of
from accounts.shown_once import create_shown_once
from assistants.queries import require_assistant
from core.ids import path_id
from core.openapi import list_parameters, listed
from core.pagination import BY_AGE, Filter, Listing, choices, flag, identifier, paginate, read_no_query
from core.validation import Body, validate
from scheduling import trigger_calls, trigger_queries, triggers
from scheduling.models import Outcome, Trigger
from scheduling.trigger_bodies import ChangeTrigger, CreateTrigger, RotateTrigger
from scheduling.trigger_documents import call_document, trigger_document
from scheduling.trigger_serializers import (
    NewTriggerDocument,
    StartedDocument,
    TriggerCallDocument,
    TriggerDocument,
)
from sessions.api import refuse_unknown_assistant

_ORDERINGS = {"created_at": BY_AGE}
TRIGGERS = Listing(
    _ORDERINGS,
    "-created_at",
    {"assistant_id": Filter("assistant_id", identifier), "enabled": Filter("enabled", flag)},
)
TRIGGERS_OF_ASSISTANT = Listing(_ORDERINGS, "-created_at", {"enabled": Filter("enabled", flag)})
CALLS = Listing(_ORDERINGS, "-created_at", {"outcome": Filter("outcome__in", choices(Outcome))})


class AssistantTriggers(APIView):
    """The triggers of an assistant."""

    scope_family = "schedules"
    idempotent = ("post",)

    @extend_schema(parameters=list_parameters(TRIGGERS_OF_ASSISTANT), responses=listed(TriggerDocument))
    def get(self, request: Request, assistant_id: str) -> Response:
        query, identity, found = (
            TRIGGERS_OF_ASSISTANT.read(request.query_params),
            identity_of(request),
            path_id(assistant_id),
        )
        require_assistant(identity, found)
        return Response(
            paginate(trigger_queries.triggers(identity).filter(assistant_id=found), query, trigger_document)
        )

    @extend_schema(request=CreateTrigger, responses={201: NewTriggerDocument})
    def post(self, request: Request, assistant_id: str) -> Response:
        """Make an address where another system starts runs of the assistant. Needs `runs:write`."""
        read_no_query(request.query_params)
        body, target = validate(CreateTrigger, request.data), path_id(assistant_id)

        def make(identity: Identity, trigger_id: UUID) -> tuple[Trigger, str]:
            return triggers.create_trigger(identity, target, body, trigger_id)

        return create_shown_once(request, make, trigger_queries.trigger, trigger_document, "secret")


class Triggers(APIView):
    """The addresses where other systems start runs."""

    scope_family = "schedules"

    @extend_schema(parameters=list_parameters(TRIGGERS), responses=listed(TriggerDocument))
    def get(self, request: Request) -> Response:
        query = TRIGGERS.read(request.query_params)
        refuse_unknown_assistant(identity_of(request), query)
        return Response(paginate(trigger_queries.triggers(identity_of(request)), query, trigger_document))


class TriggerDetail(APIView):
    """One trigger."""

    scope_family = "schedules"

    @extend_schema(responses=TriggerDocument)
    def get(self, request: Request, trigger_id: str) -> Response:
        read_no_query(request.query_params)
        return Response(trigger_document(trigger_queries.trigger(identity_of(request), path_id(trigger_id))))

    @extend_schema(request=ChangeTrigger, responses=TriggerDocument)
    def patch(self, request: Request, trigger_id: str) -> Response:
        """Change what is given; the next call goes by it. Needs `runs:write`."""
        read_no_query(request.query_params)
        body = validate(ChangeTrigger, request.data)
        return Response(trigger_document(triggers.change_trigger(identity_of(request), path_id(trigger_id), body)))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, trigger_id: str) -> Response:
        """Forget the trigger with the log of its calls; its runs stay."""
        read_no_query(request.query_params)
        validate(Body, request.data)
        triggers.delete_trigger(identity_of(request), path_id(trigger_id))
        return Response(status=204)


class TriggerRotation(APIView):
    """A trigger's next secret."""

    scope_family = "schedules"
    idempotent = ("post",)

    @extend_schema(request=RotateTrigger, responses={201: NewTriggerDocument})
    def post(self, request: Request, trigger_id: str) -> Response:
        """Take another secret; the former one is taken beside it for `overlap_s` seconds more."""
        read_no_query(request.query_params)
        body, its_id = validate(RotateTrigger, request.data), path_id(trigger_id)
        return create_shown_once(
            request,
            lambda identity, _: triggers.rotate_trigger(identity, its_id, body),
            lambda identity, _: trigger_queries.trigger(identity, its_id),
            trigger_document,
            "secret",
        )


class TriggerCalls(APIView):
    """Who called a trigger and held its secret."""

    scope_family = "schedules"

    @extend_schema(parameters=list_parameters(CALLS), responses=listed(TriggerCallDocument))
    def get(self, request: Request, trigger_id: str) -> Response:
        """The calls that proved themselves, the latest first."""
        query = CALLS.read(request.query_params)
        return Response(
            paginate(trigger_queries.calls(identity_of(request), path_id(trigger_id)), query, call_document)
        )


class Calling(APIView):
    """A trigger, as another system meets it."""

    # The signature is the credential; of a key or a login that is sent along nothing is known here.
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    scope_family = None

    @extend_schema(request=dict[str, Any], responses={202: StartedDocument}, auth=[])
    def post(self, request: Request, token: str) -> Response:
        """Start a run: the body is its input, and its signature proves who sends it. The same delivery starts one."""
        asked = request._request
        headers = {name.lower(): value for name, value in asked.headers.items()}
        address = asked.META.get("REMOTE_ADDR", "")
        started = trigger_calls.call(triggers.PREFIX + token, headers, asked.body, address)
        return Response(started.document(), 202, headers=REPLAYED if started.replayed else None)
