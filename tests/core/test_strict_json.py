"""What a body may not hold, and what it may."""

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from core.errors import BadRequest
from core.strict_json import MAX_CONTAINERS, MAX_DEPTH, MAX_KEYS, dump_json, parse_json

REFUSED = {
    "nothing": b"",
    "only spaces": b"  ",
    "half an object": b'{"a": 1',
    "two documents": b"{} {}",
    "a comment": b"{} // no",
    "a trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "NaN": b'{"a": NaN}',
    "Infinity": b"[Infinity]",
    "minus Infinity": b"[-Infinity]",
    "a key twice": b'{"a": 1, "a": 2}',
    "a key twice, spelled differently": b'{"a": 1, "\\u0061": 2}',
    "a key twice, deep": b'[{"b": {"a": 1, "c": [], "a": 1}}]',
    "too many lists": b"[" + b"[]," * MAX_CONTAINERS + b"1]",
    "too many lists beside a text that does not end": b"[" + b"[]," * MAX_CONTAINERS + b'"' + b'\\"' * 100_000,
    "too many keys": b"{" + b",".join(b'"%d":1' % n for n in range(MAX_KEYS + 1)) + b"}",
    "too deep": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "too deep in objects": b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
    "far too deep": b"[" * 100_000 + b"]" * 100_000,
    "far too deep and open": b"[" * 100_000,
    "an integer of 65 bits": b"[18446744073709551616]",
    "a negative integer of 65 bits": b"[-9223372036854775809]",
    "an integer of a million digits": b"9" * 1_000_000,
    "a float beyond floats": b"[1e400]",
    "a leading zero": b"[01]",
    "NUL in a value": b'{"a": "x\\u0000"}',
    "NUL in a key": b'{"x\\u0000": 1}',
    "NUL after a backslash": b'["\\\\\\u0000"]',
    "a raw NUL": b'["\x00"]',
    "a raw line break in a string": b'["a\nb"]',
    "a lone high surrogate": b'["\\ud800"]',
    "a lone low surrogate": b'["\\udc00 x"]',
    "a surrogate in raw bytes": b'["\xed\xa0\x80"]',
    "invalid UTF-8": b'["\xff"]',
    "overlong UTF-8": b'["\xc0\xaf"]',
    "UTF-16": '["a"]'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED.keys())
def test_refused(body: bytes) -> None:
    started = time.thread_time()
    with pytest.raises(BadRequest):
        parse_json(body)
    assert time.thread_time() - started < 2


ACCEPTED = {
    "the largest integer": (b"[18446744073709551615]", [2**64 - 1]),
    "the smallest integer": (b"[-9223372036854775808]", [-(2**63)]),
    "many digits after the point": (b"[0.12345678901234567890123]", [0.12345678901234568]),
    "digits in a string": (b'["123456789012345678901234567890"]', ["123456789012345678901234567890"]),
    "an escaped backslash before u0000": (b'["\\\\u0000"]', ["\\u0000"]),
    "a pair of surrogates": (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
    "as deep as allowed": (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
    "the same key in two objects": (b'[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
    "many brackets side by side": (b"[" + b"[],{}," * 500 + b"1]", None),
    "brackets in a string": (b'["' + b"[" * 500 + b'"]', ["[" * 500]),
    "very many brackets in a string": (b'["\\"' + b"{" * 200_000 + b'"]', ['"' + "{" * 200_000]),
    "a scalar": (b'"x"', "x"),
}


@pytest.mark.parametrize(("body", "document"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(body: bytes, document: object) -> None:
    assert parse_json(body) == (json.loads(body) if document is None else document)


def test_a_big_body_is_read_quickly() -> None:
    body = dump_json([{"role": "user", "content": "x" * 200, "number": n} for n in range(5_000)])
    started = time.thread_time()
    assert len(parse_json(body)) == 5_000
    assert time.thread_time() - started < 2


def test_moments_are_written_in_utc_with_six_digits() -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert dump_json(noon) == b'"2026-01-02T12:00:00.000000Z"'
    assert dump_json(noon.astimezone(timezone(timedelta(hours=2)))) == b'"2026-01-02T12:00:00.000000Z"'


def test_ids_and_decimals_are_written_as_text_and_numbers() -> None:
    document = {"id": UUID(int=1), "cost": Decimal("0.25")}
    assert dump_json(document) == b'{"id":"00000000-0000-0000-0000-000000000001","cost":0.25}'
