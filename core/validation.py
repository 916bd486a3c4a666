"""Bodies are pydantic models: parsed once, at the door, the same for every door."""

from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from core.errors import Invalid
from core.http import invalid_from_pydantic
from core.ids import parse_id

M = TypeVar("M", bound=BaseModel)

UserId = Annotated[str, StringConstraints(min_length=1, max_length=255)]


def _known_id(value: Any) -> UUID:
    parsed = parse_id(value) if isinstance(value, str) else None
    if parsed is None:
        raise ValueError("not an id")
    return parsed


Id = Annotated[UUID, BeforeValidator(_known_id)]


class Body(BaseModel):
    """A request body: unknown fields are refused, and no value is coerced from another type."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


def validate(model: type[M], data: Any) -> M:
    """`data` as the model; raises `Invalid` with a place for each fault. No body at all is an empty one."""
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise Invalid("The body must be a JSON object.")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise invalid_from_pydantic(error) from None
