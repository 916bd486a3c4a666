"""The automatic checks: whether this server can run a configuration that is right in itself.

They decide whether an assistant may be active. What no engine of this server carries out yet fails its check,
so that nothing an author asked for is silently left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from assistants.config import Config
from core.errors import FieldError
from runtime.providers import check_llm
from runtime.registry import agent_names
from tools import registry

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding at one place of the configuration; without a message it is a good one."""

    name: str
    loc: Path
    message: str = ""

    @property
    def ok(self) -> bool:
        return not self.message

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "ok": self.ok, "message": self.message}


def run_checks(config: Config) -> list[Check]:
    """Everything that was looked at, in the configuration's order."""
    return [*_check_type(config), *_check_llm(config), *_check_tools(config), *_check_engines(config)]


def failures(checks: list[Check]) -> list[FieldError]:
    """The failed checks as faults of the body that the configuration came in."""
    return [FieldError(check.loc, check.message) for check in checks if not check.ok]


def _check_type(config: Config) -> Iterator[Check]:
    known = config["type"] in agent_names()
    yield Check("type", ("type",), "" if known else f"This server has no assistant type {config['type']!r}.")


def _check_llm(config: Config) -> Iterator[Check]:
    problems = check_llm(config["llm"])
    if not problems:
        yield Check("llm", ("llm",))
    for problem in problems:
        loc = ("llm", *problem.loc)
        yield Check(".".join(map(str, loc)), loc, problem.message)


def _check_tools(config: Config) -> Iterator[Check]:
    for index, use in enumerate(config["tools"]):
        name = f"tools.{use['name']}"
        try:
            tool = registry.get(use["name"])
        except LookupError:
            yield Check(name, ("tools", index, "name"), f"There is no tool {use['name']!r}.")
            continue
        try:
            tool.Parameters.model_validate(use["parameters"], extra="forbid")
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_input=False):
                place = ("parameters", *fault["loc"])
                message = f"{use['name']}: {'.'.join(map(str, place))}: {fault['msg']}."
                yield Check(name, ("tools", index, *place), message)
        else:
            yield Check(name, ("tools", index))


def _check_engines(config: Config) -> Iterator[Check]:
    scope, quota = config["memory"]["scope"], config["quota"] or {}
    asked: dict[Path, bool] = {
        ("skills",): bool(config["skills"]),
        ("memory", "scope"): scope in {"user", "group"},
        ("mcp_servers",): bool(config["mcp_servers"]),
        ("knowledge_bases",): bool(config["knowledge_bases"]),
        ("middleware",): bool(config["middleware"]),
        ("interrupt_on",): bool(config["interrupt_on"]),
        ("output_schema",): config["output_schema"] is not None,
        ("durability",): config["durability"] != "sync",
        ("rate_limit",): config["rate_limit"] is not None,
        ("quota",): any(limit is not None for limit in quota.values()),
        ("resources", "labels"): bool(config["resources"]["labels"]),
    }
    values = {"memory.scope": scope, "durability": config["durability"]}
    for loc, wanted in asked.items():
        if wanted:
            name = ".".join(map(str, loc))
            value = f" {values[name]!r}" if name in values else ""
            yield Check(name, loc, f"{name}{value} is not supported by this server yet.")
