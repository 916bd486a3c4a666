"""One spelling for every JSON document, so that documents can be compared and counted."""

from typing import Any

import orjson


def canonical(document: Any) -> bytes:
    """`document` with sorted keys and 1.0 as 1: equal for the same JSON value, and true is not 1."""
    return orjson.dumps(_with_plain_numbers(document), option=orjson.OPT_SORT_KEYS)


def _with_plain_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_plain_numbers(item) for item in value]
    return shortest(value) if isinstance(value, float) else value


def shortest(number: float) -> float:
    """`number`, as an integer where it is one that floats hold exactly."""
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
