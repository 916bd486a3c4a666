"""The schedules' HTTP API."""

from typing import Any

from django.db.models import TextChoices
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.idempotency import REPLAYED, Replayed, once_of
from accounts.permissions import identity_of
from core.errors import NotFound
from core.forms import BodyForm
from core.ids import path_id
from core.mount import address
from core.openapi import list_parameters, listed
from core.pagination import (
    BY_AGE,
    Filter,
    Listing,
    choices,
    flag,
    identifier,
    integer,
    paginate,
    read_no_query,
    read_option,
)
from core.validation import Body, validate
from runs.lifecycle import Status
from scheduling import queries, services
from scheduling.bodies import ChangeSchedule, CreateSchedule
from scheduling.documents import firing_document, schedule_document, slot_document
from scheduling.models import Outcome, Schedule
from scheduling.planning import upcoming
from scheduling.serializers import FiringDocument, PreviewDocument, ScheduleDocument
from sessions.api import refuse_unknown_assistant


class LastStatus(TextChoices):
    """How a schedule's latest run ended, or that it could not be started."""

    SUCCESS = Status.SUCCESS
    ERROR = Status.ERROR
    TIMEOUT = Status.TIMEOUT
    CANCELLED = Status.CANCELLED
    FAILED = Outcome.FAILED


_ORDERINGS = {"created_at": BY_AGE, "next_run_at": ("due", "id")}
_FILTERS = {"enabled": Filter("enabled", flag), "last_status": Filter("last_status__in", choices(LastStatus))}
SCHEDULES = Listing(_ORDERINGS, "-created_at", {"assistant_id": Filter("assistant_id", identifier), **_FILTERS})
SCHEDULES_OF_ASSISTANT = Listing(_ORDERINGS, "-created_at", _FILTERS)
FIRINGS = Listing({"created_at": BY_AGE}, "-created_at", {"outcome": Filter("outcome__in", choices(Outcome))})
MOST_SHOWN, SHOWN = 100, 10
_N = OpenApiParameter("n", int, description=f"How many: 1 to {MOST_SHOWN}.", default=SHOWN)
_EXAMPLE = {"name": "Every morning", "cron": "0 9 * * MON-FRI", "timezone": "UTC", "input": {"message": "Hello"}}
_SHOWN_AS_IT_IS = ("name", "timezone", "input", "enabled", "skip_if_running", "max_active_runs", "misfire", "jitter_s")


class AssistantSchedules(ViewSet):
    """The schedules of an assistant."""

    scope_family = "schedules"
    idempotent = ("create",)

    @extend_schema(parameters=list_parameters(SCHEDULES_OF_ASSISTANT), responses=listed(ScheduleDocument))
    def list(self, request: Request, assistant_id: str) -> Response:
        query = SCHEDULES_OF_ASSISTANT.read(request.query_params)
        found = queries.schedules_of_assistant(identity_of(request), path_id(assistant_id))
        return Response(paginate(found, query, schedule_document))

    @extend_schema(request=CreateSchedule, responses={201: ScheduleDocument})
    def create(self, request: Request, assistant_id: str) -> Response:
        """Let the assistant run by itself: by `cron`, every `interval_s`, or once `at` a moment. Needs `runs:write`."""
        read_no_query(request.query_params)
        identity, told = identity_of(request), {}
        body = validate(CreateSchedule, request.data)
        try:
            made = services.create_schedule(identity, path_id(assistant_id), body, once_of(request, identity))
        except Replayed as earlier:
            made, told = queries.schedule(identity, earlier.resource_id), REPLAYED
        return Response(schedule_document(made), 201, headers={"Location": address(f"/schedules/{made.id}"), **told})

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: an example."""
        return BodyForm(_EXAMPLE)


class ScheduleViewSet(ViewSet):
    """Schedules: when assistants run by themselves."""

    scope_family = "schedules"

    @extend_schema(parameters=list_parameters(SCHEDULES), responses=listed(ScheduleDocument))
    def list(self, request: Request) -> Response:
        query = SCHEDULES.read(request.query_params)
        refuse_unknown_assistant(identity_of(request), query)
        return Response(paginate(queries.schedules(identity_of(request)), query, schedule_document))

    @extend_schema(responses=ScheduleDocument)
    def retrieve(self, request: Request, schedule_id: str) -> Response:
        read_no_query(request.query_params)
        return Response(schedule_document(queries.schedule(identity_of(request), path_id(schedule_id))))

    @extend_schema(request=ChangeSchedule, responses=ScheduleDocument)
    def partial_update(self, request: Request, schedule_id: str) -> Response:
        """Change what is given. A change of its times counts the next slot anew from now. Needs `runs:write`."""
        read_no_query(request.query_params)
        body = validate(ChangeSchedule, request.data)
        changed = services.change_schedule(identity_of(request), path_id(schedule_id), body)
        return Response(schedule_document(changed))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, schedule_id: str) -> Response:
        """Delete the schedule with its history; its runs stay, and those under way go on."""
        _read_nothing(request)
        services.delete_schedule(identity_of(request), path_id(schedule_id))
        return Response(status=204)

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: what may be changed, as it is."""
        if "schedule_id" not in self.kwargs:
            return BodyForm({})
        try:
            found = queries.schedule(identity_of(self.request), path_id(self.kwargs["schedule_id"]))
        except NotFound:
            # The page that says so has a form too.
            return BodyForm({})
        return BodyForm({name: getattr(found, name) for name in _SHOWN_AS_IT_IS})


