"""What requests to the door hold: bodies, ids in paths, flags in queries, each refused in the protocol's words."""

from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel

from core.errors import BadRequest, Invalid
from core.hot import HotRequest
from core.strict_json import parse_json
from core.validation import validate

M = TypeVar("M", bound=BaseModel)


def document_of(request: HotRequest) -> Any:
    """The body's document; raises Invalid where there is none."""
    try:
        document = request.json()
    except BadRequest:
        document = None
    if document is None:
        raise Invalid("Invalid JSON in request body")
    return document


def body_of(request: HotRequest, model: type[M]) -> M:
    """The body as the model. Raises Invalid."""
    return validate(model, document_of(request))


def uuid_of(text: str, what: str = "thread ID") -> UUID:
    """The id that `text` spells, in any of its forms. Raises Invalid."""
    try:
        return UUID(text)
    except ValueError:
        raise Invalid(f"Invalid {what}: must be a UUID") from None


def thread_of(request: HotRequest) -> UUID:
    """The thread in the path. Raises Invalid."""
    return uuid_of(request.params["thread_id"])


def flag_of(request: HotRequest, name: str) -> bool:
    """A query key that is true or false, false without it. Raises Invalid."""
    given = request.query.get(name, "false").lower()
    if given in {"true", "1"}:
        return True
    if given in {"false", "0", ""}:
        return False
    raise Invalid.at("query", name, message="true or false.")


def listed(given: str | None) -> list[str]:
    """A query key that holds several values: given several times, or as JSON, as the JavaScript SDK does."""
    if not given:
        return []
    document = parse_json(given.encode()) if given.startswith("[") else given.split(",")
    return [str(name) for name in document]


def page_headers(offset: int, shown: int, *, more: bool) -> dict[str, str]:
    """What a search says of its page. As LangGraph has it the total is no total, but how far one knows there are."""
    headers = {"x-pagination-total": str(offset + shown + more)}
    return {**headers, "x-pagination-next": str(offset + shown)} if more else headers
