"""A tool's arguments as the controls of a form, made of their JSON Schema.

A plain value gets a control of its own; whatever is not, or does not fit its schema, is edited as JSON text.
"""

import json
from dataclasses import dataclass, field
from typing import Any

Json = Any
Schema = dict[str, Json]

MAX_CHOICES = 50
MAX_REFERENCES = 5
# What a control of the kind can hold.
_HOLDS: dict[str, tuple[type, ...]] = {"text": (str,), "number": (int, float), "checkbox": (bool,)}
_KINDS = {"string": "text", "number": "number", "integer": "number", "boolean": "checkbox"}


@dataclass(slots=True)
class Choice:
    """One of a few values; `value` is JSON."""

    value: str
    label: str
    chosen: bool


@dataclass(slots=True)
class Field:
    """One argument. `kind` is text, number, checkbox, select or json; `text` is what the control holds.

    `given`: the call has it. What is left empty is left out, or is null where the tool takes that (`nullable`).
    """

    name: str
    kind: str
    text: str
    given: bool
    about: str = ""
    nullable: bool = False
    choices: list[Choice] = field(default_factory=list)

    @property
    def checked(self) -> bool:
        return self.text == "true"


def fields_of(arguments: dict[str, Json], schema: Schema | None) -> list[Field]:
    """The arguments that the tool takes, in its order, and those that it got besides; none without a schema."""
    properties = (schema or {}).get("properties")
    if not schema or not isinstance(properties, dict) or not properties:
        return []
    names = [*properties, *(name for name in arguments if name not in properties)]
    return [_field(name, properties.get(name), arguments, schema) for name in names]


def as_text(value: Json) -> str:
    """A string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _field(name: str, wanted: Json, arguments: dict[str, Json], schema: Schema) -> Field:
    given = name in arguments
    found, nullable = _plain(wanted, schema)
    value = arguments[name] if given else found.get("default")
    kind = _kind(found, value, nullable=nullable)
    made = Field(name, kind, _text(kind, value, given=given), given, str(found.get("description") or ""), nullable)
    if kind == "select":
        made.choices = _choices(found, value, nullable=nullable, optional=not given)
    return made


def _plain(wanted: Json, schema: Schema) -> tuple[Schema, bool]:
    """A property once references are followed and `or null` is taken off, and whether that was there."""
    found, nullable = _dict(wanted), False
    for _ in range(MAX_REFERENCES):
        rest = {key: value for key, value in found.items() if key not in {"$ref", "anyOf"}}
        types, ways = found.get("type"), found.get("anyOf")
        if isinstance(reference := found.get("$ref"), str):
            inner = _dict(_dict(schema.get("$defs")).get(reference.removeprefix("#/$defs/")))
        elif isinstance(ways, list) and len(others := [way for way in ways if way != {"type": "null"}]) == 1:
            inner, nullable = _dict(others[0]), True
        elif isinstance(types, list) and len(others := [one for one in types if one != "null"]) == 1:
            inner, nullable = {}, True
            rest["type"] = others[0]
        else:
            break
        found = {**inner, **rest}
    return found, nullable


def _kind(wanted: Schema, value: Json, *, nullable: bool) -> str:
    if _options(wanted):
        return "select"
    kind = _KINDS.get(str(wanted.get("type")), "json")
    if kind == "checkbox" and nullable:
        return "select"
    # True is an int to Python, and no number.
    held = isinstance(value, _HOLDS.get(kind, ())) and isinstance(value, bool) == (kind == "checkbox")
    return kind if value is None or held else "json"


def _options(wanted: Schema) -> list[Json]:
    """The values of which it is one, where these are few and plain."""
    options = [wanted["const"]] if "const" in wanted else wanted.get("enum")
    if not isinstance(options, list) or len(options) > MAX_CHOICES:
        return []
    return options if all(isinstance(option, str | int | float | None) for option in options) else []


def _text(kind: str, value: Json, *, given: bool) -> str:
    if value is None and not (given and kind == "json"):
        return ""
    return value if kind == "text" else json.dumps(value, ensure_ascii=False, indent=2)


def _choices(wanted: Schema, value: Json, *, nullable: bool, optional: bool) -> list[Choice]:
    options = _options(wanted) or [True, False]
    if value is not None and value not in options:
        options = [value, *options]
    choices = [Choice(json.dumps(option), as_text(option), option == value) for option in options if option is not None]
    if optional:
        choices.insert(0, Choice("", "not given", value is None))
    if nullable or None in options:
        choices.append(Choice("null", "null", value is None and not optional))
    return choices


def _dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
