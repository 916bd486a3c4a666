"""Lists: what a caller may ask of one, and the page that answers.

    RUNS = Listing(
        orderings={"created_at": BY_AGE},
        default="-created_at",
        filters={"status": Filter("status__in", choices(Status)), "name": Filter("name__icontains", text)},
    )

    query = RUNS.read(request.query_params)
    return Response(paginate(queries.runs(request.auth), query, run_document))

A page costs two queries at most, at any depth: a count that stops at 10,000, and the rows. A cursor holds the
last row's ordering values, so that going on from it is an index seek, however far down the list it is.
"""

import base64
import binascii
import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Choices, Field, Model, Q, QuerySet
from django.http import QueryDict
from django.utils.timezone import is_naive

from core.errors import BadRequest, FieldError, Invalid
from core.ids import parse_id
from core.strict_json import dump_json, parse_json

DEFAULT_LIMIT, MAX_LIMIT = 20, 100
MAX_OFFSET = 10_000
MAX_TOTAL = 10_000
MAX_CURSOR = 1_000
# Of two that were made at the same moment the ids tell which is the older one.
BY_AGE = ("created_at", "id")

Item = TypeVar("Item")
Row = dict[str, Any]
Parse = Callable[[str], Any]
# By its name, a column of a list.
_Column = Callable[[str], Any]
_INTEGER = re.compile(r"\d{1,9}", re.ASCII)
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Filter:
    """A query key: the lookup it becomes, and how its text is read (raises `ValueError` with a sentence)."""

    lookup: str
    parse: Parse


def identifier(text: str) -> UUID:
    """An id."""
    value = parse_id(text)
    if value is None:
        raise ValueError("Not an id.")
    return value


def text(value: str) -> str:
    """Any text that PostgreSQL can hold."""
    if "\0" in value:
        raise ValueError("Must not contain NUL.")
    return value


def flag(value: str) -> bool:
    """`true` or `false`."""
    if value not in {"true", "false"}:
        raise ValueError("Must be true or false.")
    return value == "true"


def json_object(value: str) -> dict[str, Any]:
    """A JSON object; what is found contains it, keys within keys."""
    try:
        document = parse_json(value.encode())
    except BadRequest as fault:
        raise ValueError(fault.detail.replace("The body", "The value", 1)) from None
    if not isinstance(document, dict):
        raise ValueError("Must be a JSON object.")
    return document


def choices(of: type[Choices]) -> Parse:
    """One or several of an enum's values, separated by commas; the lookup gets a list."""

    def parse(value: str) -> list[str]:
        parts = value.split(",")
        if unknown := [part for part in parts if part not in of.values]:
            raise ValueError(f"{unknown[0]!r} is not one of: {', '.join(of.values)}.")
        return parts

    parse.__doc__ = f"One or several, separated by commas, of: {', '.join(of.values)}."
    return parse


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A list request that was read: `filters` are lookups, `columns` the ordering's, their last one unique."""

    limit: int
    offset: int
    cursor: str | None
    ordering: str
    columns: tuple[str, ...]
    filters: dict[str, Any]

    @property
    def descending(self) -> bool:
        return self.ordering.startswith("-")


@dataclass(frozen=True)
class Listing:
    """What one list can do.

    `orderings`: by public name the columns it sorts by, never null, the last one unique in the list; what the query
    set annotates counts as a column, too.
    `default`: one of them, with "-" for descending. `filters`: by query key.
    """

    orderings: Mapping[str, tuple[str, ...]]
    default: str
    filters: Mapping[str, Filter] = dataclasses.field(default_factory=dict)

    def read(self, query: QueryDict) -> ListQuery:
        """Read a request's query. Raises `Invalid` that names every key that is unknown or has a bad value."""
        reader = _Reader(query)
        reader.refuse_unknown({"limit", "offset", "cursor", "ordering", *self.filters})
        ordering = reader.get("ordering", self._ordering, self.default)
        limit = reader.get("limit", integer(1, MAX_LIMIT), DEFAULT_LIMIT)
        offset = reader.get("offset", integer(0, MAX_OFFSET), 0)
        cursor = reader.get("cursor", text, None)
        if cursor is not None and "offset" in query:
            reader.faults.append(FieldError(("query", "offset"), "Not together with a cursor."))
        filters = {
            wanted.lookup: reader.get(name, wanted.parse, None)
            for name, wanted in self.filters.items()
            if name in query
        }
        reader.finish()
        columns = self.orderings[ordering.removeprefix("-")]
        return ListQuery(limit, offset, cursor, ordering, columns, filters)

    def _ordering(self, value: str) -> str:
        if value.removeprefix("-") not in self.orderings:
            raise ValueError(f"Must be one of: {', '.join(self.orderings)}; with - in front for descending.")
        return value