class ScheduleMoves(ViewSet):
    """What is done with a schedule."""

    scope_family = "schedules"
    idempotent = ("trigger",)

    @extend_schema(request=Body, responses={200: ScheduleDocument})
    def pause(self, request: Request, schedule_id: str) -> Response:
        """Start no more slots; runs under way go on. Again without effect."""
        _read_nothing(request)
        return Response(schedule_document(services.pause_schedule(identity_of(request), path_id(schedule_id))))

    @extend_schema(request=Body, responses={200: ScheduleDocument})
    def resume(self, request: Request, schedule_id: str) -> Response:
        """Go on from now: what came while it was paused is not made up for. Needs `runs:write`."""
        _read_nothing(request)
        return Response(schedule_document(services.resume_schedule(identity_of(request), path_id(schedule_id))))

    @extend_schema(request=Body, responses={202: FiringDocument})
    def trigger(self, request: Request, schedule_id: str) -> Response:
        """Start a run at once, paused or not, whatever runs there are. Needs `runs:write`.

        It counts among the caller's own runs, and fails as one that is created by hand does.
        """
        _read_nothing(request)
        identity, found, told = identity_of(request), path_id(schedule_id), {}
        try:
            firing_id = services.trigger_schedule(identity, found, once_of(request, identity))
        except Replayed as earlier:
            firing_id, told = earlier.resource_id, REPLAYED
        firing = firing_document(queries.firing(identity, found, firing_id))
        return Response(firing, 202, headers={"Location": address(f"/runs/{firing['run_id']}"), **told})

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: there are no fields."""
        return BodyForm({})


class ScheduleSlots(ViewSet):
    """The slots of a schedule: those to come, and what became of the others."""

    scope_family = "schedules"

    @extend_schema(parameters=[_N], responses=PreviewDocument)
    def preview(self, request: Request, schedule_id: str) -> Response:
        """The next slots, without jitter; of a paused schedule those that it would have."""
        count = read_option(request.query_params, "n", integer(1, MOST_SHOWN), SHOWN)
        found: Schedule = queries.schedule(identity_of(request), path_id(schedule_id))
        slots = upcoming(found, queries.now().run(), count)
        return Response({"items": [slot_document(slot, found.timezone) for slot in slots]})

    @extend_schema(parameters=list_parameters(FIRINGS), responses=listed(FiringDocument))
    def runs(self, request: Request, schedule_id: str) -> Response:
        """What became of its slots, the latest first."""
        query = FIRINGS.read(request.query_params)
        return Response(paginate(queries.firings(identity_of(request), path_id(schedule_id)), query, firing_document))


def _read_nothing(request: Request) -> None:
    """For routes that take neither a query nor fields."""
    read_no_query(request.query_params)
    validate(Body, request.data)
