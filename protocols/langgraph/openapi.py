"""The door's description, made of its routes: what is not served is not in it."""

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from pydantic import TypeAdapter

from core.hot import Handler
from core.text import first_paragraph
from core.validation import Body

Row = tuple[str, str, Handler, Any]

_HIDDEN = {"", "/docs", "/docs.js", "/openapi.json"}
_PARAMETER = re.compile(r"\{(\w+)\}")
_ERROR = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
_REFS = "#/components/schemas/{model}"


def describe(table: Iterable[Row], auth: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI document of these routes.

    `auth`: langgraph.json's `auth.openapi`, the `securitySchemes` and `security` of the deployment's own callers.
    """
    schemas: dict[str, Any] = {"ErrorResponse": _ERROR}
    paths: dict[str, dict[str, Any]] = {}
    for method, path, handler, body in sorted(table, key=lambda row: (row[1], row[0])):
        if path not in _HIDDEN:
            paths.setdefault(path, {})[method.lower()] = _operation(method, path, handler, body, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "LangGraph API of Agent Server", "version": settings.SPECTACULAR_SETTINGS["VERSION"]},
        # Relative to this document, wherever the server is mounted.
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
                **auth.get("securitySchemes", {}),
            },
        },
        "security": [{"key": []}, {"bearer": []}, *auth.get("security", [])],
    }


def _operation(method: str, path: str, handler: Handler, body: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    words = [word for word in re.split(r"\W+", path) if word]
    described: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *words]),
        "summary": _summary(handler),
        "tags": [words[0] if words else "server"],
        "responses": {
            "200": {"description": "It is done."},
            "default": {
                "description": "It is refused.",
                "content": {"application/json": {"schema": {"$ref": _REFS.format(model="ErrorResponse")}}},
            },
        },
    }
    if names := _PARAMETER.findall(path):
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if (body := body or _named(handler)) is not None:
        schema = TypeAdapter(body).json_schema(ref_template=_REFS, by_alias=True)
        schemas.update(schema.pop("$defs", {}))
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _named(handler: Any) -> Any:
    """The body of a route that does not say it: the one model of a body that its handler names."""
    given = [handler.__globals__.get(name) for name in handler.__code__.co_names]
    bodies = [each for each in given if isinstance(each, type) and issubclass(each, Body)]
    return bodies[0] if len(bodies) == 1 else None


def _summary(handler: Any) -> str:
    return first_paragraph(handler) if inspect.getdoc(handler) else ""