class _Reader:
    """Reads keys one by one and collects what is wrong with them."""

    def __init__(self, query: QueryDict):
        self._query = query
        self.faults: list[FieldError] = []

    def refuse_unknown(self, known: set[str]) -> None:
        for name, values in self._query.lists():
            if name not in known:
                self.faults.append(FieldError(("query", name), "Unknown query parameter."))
            elif len(values) > 1:
                self.faults.append(FieldError(("query", name), "Given twice."))

    def get(self, name: str, parse: Parse, default: Any) -> Any:
        if name not in self._query:
            return default
        try:
            return parse(str(self._query[name]))
        except ValueError as fault:
            self.faults.append(FieldError(("query", name), str(fault)))
            return default

    def finish(self) -> None:
        if self.faults:
            first = self.faults[0]
            raise Invalid(f"{first.loc[1]}: {first.message}", errors=self.faults)


def integer(minimum: int, maximum: int) -> Parse:
    """A whole number, in plain digits."""

    def parse(value: str) -> int:
        if not _INTEGER.fullmatch(value) or not minimum <= int(value) <= maximum:
            raise ValueError(f"Must be a whole number from {minimum} to {maximum}.")
        return int(value)

    return parse


def read_no_query(query: QueryDict) -> None:
    """For routes without query keys: raise `Invalid` for any."""
    reader = _Reader(query)
    reader.refuse_unknown(set())
    reader.finish()


def seconds(minimum: float, maximum: float) -> Parse:
    """A duration in seconds, in plain digits."""

    def parse(value: str) -> float:
        if not _SECONDS.fullmatch(value) or not minimum <= float(value) <= maximum:
            raise ValueError(f"A number of seconds from {minimum} to {maximum}.")
        return float(value)

    return parse


def read_option(query: QueryDict, name: str, parse: Parse, default: Any) -> Any:
    """For routes with one query key: its value. Raises `Invalid`, for any other key too."""
    reader = _Reader(query)
    reader.refuse_unknown({name})
    value = reader.get(name, parse, default)
    reader.finish()
    return value


def read_integers(query: QueryDict, *names: str) -> list[int]:
    """For routes that take these positive numbers, all of them. Raises `Invalid`."""
    reader = _Reader(query)
    reader.refuse_unknown(set(names))
    reader.faults += [FieldError(("query", name), "Missing.") for name in names if name not in query]
    numbers: list[int] = [reader.get(name, integer(1, 999_999_999), 0) for name in names]
    reader.finish()
    return numbers


def paginate(queryset: QuerySet[Any, Item], query: ListQuery, to_document: Callable[[Item], Any]) -> dict[str, Any]:
    """The page that `query` asks of `queryset`, of models or of `.values()` rows, as the list envelope."""
    wanted = queryset.filter(**query.filters)
    sign = "-" if query.descending else ""
    rows = wanted.order_by(*(f"{sign}{column}" for column in query.columns))
    if query.cursor is not None:
        rows = rows.filter(_beyond(_column_of(queryset), query))
    # One more than asked for tells whether there is a next page.
    found = list(rows[query.offset : query.offset + query.limit + 1])
    items, more = found[: query.limit], len(found) > query.limit
    return envelope(
        [to_document(item) for item in items],
        total=_total(wanted, query, found, more),
        limit=query.limit,
        offset=query.offset,
        next_cursor=_cursor(query, items[-1]) if more else None,
    )


