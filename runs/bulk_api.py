"""The runs' routes that concern many of them."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.idempotency import REPLAYED, Replayed, once_of
from accounts.identity import Identity
from accounts.permissions import identity_of
from core.db import Row
from core.forms import BodyForm
from core.ids import new_id
from core.pagination import read_no_query
from core.validation import validate
from runs import bulk
from runs.announce import announce_accepted_after_commit, announce_after_commit, look_after_commit
from runs.bodies import CancelRuns, CreateRuns
from runs.documents import run_document
from runs.lifecycle import Status
from runs.notices import stop_after_commit
from runs.queries import get_runs
from runs.serializers import CancelledDocument, RunBatchDocument

# Whoever follows more runs than these finds their ends by looking, some seconds later.
MAX_TOLD = 1_000

_STATUSES = {
    "pending": [Status.PENDING],
    "running": [Status.RUNNING],
    # A pending run that is claimed meanwhile is met among the running ones.
    "all": [Status.PENDING, Status.INTERRUPTED, Status.RUNNING],
}


class RunBatch(ViewSet):
    """Many runs at once."""

    scope_family = "runs"
    idempotent = ("create",)

    @extend_schema(request=CreateRuns, responses={202: RunBatchDocument})
    def create(self, request: Request) -> Response:
        """Queue up to 100 runs, all or none: each in a session, or with an assistant in a new one."""
        read_no_query(request.query_params)
        identity, body, told = identity_of(request), validate(CreateRuns, request.data), {}
        try:
            accepted = bulk.create_runs(identity, body, once_of(request, identity)).run()
            for run in accepted:
                announce_accepted_after_commit(run)
        except Replayed as earlier:
            accepted, told = get_runs(identity, earlier.resource_ids).run(), REPLAYED
        return Response({"items": [run_document(run) for run in accepted]}, 202, headers=told)

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: an example."""
        return BodyForm({"runs": [{"assistant_id": "", "input": {"message": "Hello"}}]})


class RunsCancelling(ViewSet):
    """Stopping many runs."""

    scope_family = "runs"

    @extend_schema(request=CancelRuns, responses={202: CancelledDocument})
    def create(self, request: Request) -> Response:
        """Stop the runs with these ids, or all that are in a status now: as `/runs/{id}/cancel` does with each."""
        read_no_query(request.query_params)
        body, identity = validate(CancelRuns, request.data), identity_of(request)
        if body.status is not None:
            return Response({"cancelled": _cancel_all(identity, body.status)}, 202)
        stopped = bulk.cancel_these(identity, body.ids or []).run()
        _tell(stopped.ended)
        stop_after_commit(stopped.asked)
        return Response({"cancelled": len(stopped)}, 202)

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form: an example."""
        return BodyForm({"status": "pending"})


def _cancel_all(identity: Identity, asked: str) -> int:
    until, act, total, told = bulk.now().run(), new_id(), 0, 0
    for status in _STATUSES[asked]:
        more = True
        # One transaction each: whoever waits for one of these sessions waits for no more than a batch.
        while more:
            stopped, more = bulk.cancel_next(identity, status, until, act=act, asked=asked).run()
            total += len(stopped)
            stop_after_commit(stopped.asked)
            if told < MAX_TOLD:
                _tell(stopped.ended)
                told += len(stopped.ended)
    return total


def _tell(ended: list[Row]) -> None:
    sessions: dict[UUID, list[UUID]] = {}
    for row in ended:
        sessions.setdefault(row["session_id"], []).append(row["id"])
    for session, runs in sessions.items():
        announce_after_commit(session, runs)
    look_after_commit([row["id"] for row in ended])
