"""The automatic checks: whether this server can run a configuration that is right in itself.

They decide whether an assistant may be active. What runs cannot use yet is a good check with a note.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from accounts.queries import open_secrets
from assistants.config import GRAPH, Config
from assistants.engines import Path, unsupported
from core.canonical import canonical
from core.errors import FieldError
from core.text import sentence
from runtime.blocks import blocks_within
from runtime.configuration import current
from runtime.contract import Tool
from runtime.middleware import middleware_class, middleware_names
from runtime.middleware.base import Middleware
from runtime.providers import check_llm
from runtime.registry import agent_names
from runtime.secrets import Secrets, named_by, names_in
from tools import registry
from tools.mcp import probe_all

Server = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding at one place of the configuration."""

    name: str
    loc: Path
    message: str = ""
    ok: bool = True

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "ok": self.ok, "message": self.message}


class UnaskedError(Exception):
    """Whether these MCP servers answer must be found out first."""

    def __init__(self, servers: Sequence[Server], secrets: Secrets):
        super().__init__()
        self.servers = servers
        self.secrets = secrets


class Reachability:
    """Which MCP servers answer. Asking calls out, so it is done between transactions and never inside one."""

    def __init__(self) -> None:
        self._found: dict[bytes, str] = {}

    def remember(self, server: Server, message: str) -> None:
        """Take over an earlier finding; an empty message is a good one."""
        self._found.setdefault(canonical(server), message)

    def ask(self, servers: Sequence[Server], secrets: Secrets) -> None:
        """Call the servers, with those of `secrets` that they name; takes some seconds at most."""
        for server, message in zip(servers, probe_all(list(servers), secrets), strict=True):
            self._found[canonical(server)] = message

    def of(self, servers: Sequence[Server], secrets: Secrets) -> list[str]:
        """What is known of each; raises UnaskedError with those that nothing is known of."""
        if unasked := [server for server in servers if canonical(server) not in self._found]:
            raise UnaskedError(unasked, secrets)
        return [self._found[canonical(server)] for server in servers]


def run_checks(workspace_id: UUID, config: Config, reachability: Reachability) -> list[Check]:
    """Everything that was looked at, in the configuration's order. Raises UnaskedError."""
    secrets = open_secrets(workspace_id, names_in(config)).run()
    return [
        *_check_type(config),
        *_check_graph(config),
        *_check_llm(config, secrets),
        *_check_tools(config, secrets),
        *_check_middleware(config, secrets),
        *_check_unknown(config),
        *_check_servers(config, reachability, secrets),
        *(Check(".".join(map(str, loc)), loc, note) for loc, note in unsupported(config).items()),
    ]


def failures(checks: list[Check]) -> list[FieldError]:
    """The failed checks as faults of the body that the configuration came in."""
    return [FieldError(check.loc, check.message) for check in checks if not check.ok]


def server_check(server: Server) -> str:
    """The name of the check of an MCP server."""
    return f"mcp_servers.{server['name']}"


def _failed(name: str, loc: Path, message: str) -> Check:
    return Check(name, loc, message, ok=False)


def _check_type(config: Config) -> Iterator[Check]:
    if config["type"] not in agent_names():
        yield _failed("type", ("type",), f"This server has no assistant type {config['type']!r}.")
    elif ("type",) not in unsupported(config):
        yield Check("type", ("type",))


def _check_graph(config: Config) -> Iterator[Check]:
    if config["type"] != GRAPH:
        return
    if config["graph_id"] in current().langgraph.graphs:
        yield Check("graph_id", ("graph_id",))
    else:
        yield _failed("graph_id", ("graph_id",), f"This server hosts no graph {config['graph_id']!r}.")


def _check_llm(config: Config, secrets: Secrets) -> Iterator[Check]:
    if config["type"] == GRAPH:
        return
    problems = check_llm(config["llm"], secrets)
    if not problems:
        yield Check("llm", ("llm",))
    for problem in problems:
        loc = ("llm", *problem.loc)
        yield _failed(".".join(map(str, loc)), loc, problem.message)


