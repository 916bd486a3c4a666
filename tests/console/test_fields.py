"""A tool's arguments as the controls of a form."""

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from console.fields import fields_of


class Args(BaseModel):
    to: str = Field(description="Who gets it.")
    amount: float
    times: int = 1
    now: bool = False
    speed: Literal["slow", "fast"] | None = None
    note: str | None = None
    lines: list[str] = []


SCHEMA = Args.model_json_schema()


def drawn(arguments: dict[str, Any], schema: dict[str, Any] | None = SCHEMA) -> dict[str, tuple[str, str]]:
    return {field.name: (field.kind, field.text) for field in fields_of(arguments, schema)}


def test_each_plain_argument_has_a_control_of_its_own() -> None:
    assert drawn({"to": "Ada", "amount": 4.5, "now": True, "speed": "fast", "lines": ["a"]}) == {
        "to": ("text", "Ada"),
        "amount": ("number", "4.5"),
        "times": ("number", "1"),
        "now": ("checkbox", "true"),
        "speed": ("select", '"fast"'),
        "note": ("text", ""),
        "lines": ("json", '[\n  "a"\n]'),
    }


def test_what_the_tool_says_about_an_argument_stands_with_it() -> None:
    assert fields_of({}, SCHEMA)[0].about == "Who gets it."


def test_a_choice_may_be_left_out_or_be_null_where_the_tool_takes_that() -> None:
    speed = fields_of({}, SCHEMA)[4]
    assert [(choice.value, choice.chosen) for choice in speed.choices] == [
        ("", True),
        ('"slow"', False),
        ('"fast"', False),
        ("null", False),
    ]


def test_an_argument_that_does_not_fit_its_schema_is_json() -> None:
    assert drawn({"to": {"name": "Ada"}, "amount": True})["to"] == ("json", '{\n  "name": "Ada"\n}')
    assert drawn({"amount": True})["amount"] == ("json", "true")


def test_an_argument_that_the_schema_does_not_know_is_there_too() -> None:
    assert list(drawn({"extra": 1}))[-1] == "extra"
    assert drawn({"extra": 1})["extra"] == ("json", "1")


def test_a_value_beside_the_choices_is_one_of_them() -> None:
    (field,) = fields_of({"speed": "warp"}, {"properties": {"speed": {"enum": ["slow"]}}})
    assert [(choice.label, choice.chosen) for choice in field.choices] == [("warp", True), ("slow", False)]


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"$ref": "#/$defs/Speed"}, "select"),
        ({"anyOf": [{"$ref": "#/$defs/Speed"}, {"type": "null"}]}, "select"),
        ({"type": ["integer", "null"]}, "number"),
        ({"type": ["boolean", "null"]}, "select"),
        ({"const": 3}, "select"),
        ({"enum": [[1]]}, "json"),
        ({"enum": list(range(51))}, "json"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "json"),
        ({"$ref": "#/$defs/Loop"}, "json"),
        ({"$ref": "#/$defs/Nothing"}, "json"),
        (True, "json"),
        ({"type": 7}, "json"),
    ],
    ids=json.dumps,
)
def test_whatever_the_schema_is_there_is_a_control(schema: Any, kind: str) -> None:
    known = {"Speed": {"enum": ["slow", "fast"]}, "Loop": {"$ref": "#/$defs/Loop"}}
    assert drawn({}, {"properties": {"x": schema}, "$defs": known})["x"][0] == kind


@pytest.mark.parametrize("schema", [None, {}, {"properties": {}}, {"properties": []}, {"type": "array"}])
def test_without_known_arguments_there_are_no_controls(schema: dict[str, Any] | None) -> None:
    assert fields_of({"a": 1}, schema) == []
