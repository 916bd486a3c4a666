"""Schemas of users: what is taken, what is refused, and that none can keep the server busy."""

import time
from typing import Any

import pytest

from core.schemas import MAX_DEPTH, BadSchemaError, check_schema, faults

SEARCH = {
    "type": "object",
    "properties": {"q": {"type": "string", "pattern": "^[a-z]+$"}, "n": {"$ref": "#/$defs/count"}},
    "required": ["q"],
    "additionalProperties": False,
    "$defs": {"count": {"type": "integer", "minimum": 1}},
}


def places(schema: dict[str, Any], value: Any) -> list[list[str | int]]:
    return [list(fault.loc) for fault in faults(schema, value)]


def test_a_value_that_fits_has_no_faults() -> None:
    check_schema(SEARCH)
    assert faults(SEARCH, {"q": "cats", "n": 3}) == []


def test_faults_have_their_places() -> None:
    assert places(SEARCH, {"q": "CATS", "n": 0}) == [["n"], ["q"]]
    assert places(SEARCH, {"q": "cats", "more": 1}) == [[]]


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels // 2):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nope"},
        {"properties": []},
        {"$ref": "https://elsewhere/schema"},
        {"$ref": "elsewhere.json"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#/x-hidden", "x-hidden": {"patternProperties": {}}},
        {"$ref": "#/default", "default": {"pattern": [1]}},
        {"$ref": "#/default", "default": {"allOf": 5}},
        {"$ref": "#/default", "default": {"$id": 5, "$ref": "#"}},
        {"$ref": "#/allOf/x", "allOf": [{}]},
        {"$ref": "#/minLength/0", "minLength": 3},
        {"$ref": "#/$defs/a", "$id": "http://[bad", "$defs": {"a": {}}},
        {"properties": {"a": {"$id": "https://elsewhere/", "$ref": "#"}}},
        {"properties": {f"p{n}": {"pattern": f"^{n}$"} for n in range(60)}},
        {"properties": {f"p{n}": {"pattern": rf"\w{{{250 + n}}}"} for n in range(40)}},
        {"properties": {"a": {"patternProperties": {"^x": {}}}}},
        {"unevaluatedProperties": False},
        {"pattern": "(?=x)"},
        {"pattern": "("},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
        nested(MAX_DEPTH + 2),
        {"description": "x" * 70_000},
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_a_schema_that_cannot_be_evaluated_here_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(BadSchemaError):
        check_schema(schema)


def test_a_property_may_be_called_like_a_keyword() -> None:
    check_schema({"properties": {"$ref": {"type": "string"}, "patternProperties": {"type": "object"}}})


def test_true_and_one_are_different_items_but_one_and_one_point_zero_are_not() -> None:
    unique = {"uniqueItems": True}
    assert faults(unique, [1, True, "1", [1], {"a": 1}]) == []
    assert places(unique, [{"a": 1}, {"a": 1.0}]) == [[]]


def test_a_schema_may_have_an_address_anchors_and_definitions() -> None:
    city = {"$anchor": "city", "minLength": 2}
    named = {"$id": "https://example.com/city.json", "$ref": "#city", "$defs": {"city": city}}
    check_schema(named)
    assert places(named, "x") == [[]]


def test_a_recursive_schema_reads_a_tree() -> None:
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    check_schema(tree)
    assert faults(tree, {"children": [{"children": [{}]}]}) == []
    assert places(tree, {"children": [{"children": [5]}]}) == [["children", 0, "children", 0]]


BOMB = {
    "$defs": {
        **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(60)},
        "d60": {"type": "integer"},
    },
    "$ref": "#/$defs/d0",
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (BOMB, 1),
        ({"$ref": "#"}, 1),
        ({"type": "string", "pattern": "^(a+)+$"}, "a" * 50_000 + "b"),
        ({"uniqueItems": True}, [{"a": n % 29_999} for n in range(30_000)]),
    ],
    ids=["doubling references", "a reference to itself", "a backtracking pattern", "many unique items"],
)
def test_no_schema_keeps_the_server_busy(schema: dict[str, Any], value: Any) -> None:
    check_schema(schema)
    began = time.thread_time()
    assert len(faults(schema, value)) == 1
    assert time.thread_time() - began < 2
