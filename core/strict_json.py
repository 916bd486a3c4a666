"""JSON as it comes in (strict) and as it goes out (fast).

orjson reads quickly but takes the last of two equal keys and turns a 30-digit integer into a float; the
standard library's decoder lets both be seen. A body passes through both: 2 µs for a usual one.
"""

import json
import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

from core.clock import isoformat
from core.errors import BadRequest

MAX_DEPTH = 64
# 19 digits is the first length that may not fit into 64 bits.
_LONG_NUMBER = re.compile(rb"\d{19}")
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**64 - 1


class _RefusedError(ValueError):
    """Well-formed for a lenient reader, refused here."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RefusedError("The body has an object with the same key twice.")
    return members


def _integer(digits: str) -> int:
    # The text is measured first: turning a million digits into an integer takes quadratic time.
    value = int(digits) if len(digits) <= 20 else _INTEGER_MAX + 1
    if not _INTEGER_MIN <= value <= _INTEGER_MAX:
        raise _RefusedError("The body has an integer of more than 64 bits.")
    return value


_usual = json.JSONDecoder(object_pairs_hook=_unique)
_with_long_numbers = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_integer)


def parse_json(body: bytes) -> Any:
    """The document that `body` holds.

    Raises `BadRequest` for what is not JSON in UTF-8 (NaN, Infinity and lone surrogates included), and for what
    is but could be read in two ways or not be stored: an object with a key twice, more than 64 levels, an
    integer of more than 64 bits, a number too large for a float, NUL in a string.
    """
    try:
        document = orjson.loads(body)
        _refuse_depth(body, document)
        # In valid JSON backslashes pair up from the left, so what is left of `\u0000` without pairs is a NUL.
        if b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b""):
            raise _RefusedError("The body has a NUL character.")
        decoder = _with_long_numbers if _LONG_NUMBER.search(body) else _usual
        return decoder.decode(body.decode())
    except orjson.JSONDecodeError as fault:
        raise BadRequest(f"The body is not valid JSON: {fault}.") from None
    except _RefusedError as fault:
        raise BadRequest(str(fault)) from None


def _refuse_depth(body: bytes, document: Any) -> None:
    # Fewer brackets than levels: nothing to walk. A body is one level of its own.
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    level, depth = [document], 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise _RefusedError(f"The body is nested more than {MAX_DEPTH} levels deep.")
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]


def _other(value: Any) -> Any:
    if isinstance(value, datetime):
        return isoformat(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON.")


def dump_json(document: Any, *, indent: bool = False) -> bytes:
    """`document` as JSON: UUIDs as text, moments in the API's format, decimals as numbers, sets sorted."""
    options = orjson.OPT_PASSTHROUGH_DATETIME | (orjson.OPT_INDENT_2 if indent else 0)
    return orjson.dumps(document, _other, options)
