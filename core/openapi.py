"""How `/openapi.json` describes the API: names of operations, lists, and the one error body."""

from functools import lru_cache
from typing import Any, Literal

from drf_spectacular.drainage import set_override
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from pydantic import BaseModel, Field, create_model
from rest_framework.permissions import SAFE_METHODS

from core.pagination import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET, MAX_TOTAL, Listing


class Fault(BaseModel):
    """What is wrong at one place of a request."""

    loc: list[str | int] = Field(description="Keys and positions; faults of the query start with `query`.")
    message: str


class Error(BaseModel):
    """The body of every 4xx and 5xx."""

    detail: str
    code: str = Field(description="Stable, for programs: `not_found`, `session_busy`, ...")
    request_id: str
    errors: list[Fault] = Field(description="Empty unless the status is 422.")


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="Sent again within 24 hours, it creates nothing again."
)


_ERRORS = {
    "400": "The request cannot be read, or carries two different keys.",
    "401": "No key or login, or one that does not hold.",
    "403": "The key or login lacks the scope.",
    "404": "There is no such thing, or it is another workspace's or another user's.",
    "409": "It cannot be done as things stand.",
    "413": "The body is too large.",
    "415": "The body is not `application/json`.",
    "422": "The query or the body is not valid; `errors` says where.",
}


class Schema(AutoSchema):
    """drf-spectacular's view inspector with our names and errors."""

    def get_operation_id(self) -> str:
        """The method and the path's words, in the singular where one is chosen: `post_session_runs`."""
        parts = self.path.strip("/").split("/")
        words = []
        for part, following in zip(parts, [*parts[1:], ""], strict=True):
            if not part.startswith("{"):
                words.append(_singular(part) if following.startswith("{") else part)
        return "_".join([self.method.lower(), *words]).replace("-", "_").replace(".", "_")

    def get_override_parameters(self) -> list[Any]:
        """What the view says, and the key that its creations take."""
        parameters: list[Any] = super().get_override_parameters()
        action = getattr(self.view, "action", None) or self.method.lower()
        return parameters + [IDEMPOTENCY_KEY] * (action in getattr(self.view, "idempotent", ()))

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        error = self._get_response_for_code(Error, "default", ["application/json"], direction)  # type: ignore[no-untyped-call]
        for status in self._errors():
            bodies.setdefault(status, {**error, "description": _ERRORS[status]})
        bodies.setdefault("default", {**error, "description": "What went wrong."})
        return bodies

    def _errors(self) -> list[str]:
        """The statuses that every operation of this kind may answer with, whatever else it says of itself."""
        found = ["400", "401", "403", "422"]
        if "{" in self.path:
            found.append("404")
        if self.method not in SAFE_METHODS:
            found += ["409", "413", "415"]
        return sorted(found)


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word.removesuffix("s")


@lru_cache
def listed(document: type[BaseModel]) -> type[BaseModel]:
    """The envelope of a list of `document`, for `@extend_schema(responses=...)`."""
    fields: dict[str, Any] = {
        "items": (list[document], ...),  # type: ignore[valid-type]
        "total": (int, Field(description=f"Counted to {MAX_TOTAL}.")),
        "total_exact": (bool, Field(description="Whether `total` is all.")),
        "limit": (int, ...),
        "offset": (int, ...),
        "next_cursor": (str | None, Field(description="`cursor` of the next page; null on the last.")),
    }
    envelope: type[BaseModel] = create_model(f"{document.__name__}List", **fields)
    # Else a viewset's `list` is taken to answer an array of envelopes.
    set_override(envelope, "many", False)
    return envelope


def list_parameters(listing: Listing) -> list[OpenApiParameter]:
    """The query of a list, for `@extend_schema(parameters=...)`."""
    orderings = [name for column in listing.orderings for name in (column, f"-{column}")]
    return [
        OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}.", default=DEFAULT_LIMIT),
        OpenApiParameter("offset", int, description=f"Up to {MAX_OFFSET}; a cursor goes further."),
        OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
        OpenApiParameter("ordering", str, enum=orderings, default=listing.default),
        *(
            OpenApiParameter(name, str, description=wanted.parse.__doc__ or "")
            for name, wanted in listing.filters.items()
        ),
    ]
