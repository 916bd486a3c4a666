"""What a deployment's own authorization (LangGraph's `Auth` handlers) says of a request."""

from typing import Any

from core.db import jsonb
from core.hot import HotRequest
from protocols.langgraph import auth

Filters = dict[str, Any]


async def allow(request: HotRequest, resource: str, action: str, value: dict[str, Any]) -> Filters:
    """Ask whether this may be done; gives what the metadata of the rows must hold, nothing for all rows.

    `resource` is "threads", "assistants", "crons" or "store", `action` as in `langgraph_sdk.Auth.on`. `value` is what
    was asked for; handlers may change it, and what is created takes its metadata from it. Raises Forbidden.
    """
    user = request.identity.user
    # Who came with a key of this server is nobody whom the handlers know.
    return {} if user is None else await auth.ask(user, resource, action, value)


def holds(column: str, filters: Filters, name: str = "filters") -> tuple[str, dict[str, Any]]:
    """An SQL condition on a jsonb column for `filters`, and its parameters, whose names begin with `name`.

    Filters are of `langgraph_sdk.Auth`: {key: value}, `$eq`, `$contains` (one, or a list of which all must be there),
    `$or` and `$and` of filters. Raises ValueError for another operator: that is a fault of the deployment's.
    """
    conditions = _Conditions(column, name)
    return conditions.of(filters), conditions.parameters


def matches(metadata: dict[str, Any], filters: Filters) -> bool:
    """`holds`, for a row that is read already."""
    return all(_matches(metadata, key, wanted) for key, wanted in filters.items())


def _matches(metadata: dict[str, Any], key: str, wanted: Any) -> bool:
    if key == "$or":
        return any(matches(metadata, each) for each in wanted)
    if key == "$and":
        return all(matches(metadata, each) for each in wanted)
    operators = _operators(key, wanted)
    if key not in metadata:
        return False
    found = metadata[key]
    for operator, operand in operators.items():
        if operator == "$eq" and not _same(found, operand):
            return False
        if operator == "$contains":
            items = operand if isinstance(operand, list) else [operand]
            if not isinstance(found, list) or not all(any(_same(each, item) for each in found) for item in items):
                return False
    return True


def _same(one: Any, other: Any) -> bool:
    # To Python 1 is True.
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _operators(key: str, wanted: Any) -> dict[str, Any]:
    written = isinstance(wanted, dict) and any(name.startswith("$") for name in wanted)
    operators: dict[str, Any] = wanted if written else {"$eq": wanted}
    # A key that begins like an operator is a misspelt one: it must not pass for a condition that is kept to.
    for name in (*operators, *([key] if key.startswith("$") else ())):
        if name not in {"$eq", "$contains"}:
            raise ValueError(f"An authorization filter with {name!r} is not known.")
    return operators


class _Conditions:
    """Makes conditions and collects their parameters."""

    def __init__(self, column: str, name: str):
        self.parameters: dict[str, Any] = {}
        self._column, self._name = column, name

    def of(self, filters: Filters) -> str:
        return " AND ".join(self._of_key(key, wanted) for key, wanted in filters.items()) or "true"

    def _of_key(self, key: str, wanted: Any) -> str:
        if key in {"$or", "$and"}:
            word, nothing = (" OR ", "false") if key == "$or" else (" AND ", "true")
            return f"({word.join(f'({self.of(each)})' for each in wanted) or nothing})"
        found = f"({self._column} -> {self._parameter(key)}::text)"
        conditions = []
        for operator, operand in _operators(key, wanted).items():
            value = self._parameter(jsonb(operand))
            # A text holds itself, to PostgreSQL.
            both = f"{found} @> {value} AND jsonb_typeof({found}) = 'array'"
            conditions.append(f"{found} = {value}" if operator == "$eq" else both)
        return f"({' AND '.join(conditions)})"

    def _parameter(self, value: Any) -> str:
        name = f"{self._name}_{len(self.parameters)}"
        self.parameters[name] = value
        return f"%({name})s"
