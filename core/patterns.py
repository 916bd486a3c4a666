"""Regular expressions that somebody else wrote."""

from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema

__all__ = ["PatternError", "linear"]


def linear(pattern: str) -> SchemaValidator:
    """`pattern` in an engine whose time is linear in the text; `isinstance_python(text)` tells whether it occurs.

    Raises `PatternError` for what is no expression, needs backtracking, or repeats too much.
    """
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
