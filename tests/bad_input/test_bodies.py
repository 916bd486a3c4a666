"""Bodies that cannot be read, that are no object, or that are too large: at every route that writes."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from core.strict_json import MAX_DEPTH, MAX_KEYS
from tests.bad_input.conftest import World
from tests.bad_input.routes import GOOD, Route, filled
from tests.core.test_strict_json import REFUSED

pytestmark = pytest.mark.django_db
ROUTES = pytest.mark.parametrize("route", GOOD, ids=" ".join)

# As a value within a body that is otherwise good.
UNREADABLE = {
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "a float beyond floats": b"1e400",
    "an integer of 5,000 digits": b"1" + b"0" * 5_000,
    "an integer of 65 bits": b"18446744073709551616",
    "a hexadecimal number": b"0x10",
    "NUL": b'"a\\u0000b"',
    "half of an emoji": b'"\\ud83d"',
    "invalid UTF-8": b'"\xff\xfe"',
    "Latin-1": b'"\xe9"',
    "an object with a key twice": b'{"a": 1, "a": 2}',
    "too deep": b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
    "too many keys": orjson.dumps({str(n): n for n in range(MAX_KEYS + 1)}),
    "an undefined": b"undefined",
    "single quotes": b"'a'",
    "a call": b"alert(1)",
}
SPELLINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "a byte order mark": lambda text: text.encode("utf-8-sig"),
    "a NUL at the end": lambda text: text.encode() + b"\x00",
    "twice": lambda text: (text + text).encode(),
    "half": lambda text: text.encode()[:-1],
}
NO_OBJECT: dict[str, Any] = {
    "a list": [],
    "a list of objects": [{}],
    "a text": "text",
    "a number": 5,
    "true": True,
    "a float": -0.0,
}
ALLOWED_CPU = 25


def body_of(route: Route, world: World) -> tuple[str, str, dict[str, Any]]:
    method, path = route
    return method, filled(path, world.ours), filled(GOOD[route], world.ours) or {}


def with_value(body: dict[str, Any], value: bytes) -> bytes:
    """The body with one key more, first, so that nothing else is seen before it."""
    rest = orjson.dumps(body)[1:]
    return b'{"zzz":' + value + (b"," if body else b"") + rest


@ROUTES
def test_what_cannot_be_read_is_a_bad_request_and_leaves_nothing(world: World, route: Route) -> None:
    method, path, body = body_of(route, world)
    before = world.door.stored()
    refused = [raw for raw in REFUSED.values() if 0 < len(raw) < 100_000]
    refused += [with_value(body, value) for value in UNREADABLE.values()]
    refused += [spell(orjson.dumps({"metadata": {}, **body}).decode()) for spell in SPELLINGS.values()]
    for raw in refused:
        world.door.refuse(400, "bad_request", method, path, raw)
    assert world.door.stored() == before


@ROUTES
def test_what_is_no_object_is_invalid_and_leaves_nothing(world: World, route: Route) -> None:
    method, path, _ = body_of(route, world)
    before = world.door.stored()
    for document in NO_OBJECT.values():
        world.door.refuse(422, "invalid", method, path, orjson.dumps(document))
    assert world.door.stored() == before


@ROUTES
def test_another_content_type_is_refused(world: World, route: Route) -> None:
    method, path, body = body_of(route, world)
    before = world.door.stored()
    raw = orjson.dumps(body)
    for content_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonp",
        "application/json-patch+json",
        "text/json",
        "application/",
        "*/*",
        "",
        None,
    ):
        world.door.refuse(415, "unsupported_media_type", method, path, raw, content_type=content_type)
    for encoding in ("gzip", "deflate", "br", "zstd", "gzip, identity", "x"):
        headers = {"Content-Encoding": encoding}
        world.door.refuse(415, "unsupported_media_type", method, path, raw, headers=headers)
    assert world.door.stored() == before


@ROUTES
def test_a_body_over_the_limit_is_too_large(world: World, route: Route) -> None:
    method, path, body = body_of(route, world)
    before = world.door.stored()
    huge = with_value(body, b'"' + b"x" * 10_485_760 + b'"')
    world.door.refuse(413, "too_large", method, path, huge)
    # Whatever it claims; what it claims alone is enough, too.
    world.door.refuse(413, "too_large", method, path, huge, headers={"Content-Length": "2"})
    world.door.refuse(413, "too_large", method, path, b"{}", headers={"Content-Length": "99999999999999999999"})
    world.door.refuse(400, "bad_request", method, path, b"{}", headers={"Content-Length": "-1"})
    assert world.door.stored() == before


BIG: dict[str, Callable[[int], bytes]] = {
    "brackets": lambda size: b"[" * size,
    "closed brackets": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "objects": lambda size: b'{"a":' * (size // 5),
    "digits": lambda size: b"9" * size,
    "digits after the point": lambda size: b"0." + b"9" * size,
    "an exponent": lambda size: b"1e" + b"9" * size,
    "many long numbers": lambda size: b"[" + b"18446744073709551616," * (size // 21) + b"1]",
    "backslashes": lambda size: b'"' + b"\\\\" * (size // 2) + b'"',
    "escapes": lambda size: b'"' + b"\\u0041" * (size // 6) + b"\\u0000" + b'"',
    "empty lists": lambda size: b"[" + b"[]," * (size // 3) + b"1]",
    "keys": lambda size: b"{" + b",".join(b'"%d":1' % n for n in range(size // 10)) + b"}",
    "one key again and again": lambda size: b"{" + b'"a":1,' * (size // 6) + b'"a":1}',
    "blanks": lambda size: b" " * size,
    "invalid UTF-8": lambda size: b'"' + b"\xff" * size + b'"',
}


@pytest.mark.parametrize("hostile", BIG.values(), ids=BIG.keys())
@pytest.mark.parametrize("path", ["/assistants", "/runs"])
def test_a_hostile_megabyte_costs_no_more_than_a_plain_one(
    world: World, path: str, hostile: Callable[[int], bytes]
) -> None:
    plain = orjson.dumps({"zzz": [{"role": "user", "content": "x" * 50}] * 14_000})
    usual = min(world.door.refuse(422, "invalid", "POST", path, plain).cpu_s for _ in range(2))
    raw = hostile(len(plain))
    costs = (world.door.measure("POST", path, raw) for _ in range(3))
    # The cheapest of three, since this machine has more to do; one is enough nearly always.
    assert any(told.answer.status_code in {400, 422} and told.cpu_s < ALLOWED_CPU * usual for told in costs)
