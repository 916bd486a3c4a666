"""A configuration as people read it: what they ask for first, and of the rest what is not the default."""

import json
from typing import Any

from assistants.config import AssistantConfig, Config, stored
from assistants.diff import changes
from assistants.documents import in_order
from core.admin import facts

# Shown apart from the other settings.
_SHOWN = {
    "name",
    "type",
    "description",
    "graph_id",
    "config",
    "context",
    "llm",
    "llm.provider",
    "llm.model",
    "llm.fallbacks",
    "system_prompt",
    "tools",
    "metadata",
    "max_concurrent_runs",
    "rate_limit",
    "quota",
    "resources.labels",
}
_LEAST = {"name": "-", "llm": {"provider": "-", "model": "-"}}
_MAX_BRIEF = 120


def summary(config: Config) -> dict[str, Any]:
    """What `_configuration.html` shows."""
    config = in_order(config)
    llm = config.get("llm")
    settings = _settings(config)
    return {
        "graph_id": config.get("graph_id"),
        "graph_config": facts(config.get("config") or {}),
        "graph_context": facts(config.get("context") or {}),
        "model": _model(llm) if llm else None,
        "fallbacks": [_model(fallback) for fallback in llm["fallbacks"]] if llm else [],
        "model_settings": [(path[4:], value) for path, value in settings if path.startswith("llm.")],
        "settings": [(path, value) for path, value in settings if not path.startswith("llm.")],
        "limits": _limits(config),
        "labels": config["resources"]["labels"],
        "description": config["description"],
        "system_prompt": config["system_prompt"],
        "tools": [{**tool, "parameters": facts(tool["parameters"])} for tool in config["tools"]],
        "metadata": facts(config["metadata"]),
        "json": pretty_json(config),
    }


def pretty_json(config: Config) -> str:
    """The whole configuration, to be read and edited."""
    return json.dumps(in_order(config), indent=2, ensure_ascii=False)


def brief(value: Any) -> str:
    """A value in one short line; of a long one the beginning and its size."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= _MAX_BRIEF:
        return text
    size = f"{len(value):,} entries" if isinstance(value, list | dict) else f"{len(value):,} characters"
    return f"{text[: _MAX_BRIEF // 2]}… ({size})"


def _settings(config: Config) -> list[tuple[str, str]]:
    """What is not the default and not shown elsewhere: path and value."""
    defaults = stored(AssistantConfig.model_validate(_LEAST))
    return [
        (change["path"], json.dumps(change["to"], ensure_ascii=False))
        for change in changes(defaults, config)
        if change["path"] not in _SHOWN
        and not change["path"].startswith(("metadata.", "metadata[", "config.", "context."))
    ]


def _model(llm: dict[str, Any]) -> str:
    return f"{llm['provider']} / {llm['model']}"


def _limits(config: Config) -> list[tuple[str, str]]:
    quota = config["quota"] or {}
    found = {
        "Runs at once": config["max_concurrent_runs"],
        "Requests a minute": (config["rate_limit"] or {}).get("requests_per_minute"),
        "Runs a day": quota.get("runs_per_day"),
        "Tokens a day": quota.get("tokens_per_day"),
    }
    return [(name, "no limit" if value is None else f"{value:,}") for name, value in found.items()]
