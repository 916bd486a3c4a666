"""Secrets that belong to whoever hosts the agent: what `secret:<name>` in a configuration stands for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.redaction import Redactor, everywhere, in_logs
from runtime.blocks import llm_blocks

MARK = "secret:"


@dataclass(frozen=True, slots=True)
class Secret:
    """A value, and the hosts (`host` or `host:port`) that it may be sent to."""

    value: str = field(repr=False)
    hosts: tuple[str, ...]


Secrets = Mapping[str, Secret]
NO_SECRETS: Secrets = {}


def name_in(reference: str) -> str | None:
    """The name of the secret that `reference` stands for; None where it is the name of a variable."""
    return reference.removeprefix(MARK) if reference.startswith(MARK) else None


def names_in(config: Mapping[str, Any]) -> frozenset[str]:
    """The names of all secrets that an assistant's configuration refers to."""
    return frozenset(name for reference in _references(config) if (name := name_in(reference)) is not None)


def named_by(parameters: Mapping[str, Any], secrets: Secrets) -> Secrets:
    """Those of `secrets` that a tool's parameters refer to (`api_key_env`)."""
    names = names_in({"tools": [{"parameters": parameters}]})
    return {name: secret for name, secret in secrets.items() if name in names}


def redactor(secrets: Secrets) -> Redactor:
    """What cuts these secrets, and those of the server, out of the texts of a run. Logs know them from now on, too."""
    if not secrets:
        return everywhere
    made = Redactor(everywhere)
    for name, secret in secrets.items():
        made.learn(MARK + name, secret.value)
        in_logs.learn(MARK + name, secret.value)
    return made


def _references(config: Mapping[str, Any]) -> Iterator[str]:
    for _, llm in llm_blocks(config):
        fallbacks = llm.get("fallbacks")
        # The settings of middleware may be anything until they are checked.
        for block in (llm, *(fallbacks if isinstance(fallbacks, list) else ())):
            if isinstance(block, Mapping) and isinstance(reference := block.get("api_key_env"), str):
                yield reference
    for use in config.get("tools") or ():
        if isinstance(reference := (use.get("parameters") or {}).get("api_key_env"), str):
            yield reference
    for server in config.get("mcp_servers") or ():
        if auth := server.get("auth"):
            yield auth["token_env"]
