"""Reading requests of this protocol: bodies, and ids in paths, with the errors that its clients know."""

from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel

from core.errors import BadRequest, Invalid
from core.hot import HotRequest
from core.strict_json import parse_json
from core.validation import validate

M = TypeVar("M", bound=BaseModel)


def read(request: HotRequest, model: type[M]) -> M:
    """The request's body as the model. Raises `Invalid`, for what is no JSON too, as this protocol has it."""
    try:
        document = parse_json(request.body)
    except BadRequest as fault:
        # The client's own text tells more where it is JSON, and refused all the same.
        raise Invalid(fault.detail if request.body else "Invalid JSON in request body") from None
    return validate(model, document)


def path_uuid(request: HotRequest, name: str, what: str) -> UUID:
    """The id in the path, in any spelling of a UUID; raises `Invalid` with "Invalid thread ID: must be a UUID"."""
    try:
        return UUID(request.params[name])
    except ValueError:
        raise Invalid(f"Invalid {what} ID: must be a UUID") from None
