"""Field helpers that every app's models share."""

import json
from typing import Any

import orjson
from django.db import models

from core.clock import ClockTimestamp
from core.ids import new_id


def id_field() -> models.UUIDField[Any, Any]:
    """A UUIDv7 primary key."""
    return models.UUIDField(primary_key=True, default=new_id, editable=False)


def created_field(**options: Any) -> models.DateTimeField[Any, Any]:
    """A moment that PostgreSQL fills in when the row is inserted."""
    return models.DateTimeField(db_default=ClockTimestamp(), editable=False, **options)


def one_of(column: str, choices: type[models.TextChoices]) -> models.CheckConstraint:
    """The column holds one of the choices, in the database too."""
    return models.CheckConstraint(
        condition=models.Q(**{f"{column}__in": choices.values}), name=f"%(class)s_{column}_known"
    )


class JSONDecoder(json.JSONDecoder):
    """For users' JSON: PostgreSQL writes 1e300 as 301 digits, which are read as the float that they were."""

    def decode(self, s: str, *args: Any) -> Any:
        return orjson.loads(s)


class DocumentField(models.JSONField[Any, Any]):
    """JSON as everybody's is read: by `JSONDecoder`. To migrations it is Django's own field."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.decoder = JSONDecoder

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        kwargs.pop("decoder")
        return name, "django.db.models.JSONField", args, kwargs


class WrittenField(models.JSONField[Any, Any]):
    """JSON as it was written, its keys in their order: to be read back and not to be searched."""

    def db_type(self, connection: Any) -> str:
        return "json"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        # psycopg has read it already: Django keeps it from doing so for jsonb alone.
        return value
