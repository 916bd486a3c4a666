"""Bodies are pydantic models: parsed once, at the door, the same for every door."""

from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from core.errors import FieldError, Invalid
from core.ids import parse_id
from core.text import sentence

M = TypeVar("M", bound=BaseModel)

UserId = Annotated[str, StringConstraints(min_length=1, max_length=255)]


def _known_id(value: Any) -> UUID:
    parsed = parse_id(value) if isinstance(value, str) else None
    if parsed is None:
        raise ValueError("not an id")
    return parsed


Id = Annotated[UUID, BeforeValidator(_known_id)]


def _boolean(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


# To a literal 1 is true and 0 is false.
Yes = Annotated[Literal[True], BeforeValidator(_boolean)]
No = Annotated[Literal[False], BeforeValidator(_boolean)]

# Lists show the metadata of up to 100 things at once.
MAX_METADATA_BYTES = 65_536


def bounded(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata itself; raises `ValueError` for more of it than one thing may have."""
    if len(orjson.dumps(metadata)) > MAX_METADATA_BYTES:
        raise ValueError(f"has more than {MAX_METADATA_BYTES} bytes")
    return metadata


# What a client keeps with a thing of ours.
Metadata = Annotated[dict[str, Any], AfterValidator(bounded)]


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


def invalid_from_pydantic(error: ValidationError, prefix: tuple[str | int, ...] = ()) -> Invalid:
    """The 422 for a body that a pydantic model refused; `prefix` is where in the request that body stands."""
    told = error.errors(include_url=False, include_input=False, include_context=False)
    return Invalid.of([FieldError((*prefix, *fault["loc"]), sentence(fault["msg"])) for fault in told])
