"""JSON Schemas that users write, and values checked against them.

A schema is written by one user and evaluated in everybody's server, so what could run away is taken out:
remote references, backtracking regular expressions, and more work than one check may cost.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from itertools import islice
from typing import Any

import orjson
from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.validators import extend
from pydantic_core import SchemaValidator
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from core.canonical import canonical
from core.errors import FieldError
from core.patterns import PatternError, linear

MAX_BYTES = 65_536
MAX_DEPTH = 32
MAX_CPU_S = 0.5
MAX_FAULTS = 20
MAX_PATTERNS = 50
# An engine's time to read patterns is in step with the memory that they take then.
MAX_PATTERNS_CPU_S = 0.2
MAX_MESSAGE = 500
# They match names by backtracking expressions, or look up references outside of the counted evaluation.
UNSUPPORTED = (
    "patternProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "$dynamicRef",
    "$recursiveRef",
)

_ADDRESS = re.compile(r"[A-Za-z0-9:/?=&%._~+-]*#?")

Schema = dict[str, Any]
Path = tuple[str | int, ...]


class BadSchemaError(Exception):
    """The schema cannot be used; `path` is where in it."""

    def __init__(self, message: str, path: Path = ()):
        super().__init__(message)
        self.message = message
        self.path = path


class _WorkExceededError(Exception):
    pass


_deadline: ContextVar[float] = ContextVar("deadline")


@lru_cache(maxsize=256)
def _expression(pattern: str) -> SchemaValidator:
    return linear(pattern)


def _pattern(validator: Any, pattern: str, value: Any, schema: Schema) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _expression(pattern).isinstance_python(value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _unique_items(validator: Any, wanted: bool, value: Any, schema: Schema) -> Iterator[ValidationError]:
    """In linear time; jsonschema's own compares each item with each other."""
    if wanted and isinstance(value, list):
        seen = {canonical(item) for item in value}
        if len(seen) < len(value):
            yield ValidationError(f"{value!r} has non-unique elements")


def _bounded(keyword: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
    def check(validator: Any, expected: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
        if time.thread_time() > _deadline.get():
            raise _WorkExceededError
        yield from keyword(validator, expected, value, schema) or ()

    return check


_KEYWORDS = {**Draft202012Validator.VALIDATORS, "pattern": _pattern, "uniqueItems": _unique_items}
_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {name: _bounded(keyword) for name, keyword in _KEYWORDS.items() if name not in UNSUPPORTED},
)


def check_schema(schema: Schema) -> None:
    """Raises `BadSchemaError` unless `schema` is a JSON Schema (Draft 2020-12) that this server evaluates."""
    if _depth(schema) > MAX_DEPTH:
        raise BadSchemaError(f"The schema may be at most {MAX_DEPTH} levels deep.")
    if len(orjson.dumps(schema)) > MAX_BYTES:
        raise BadSchemaError(f"The schema may have at most {MAX_BYTES} bytes.")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as fault:
        raise BadSchemaError(fault.message[:MAX_MESSAGE], tuple(fault.absolute_path)) from None
    root: Resource[Any] = DRAFT202012.create_resource(schema)
    subschemas = list(_subschemas(root))
    for found in subschemas:
        _check_keywords(found, is_root=found is schema)
    _check_patterns([found["pattern"] for found in subschemas if "pattern" in found])
    _check_references(root, subschemas)


def _depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(child) for child in children if isinstance(child, dict | list)), default=0)


def _subschemas(resource: Resource[Any]) -> Iterator[Schema]:
    """The schema and all in it, where the standard has them: these the meta-schema has looked at."""
    if isinstance(resource.contents, dict):
        yield resource.contents
        for child in resource.subresources():
            yield from _subschemas(child)


def _check_keywords(schema: Schema, *, is_root: bool) -> None:
    for keyword in UNSUPPORTED:
        if keyword in schema:
            raise BadSchemaError(f"{keyword} is not supported.")
    dialect = str(schema.get("$schema", "")).rstrip("#")
    if dialect not in {"", "https://json-schema.org/draft/2020-12/schema"}:
        raise BadSchemaError("$schema must be https://json-schema.org/draft/2020-12/schema.", ("$schema",))
    # What references are told from; within a schema there is one such place.
    if "$id" in schema and not (is_root and _ADDRESS.fullmatch(schema["$id"])):
        raise BadSchemaError("An $id must be a plain address, and stand at the top of the schema.", ("$id",))


def _check_patterns(patterns: list[str]) -> None:
    """They are small, but what the engine makes of one may be a million times as large."""
    if len(patterns) > MAX_PATTERNS:
        raise BadSchemaError(f"The schema may have at most {MAX_PATTERNS} patterns.", ("pattern",))
    until = time.thread_time() + MAX_PATTERNS_CPU_S
    for pattern in patterns:
        try:
            _expression(pattern)
        except PatternError:
            raise BadSchemaError(
                "The pattern must be a regular expression without look-around, back-references and great repetitions.",
                ("pattern",),
            ) from None
        if time.thread_time() > until:
            raise BadSchemaError("The patterns repeat too much.", ("pattern",))


def _check_references(root: Resource[Any], subschemas: list[Schema]) -> None:
    """A reference may lead to a subschema only: what else stands in a schema nobody has looked at."""
    known, resolver = {id(found) for found in subschemas}, Registry().resolver_with_root(root)
    for reference in (found["$ref"] for found in subschemas if "$ref" in found):
        if not reference.startswith("#"):
            raise BadSchemaError("A reference must stay within the schema: #/...", ("$ref",))
        try:
            target = resolver.lookup(reference).contents
        # A pointer into a list by a name, or into a number, is not foreseen by the library.
        except (Unresolvable, LookupError, TypeError, ValueError):
            raise BadSchemaError(f"The reference {reference!r} leads nowhere.", ("$ref",)) from None
        if not isinstance(target, bool) and id(target) not in known:
            raise BadSchemaError(f"The reference {reference!r} does not lead to a schema.", ("$ref",))


@lru_cache(maxsize=256)
def _compiled(schema: bytes) -> Draft202012Validator:
    validator: Draft202012Validator = _Validator(orjson.loads(schema), registry=Registry())
    return validator


def faults(schema: Schema, value: Any) -> list[FieldError]:
    """Where and why `value` does not fit `schema`, at most 20 places; empty where it fits.

    `schema` has passed `check_schema`. A value that takes too long to check does not fit.
    """
    _deadline.set(time.thread_time() + MAX_CPU_S)
    try:
        found = list(islice(_compiled(orjson.dumps(schema)).iter_errors(value), MAX_FAULTS))
    except (_WorkExceededError, RecursionError):
        return [FieldError((), "The value is too complex to be checked against the schema.")]
    located = [FieldError(tuple(fault.absolute_path), fault.message[:MAX_MESSAGE]) for fault in found]
    return sorted(located, key=lambda fault: [str(part) for part in fault.loc])
