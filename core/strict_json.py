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
# Lists and objects: millions of empty ones would keep an event loop busy for seconds.
MAX_CONTAINERS = 100_000
# Of one object. Nobody writes as many by hand, and each costs more memory than its bytes.
MAX_KEYS = 10_000
# 19 digits is the first length that may not fit into 64 bits.
# To the end where none ends it, so that nothing is looked at twice.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_LONG_NUMBER = re.compile(rb"\d{19}")
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**64 - 1


class _RefusedError(ValueError):
    """Well-formed for a lenient reader, refused here."""


def media_type(content_type: str) -> str:
    """The type that a Content-Type header names, without its parameters: JSON has no other charset than UTF-8."""
    return content_type.partition(";")[0].strip().lower()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_KEYS:
        raise _RefusedError(f"The body has an object with more than {MAX_KEYS} keys.")
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
    is but could be read in two ways or not be stored: an object with a key twice or with more than 10,000 keys, more
    than 64 levels or 100,000 lists and objects, an integer of more than 64 bits, a number too large for a float, NUL
    in a string.
    """
    try:
        brackets = _brackets(body)
        # Fewer brackets than may be: nothing to look at. Those of texts do not count.
        if brackets > MAX_CONTAINERS and _brackets(_STRING.sub(b"", body)) > MAX_CONTAINERS:
            raise _RefusedError(f"The body has more than {MAX_CONTAINERS} lists and objects.")
        document = orjson.loads(body)
        # A body is one level of its own.
        if brackets > MAX_DEPTH:
            _refuse_depth(document)
        # In valid JSON backslashes pair up from the left, so what is left of `\u0000` without pairs is a NUL.
        if b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b""):
            raise _RefusedError("The body has a NUL character.")
        decoder = _with_long_numbers if _LONG_NUMBER.search(body) else _usual
        return decoder.decode(body.decode())
    except orjson.JSONDecodeError as fault:
        raise BadRequest(f"The body is not valid JSON: {fault}.") from None
    except _RefusedError as fault:
        raise BadRequest(str(fault)) from None


def _brackets(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")


def _refuse_depth(document: Any) -> None:
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
