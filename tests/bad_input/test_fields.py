"""Each field of each body: missing, null, of another type, out of its bounds, unknown; the document says which."""

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker

from tests.bad_input.conftest import World
from tests.bad_input.routes import GOOD, Route, blank, filled

pytestmark = pytest.mark.django_db
WITH_BODY = [route for route, body in GOOD.items() if body]
ROUTES = pytest.mark.parametrize("route", WITH_BODY, ids=" ".join)
Place = tuple[str | int, ...]

# Those of a type together.
VALUES: list[list[Any]] = [
    [None],
    [True],
    [0, -1, 2**31, 2**63, -(2**63)],
    [1.5, -0.0, 1e308],
    ["", "1", "\u202e\u200b\U0001f600", "../../etc/passwd", "x" * 20_000],
    [[], [None], [[]]],
    [{}, {"x": {}}],
]
# Within blocks, which are checked as their fields at the top are.
DEEPER: list[list[Any]] = [[None], [True], [-1], [1e308], [""], [[]], [{"x": {}}]]
HOSTILE_IDS = [
    "",
    "x",
    "0",
    "00000000-0000-0000-0000-00000000000g",
    "{00000000-0000-7000-8000-000000000000}",
    "urn:uuid:00000000-0000-7000-8000-000000000000",
    "00000000000070008000000000000000",
    "ABCDEF00-0000-7000-8000-000000000000",
    " 00000000-0000-7000-8000-000000000000",
    "00000000-0000-7000-8000-000000000000\n",
    "' OR 1=1 --",
    "../../etc/passwd",
    "{{7*7}}",
    "𝟎" * 36,
    "1" * 5_000,
]


@cache
def description() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)


@cache
def oracle(route: Route) -> Draft202012Validator:
    """What `/openapi.json` says of the route's body."""
    document, (method, path) = description(), blank(route)
    described = next(
        known[method.lower()]
        for address, known in document["paths"].items()
        if blank((method, address))[1] == path and method.lower() in known
    )
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    return Draft202012Validator(
        {**schema, "components": document["components"]}, format_checker=FormatChecker(["uuid"])
    )


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Every place of a body below its top."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*here, key)
        yield from places(item, (*here, key))


def changed(body: Any, place: Place, *value: Any) -> Any:
    """The body with another value there; without a value, without the key."""
    other = copy.deepcopy(body)
    parent = other
    for key in place[:-1]:
        parent = parent[key]
    if value:
        parent[place[-1]] = value[0]
    else:
        del parent[place[-1]]
    return other


def wrong(route: Route, body: dict[str, Any]) -> Iterator[tuple[Place, Any]]:
    """Bodies that the document does not allow, with one thing that is wrong.

    Where no value of a type is allowed, one of them is as good as another: each place has another one.
    """
    told = oracle(route)
    top = {(name,) for name in _properties(told.schema)}
    there = set(places(body))
    for number, place in enumerate(sorted(there | top, key=str)):
        for alike in VALUES if len(place) == 1 else DEEPER:
            bodies = [changed(body, place, value) for value in alike]
            refused = [other for other in bodies if not told.is_valid(other)]
            if len(refused) == len(bodies):
                refused = [refused[number % len(refused)]]
            for other in refused:
                yield place, other
        if place in there and not told.is_valid(other := changed(body, place)):
            yield place, other
    for place in [(), *there]:
        inside = body
        for key in place:
            inside = inside[key]
        if isinstance(inside, dict) and not told.is_valid(more := changed(body, (*place, "surprise"), 1)):
            yield (*place, "surprise"), more


def _properties(schema: Any) -> set[str]:
    reference = schema.get("$ref", "").rpartition("/")[2]
    found = schema["components"]["schemas"].get(reference, schema)
    return set(found.get("properties", ()))


@ROUTES
def test_the_document_allows_what_is_taken(route: Route, world: World) -> None:
    oracle(route).validate(filled(GOOD[route], world.ours))


@ROUTES
def test_what_the_document_does_not_allow_is_invalid_and_leaves_nothing(world: World, route: Route) -> None:
    method, path = route
    address, body = filled(path, world.ours), filled(GOOD[route], world.ours)
    before = world.door.stored()
    seen = 0
    for place, candidate in wrong(route, body):
        told = world.door.refuse(422, "invalid", method, address, candidate)
        faults = [error["loc"] for error in told.answer.json()["errors"]]
        assert faults, place
        seen += 1
    # A field that may be anything has only its absence to be wrong.
    assert seen > (1 if path.endswith("/notify") else 5)
    assert world.door.stored() == before


MOMENTS = [
    "9999-12-31T23:59:59-12:00",
    "0001-01-01T00:00:00+12:00",
    "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00",
    "2020-01-01T00:00:00Z",
    "tomorrow",
    "",
    "-1",
    "1e400",
    "9" * 400,
]


@pytest.mark.parametrize("path", ["/api-keys", "/api-keys/{api_key_id}/rotate"])
def test_a_moment_that_is_none_or_beyond_the_calendar_is_invalid(world: World, path: str) -> None:
    body = GOOD["POST", path]
    before = world.door.stored()
    for moment in MOMENTS:
        world.door.refuse(422, "invalid", "POST", filled(path, world.ours), {**body, "expires_at": moment})
    assert world.door.stored() == before


def ids_in(route: Route) -> list[Place]:
    """Where ids of ours stand in the route's good body."""
    body = GOOD[route]
    found = []
    for place in places(body):
        value = body
        for key in place:
            value = value[key]
        if isinstance(value, str) and value.startswith("{") and value.endswith("_id}"):
            found.append(place)
    return found


@pytest.mark.parametrize("route", [route for route in WITH_BODY if ids_in(route)], ids=" ".join)
def test_an_id_that_is_none_of_ours_is_invalid_and_leaves_nothing(world: World, route: Route) -> None:
    method, path = route
    address, body = filled(path, world.ours), filled(GOOD[route], world.ours)
    before = world.door.stored()
    for place in ids_in(route):
        name = str(GOOD[route][place[0]] if len(place) == 1 else "").strip("{}")
        strange = [world.strangers[name]] if name in world.strangers and place[0] != "ids" else []
        for identifier in [*HOSTILE_IDS, *strange]:
            told = world.door.refuse(422, "invalid", method, address, changed(body, place, identifier))
            assert told.answer.json()["errors"][0]["loc"][: len(place)] == list(place)
    assert world.door.stored() == before
