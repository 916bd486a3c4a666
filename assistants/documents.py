"""The JSON shapes of assistants and their versions."""

from functools import lru_cache
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import Field, create_model
from pydantic.json_schema import models_json_schema

from assistants.config import GRAPH, AssistantConfig, Config
from assistants.config.blocks import Block, block_of
from assistants.config.llm import LLMConfig
from assistants.models import Assistant, AssistantVersion
from core.clock import isoformat
from core.mount import address
from runtime.middleware import MiddlewareType
from runtime.registry import AgentType


def config_of(assistant: Assistant) -> Config:
    """The current configuration of an assistant that `queries.assistants` read."""
    current: list[AssistantVersion] = cast(Any, assistant).current_versions
    return in_order(current[0].config)


def in_order(config: Config, block: type[Block] = AssistantConfig) -> Config:
    """The keys as they are declared: PostgreSQL sorts them by length."""
    ordered = {key: config[key] for key in block.model_fields if key in config}
    for key, value in ordered.items():
        kind = block.model_fields[key].annotation
        is_list = get_origin(kind) is list
        kind = block_of(get_args(kind)[0] if is_list else kind)
        if kind is not None and value is not None:
            ordered[key] = [in_order(entry, kind) for entry in value] if is_list else in_order(value, kind)
    return ordered


def assistant_document(assistant: Assistant) -> dict[str, Any]:
    """An assistant that `queries.assistants` read: its configuration, and what the server knows of it."""
    return {
        "id": str(assistant.id),
        **config_of(assistant),
        "status": assistant.status,
        "version": assistant.version,
        "tags": {tag.name: tag.version for tag in assistant.version_tags.all()},
        "endpoint": address(f"/assistants/{assistant.id}/sessions"),
        "validation": assistant.validation,
        "created_at": isoformat(assistant.created_at),
        "updated_at": isoformat(assistant.updated_at),
        "created_by": assistant.created_by,
    }


def version_document(version: AssistantVersion) -> dict[str, Any]:
    """A version that `queries.versions` read."""
    tags = [tag.name for tag in version.assistant.version_tags.all() if tag.version == version.number]
    return {
        "version": version.number,
        "config": in_order(version.config),
        "created_at": isoformat(version.created_at),
        "created_by": version.created_by,
        "change_note": version.change_note,
        "source_version": version.source_version,
        "tags": sorted(tags),
    }


@lru_cache
def agent_type_document(kind: AgentType) -> dict[str, Any]:
    """An agent type with the JSON Schema of its assistants' configuration."""
    name: Any = Literal[kind.name]
    fields: dict[str, Any] = {"type": (name, kind.name)}
    if kind.name != GRAPH:
        fields["llm"] = (LLMConfig, Field())
    whole = create_model("AssistantConfig", __base__=AssistantConfig, **fields)
    schema = whole.model_json_schema()
    if kind.config is not None:
        parts, definitions = models_json_schema([(whole, "validation"), (kind.config, "validation")])
        schema = {"allOf": list(parts.values()), **definitions}
    return {"name": kind.name, "description": kind.description, "config_schema": schema}


@lru_cache
def middleware_type_document(kind: MiddlewareType) -> dict[str, Any]:
    """A middleware with the JSON Schema of its settings."""
    return {"name": kind.name, "description": kind.description, "settings_schema": kind.settings.model_json_schema()}
