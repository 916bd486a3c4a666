"""Filters of a search as SQL on the jsonb column `value`."""

from typing import Any

from core.db import jsonb
from core.errors import BadRequest, Invalid

_COMPARISONS = {"$eq": "=", "$ne": "<>", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
# Each is a condition of one statement.
MAX_CONDITIONS = 100


class Conditions:
    """Collects conditions and their parameters.

    What has another type than the value that it is compared with matches `$ne` alone: PostgreSQL would find any number
    greater than any text.
    """

    def __init__(self, wanted: dict[str, Any]):
        self.parameters: dict[str, Any] = {}
        self._conditions: list[str] = []
        self._add((), wanted)

    @property
    def sql(self) -> str:
        """All of them, true where there are none."""
        return " AND ".join(self._conditions) or "true"

    def _add(self, path: tuple[str, ...], wanted: dict[str, Any]) -> None:
        for key, value in wanted.items():
            here = (*path, key)
            if not isinstance(value, dict) or not value:
                self._compare(here, "=", value)
            elif any(name.startswith("$") for name in value):
                for operator, operand in value.items():
                    if operator not in _COMPARISONS:
                        raise BadRequest(f"Unsupported operator: {operator}")
                    self._compare(here, _COMPARISONS[operator], operand)
            else:
                self._add(here, value)

    def _compare(self, path: tuple[str, ...], comparison: str, value: Any) -> None:
        number = len(self._conditions)
        if number >= MAX_CONDITIONS:
            raise Invalid(f"A filter has {MAX_CONDITIONS} conditions at most.")
        self.parameters |= {f"path_{number}": list(path), f"wanted_{number}": jsonb(value)}
        found, wanted = f"(value #> %(path_{number})s::text[])", f"%(wanted_{number})s"
        condition = f"{found} {comparison} {wanted}"
        if comparison not in {"=", "<>"}:
            condition = f"(jsonb_typeof({found}) = jsonb_typeof({wanted}) AND {condition})"
        self._conditions.append(condition)
