"""What is sent to the middleware of an assistant while it works."""

from typing import Annotated, Any

import orjson
from drf_spectacular.utils import extend_schema
from pydantic import AfterValidator, BaseModel, Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.permissions import identity_of
from core.forms import BodyForm
from core.ids import path_id
from core.pagination import read_no_query
from core.validation import Body, validate
from runs.notices import say
from sessions.queries import get_session

MAX_BYTES = 65_536


def _bounded(message: Any) -> Any:
    if len(orjson.dumps(message)) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    return message


class Notify(Body):
    """POST /sessions/{id}/middleware/{middleware_id}/notify"""

    message: Annotated[Any, AfterValidator(_bounded)] = Field(description="Whatever the middleware takes.")


class Notified(BaseModel):
    """Nothing is known of what became of it."""


class SessionMiddleware(ViewSet):
    """The middleware of a session's assistant."""

    scope_family = "runs"

    @extend_schema(request=Notify, responses={202: Notified})
    def notify(self, request: Request, session_id: str, middleware_id: str) -> Response:
        """Send a message to a middleware; it gets it before the next step of the session's run.

        Nothing is kept: the message is dropped where no run is carried out, or the assistant has no such middleware.
        """
        read_no_query(request.query_params)
        found, body = path_id(session_id), validate(Notify, request.data)
        get_session(identity_of(request), found).run()
        say(found, middleware_id, body.message)
        return Response({}, 202)

    def get_serializer(self, *args: Any, **kwargs: Any) -> BodyForm:
        """The browsable API's form."""
        return BodyForm({"message": ""})