def _check_tools(config: Config, secrets: Secrets) -> Iterator[Check]:
    for index, use in enumerate(config["tools"]):
        name = f"tools.{use['name']}"
        try:
            tool = registry.get(use["name"])
        except LookupError:
            yield _failed(name, ("tools", index, "name"), f"There is no tool {use['name']!r}.")
            continue
        faults = list(_faults_of_tool(tool, use, secrets))
        for place, message in faults:
            yield _failed(name, ("tools", index, *place), f"{use['name']}: {message}")
        if not faults:
            yield Check(name, ("tools", index))


def _faults_of_tool(tool: Tool, use: dict[str, Any], secrets: Secrets) -> Iterator[tuple[Path, str]]:
    """What is wrong with the tool's parameters, by its place; if nothing, what keeps it from working here."""
    faults = list(_faults(tool.Parameters, use["parameters"], "parameters"))
    yield from faults
    # Whether a tool works that no model is offered does not matter.
    if use["enabled"] and not faults:
        parameters = tool.Parameters.model_validate(use["parameters"]).model_dump(mode="json")
        for problem in tool.check(parameters, named_by(use["parameters"], secrets)):
            yield ("name",), problem


def _check_middleware(config: Config, secrets: Secrets) -> Iterator[Check]:
    for index, entry in enumerate(config["middleware"]):
        name = f"middleware.{entry['id'] or entry['name']}"
        try:
            middleware = middleware_class(entry["name"])
        except LookupError:
            message = f"There is no middleware {entry['name']!r}, only {', '.join(middleware_names())}."
            yield _failed(name, ("middleware", index, "name"), message)
            continue
        # Only what fits names its models in a form that can be looked at.
        faults = (
            list(_faults(middleware.Settings, entry["settings"], "settings"))
            or list(_unfit_models(entry, secrets))
            or list(_unfit_settings(middleware, entry, config))
        )
        for place, message in faults:
            yield _failed(name, ("middleware", index, *place), f"{entry['name']}: {message}")
        if not faults:
            yield Check(name, ("middleware", index))


def _unfit_models(entry: dict[str, Any], secrets: Secrets) -> Iterator[tuple[Path, str]]:
    """Where in the settings a model is named that cannot work, and why."""
    for place, llm in blocks_within(entry["settings"], "settings"):
        for problem in check_llm(llm, secrets):
            loc = (*place, *problem.loc)
            yield loc, f"{'.'.join(map(str, loc))}: {problem.message}"


def _unfit_settings(middleware: type[Middleware], entry: dict[str, Any], config: Config) -> Iterator[tuple[Path, str]]:
    for place, message in middleware.unfit(middleware.Settings.model_validate(entry["settings"]), config):
        loc = ("settings", *place)
        yield loc, f"{'.'.join(map(str, loc))}: {message}"


def _faults(model: type[BaseModel], given: dict[str, Any], block: str) -> Iterator[tuple[Path, str]]:
    """Where in the block and why `given` does not fit the model; keys that it does not know do not."""
    try:
        model.model_validate(given, extra="forbid")
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            place = (block, *fault["loc"])
            yield place, f"{'.'.join(map(str, place))}: {sentence(fault['msg'])}"


def _check_unknown(config: Config) -> Iterator[Check]:
    """What is named by its place in a registry that has nothing in it yet."""
    for index, skill in enumerate(config["skills"]):
        name = skill["skill_id"]
        yield _failed(f"skills.{name}", ("skills", index, "skill_id"), f"There is no skill {name!r}.")
    for index, base in enumerate(config["knowledge_bases"]):
        yield _failed(f"knowledge_bases.{base}", ("knowledge_bases", index), f"There is no knowledge base {base}.")


def _check_servers(config: Config, reachability: Reachability, secrets: Secrets) -> Iterator[Check]:
    servers = config["mcp_servers"]
    for index, (server, message) in enumerate(zip(servers, reachability.of(servers, secrets), strict=True)):
        yield Check(server_check(server), ("mcp_servers", index), message, ok=not message)
