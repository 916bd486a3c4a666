"""From a body to a configuration as it is stored; every fault with its place."""

from collections.abc import Iterator
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from assistants.config.assistant import GRAPH, AssistantConfig, UpdateOptions
from assistants.config.blocks import GraphConfig
from core.errors import FieldError, Invalid
from core.schemas import BadSchemaError, check_schema
from core.validation import invalid_from_pydantic, validate
from runtime.providers import provider_names
from runtime.registry import agent_names, agent_type
from tools import registry

C = TypeVar("C", bound=AssistantConfig)
Config = dict[str, Any]

# Lists of assistants and versions hold up to 100 of them.
MAX_BYTES = 512 * 1024
# What a hosted graph brings itself, so that an assistant of one cannot choose it, and what such assistants alone have.
_OF_AGENTS = (
    *("llm", "system_prompt", "tools", "skills", "memory", "mcp_servers", "knowledge_bases", "middleware"),
    *("interrupt_on", "output_schema", "max_steps"),
)
_OF_GRAPHS = ("graph_id", "config", "context")


def parse(model: type[C], body: Any) -> C:
    """`body` as a configuration; raises `Invalid`."""
    parsed = validate(model, body)
    if parsed.type == GRAPH:
        # Readers need not ask whether they are there.
        parsed.config, parsed.context = parsed.config or GraphConfig(), parsed.context or {}
    faults = [*_unknown_names(parsed), *_repeated_names(parsed), *_bad_schemas(parsed)] or [*_unfit_for_type(parsed)]
    if faults:
        raise Invalid(faults[0].message, errors=faults)
    if len(orjson.dumps(stored(parsed))) > MAX_BYTES:
        raise Invalid(f"The configuration may have at most {MAX_BYTES} bytes.")
    return parsed


def stored(config: AssistantConfig) -> Config:
    """The configuration as a version keeps it: defaults filled in, without what only the body holds."""
    return config.model_dump(include=set(AssistantConfig.model_fields))


def parse_update(body: Any) -> tuple[UpdateOptions, dict[str, Any]]:
    """A PATCH's body: what it says about the update, and the changes themselves."""
    if not isinstance(body, dict):
        raise Invalid("The body must be a JSON object.")
    options = {key: value for key, value in body.items() if key in UpdateOptions.model_fields}
    changes = {key: value for key, value in body.items() if key not in options}
    return validate(UpdateOptions, options), changes


def _unknown_names(config: AssistantConfig) -> Iterator[FieldError]:
    if config.type not in agent_names():
        yield FieldError(("type",), f"There is no assistant type {config.type!r}, only {_list(agent_names())}.")
    if config.llm is None:
        return
    places: list[tuple[str | int, ...]] = [("llm",)]
    places += [("llm", "fallbacks", index) for index in range(len(config.llm.fallbacks))]
    for place, model in zip(places, [config.llm, *config.llm.fallbacks], strict=True):
        if model.provider not in provider_names():
            message = f"There is no provider {model.provider!r}, only {_list(provider_names())}."
            yield FieldError((*place, "provider"), message)


def _list(names: list[str]) -> str:
    return ", ".join(names)


def _repeated_names(config: AssistantConfig) -> Iterator[FieldError]:
    for block in ("tools", "mcp_servers"):
        names = [entry.name for entry in getattr(config, block)]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield FieldError((block, index, "name"), f"{name!r} is listed twice.")
    ids = [entry.id or entry.name for entry in config.middleware]
    for index, name in enumerate(ids):
        if name in ids[:index]:
            yield FieldError(("middleware", index, "id"), f"{name!r} is listed twice: give each an id of its own.")


def _bad_schemas(config: AssistantConfig) -> Iterator[FieldError]:
    for name in ("input_schema", "output_schema"):
        schema = getattr(config, name)
        try:
            if schema is not None:
                check_schema(schema)
        except BadSchemaError as fault:
            yield FieldError((name, *fault.path), fault.message)


def _unfit_for_type(config: AssistantConfig) -> Iterator[FieldError]:
    """What the agent type does not take."""
    yield from _unfit_for_graphs(config)
    kind = agent_type(config.type)
    if kind.read_only_tools:
        for index, use in enumerate(config.tools):
            if use.name in registry.names() and not registry.get(use.name).read_only:
                message = f"{kind.name} takes tools that only read; {use.name} does more."
                yield FieldError(("tools", index, "name"), message)
    if kind.config is not None:
        try:
            kind.config.model_validate(stored(config), extra="ignore")
        except ValidationError as error:
            yield from invalid_from_pydantic(error).errors


def _unfit_for_graphs(config: AssistantConfig) -> Iterator[FieldError]:
    if config.type != GRAPH:
        for name in _OF_GRAPHS:
            if getattr(config, name) is not None:
                yield FieldError((name,), f"{name} is for assistants of the type {GRAPH}.")
        return
    if config.graph_id is None:
        yield FieldError(("graph_id",), "Field required")
    for name in _OF_AGENTS:
        if getattr(config, name) != AssistantConfig.model_fields[name].get_default(call_default_factory=True):
            yield FieldError((name,), f"{name} is not for hosted graphs, which bring their own.")