def paginate_rows(
    rows: Sequence[Row], query: ListQuery, to_document: Callable[[Row], Any], model: type[Model]
) -> dict[str, Any]:
    """The page that `query` asks of rows that are all at hand; `model` has the columns that they are sorted by."""

    def key(row: Row) -> list[Any]:
        return [row[column] for column in query.columns]

    ordered = sorted(rows, key=key, reverse=query.descending)
    if query.cursor is not None:
        last = _read_cursor(model._meta.get_field, query)
        ordered = [row for row in ordered if (key(row) < last if query.descending else key(row) > last)]
    items = ordered[query.offset : query.offset + query.limit]
    more = len(ordered) > query.offset + query.limit
    return envelope(
        [to_document(item) for item in items],
        total=len(rows),
        limit=query.limit,
        offset=query.offset,
        next_cursor=_cursor(query, items[-1]) if more else None,
    )


def envelope(
    items: Sequence[Any], *, total: int, limit: int, offset: int = 0, next_cursor: str | None = None
) -> dict[str, Any]:
    """The list document; `total` may be counted one beyond the most that is told."""
    return {
        "items": items,
        "total": min(total, MAX_TOTAL),
        "total_exact": total <= MAX_TOTAL,
        "limit": limit,
        "offset": offset,
        "next_cursor": next_cursor,
    }


def _total(wanted: QuerySet[Any], query: ListQuery, found: Sequence[Any], more: bool) -> int:
    # A last page that is not empty says by itself how long the list is.
    if query.cursor is None and not more and (found or query.offset == 0):
        return query.offset + len(found)
    return wanted.order_by().values("pk")[: MAX_TOTAL + 1].count()


def _cursor(query: ListQuery, last: Any) -> str:
    values = [last[name] if isinstance(last, dict) else getattr(last, name) for name in query.columns]
    return base64.urlsafe_b64encode(dump_json([query.ordering, *values])).decode().rstrip("=")


def _column_of(queryset: QuerySet[Any, Any]) -> _Column:
    def column(name: str) -> Any:
        annotation = queryset.query.annotations.get(name)
        return queryset.model._meta.get_field(name) if annotation is None else annotation.output_field

    return column


def _beyond(column: _Column, query: ListQuery) -> Q:
    """The rows after the cursor's. Raises `Invalid` for a cursor that this list did not make."""
    values = _read_cursor(column, query)
    comparison = "lt" if query.descending else "gt"
    *leading, (last, last_value) = zip(query.columns, values, strict=True)
    beyond = Q(**{f"{last}__{comparison}": last_value})
    for name, value in leading:
        # The first condition is implied by the second, and the one that an index can seek with.
        beyond = Q(**{f"{name}__{comparison}e": value}) & (Q(**{f"{name}__{comparison}": value}) | beyond)
    return beyond


def _read_cursor(column: _Column, query: ListQuery) -> list[Any]:
    try:
        return _cursor_values(column, query)
    except (BadRequest, ValidationError, ValueError, binascii.Error):
        raise Invalid.at("query", "cursor", message="Not a cursor of this list.") from None


def _cursor_values(column: _Column, query: ListQuery) -> list[Any]:
    cursor = query.cursor or ""
    if len(cursor) > MAX_CURSOR:
        raise ValueError
    padding = "=" * (-len(cursor) % 4)
    document = parse_json(base64.b64decode(cursor + padding, altchars=b"-_", validate=True))
    # A cursor of another ordering would silently skip rows.
    if not isinstance(document, list) or document[:1] != [query.ordering]:
        raise ValueError
    return [_cursor_value(column(name), value) for name, value in zip(query.columns, document[1:], strict=True)]


def _cursor_value(field: Field[Any, Any], value: Any) -> Any:
    read = field.to_python(str(value))
    # Ours are in UTC; in another zone the first and last days of the calendar are beyond PostgreSQL's.
    if read is None or (isinstance(read, datetime) and (is_naive(read) or read.utcoffset())):
        raise ValueError
    return read
