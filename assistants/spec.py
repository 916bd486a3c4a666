"""From an assistant's version to an agent that is ready to run, and to what its runs begin with.

Versions never change, so what is made of one is kept for the life of the process.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar
from uuid import UUID

from accounts.queries import open_secrets
from assistants.config import Config
from assistants.engines import unsupported
from core.db import Operation, Query, operation
from core.errors import NotFound
from runtime.contract import AgentSpec, BaseAgent, BoundTool
from runtime.errors import NotSupported
from runtime.middleware.subagents import subagent_config
from runtime.registry import agent_class
from runtime.secrets import NO_SECRETS, Secrets, named_by, names_in
from tools import registry

T = TypeVar("T")
Key = tuple[UUID, int, str]

MAX_CACHED = 512


@dataclass(frozen=True, slots=True)
class RunDefaults:
    """What a run takes from its assistant's version unless its own body says otherwise. Times are seconds."""

    type: str
    priority: int
    retry_policy: dict[str, Any]
    run_timeout_s: float
    step_timeout_s: float
    queue_timeout_s: float | None
    durability: str
    max_steps: int
    memory_scope: str
    input_schema: dict[str, Any] | None


class _Cache(Generic[T]):
    """What was made of the versions used last; threads and the event loop share it."""

    def __init__(self, make: Callable[[Config], T], size: int = MAX_CACHED):
        self._make, self._size = make, size
        self._made: OrderedDict[Key, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> T | None:
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
            return self._made.get(key)

    def put(self, key: Key, config: Config) -> T:
        """Make it and keep it; of two that make it at once, both get the one kept first."""
        made = self._make(config)
        with self._lock:
            kept = self._made.setdefault(key, made)
            if len(self._made) > self._size:
                self._made.popitem(last=False)
        return kept


class _Made:
    """A version's configuration, the secrets that it names, and the agent that was made of both last."""

    def __init__(self, config: Config):
        self._config = config
        self.names = names_in(config)
        self._agent: BaseAgent | None = None

    def agent(self, secrets: Secrets) -> BaseAgent:
        """The agent with these secrets: the same one as long as they are. Raises as `agent_from_config`."""
        made = self._agent
        if made is None or made.spec.secrets != secrets:
            made = self._agent = agent_from_config(self._config, secrets)
        return made


@operation()
def load_version(assistant_id: UUID, number: int) -> Operation[Config]:
    """The configuration of a version; raises NotFound."""
    rows = yield Query(
        "SELECT config FROM assistant_versions WHERE assistant_id = %(assistant)s AND number = %(number)s",
        {"assistant": assistant_id, "number": number},
    )
    if not rows:
        raise NotFound(f"There is no version {number} of the assistant {assistant_id}.")
    config: Config = rows[0]["config"]
    return config


@operation()
def version_config(assistant_id: UUID, number: int) -> Operation[Config]:
    """The same; a second time it costs no statement. Nobody changes it."""
    key = (assistant_id, number, "")
    return _configs.get(key) or _configs.put(key, (yield from load_version(assistant_id, number).start()))


@operation()
def agent_for(workspace_id: UUID, assistant_id: UUID, version: int, subagent: str = "") -> Operation[BaseAgent]:
    """The agent that serves the runs of this version in this process; a second time it costs no statement.

    `subagent` is one that the version describes (`runtime.middleware.subagents`), empty: the assistant itself.

    Where the configuration names secrets of the workspace it costs one, and a change of these makes a new agent.
    Raises NotFound, LookupError where this process lacks the agent type or a tool, or there is no such sub-agent, or
    NotSupported.
    """
    key = (assistant_id, version, subagent)
    if (made := _agents.get(key)) is None:
        config = yield from load_version(assistant_id, version).start()
        made = _agents.put(key, subagent_config(config, subagent) if subagent else config)
    return made.agent((yield from open_secrets(workspace_id, made.names).start()))


@operation()
def run_defaults(assistant_id: UUID, version: int) -> Operation[RunDefaults]:
    """What the version's runs begin with; a second time it costs no statement. Raises NotFound."""
    key = (assistant_id, version, "")
    return _defaults.get(key) or _defaults.put(key, (yield from load_version(assistant_id, version).start()))


def agent_from_config(config: Config, secrets: Secrets = NO_SECRETS) -> BaseAgent:
    """An agent of the configuration's type with its enabled tools.

    Raises LookupError for unknown names, NotSupported for what no engine of this server carries out.
    """
    if missing := unsupported(config):
        raise NotSupported(" ".join(missing.values()))
    tools = {
        use["name"]: BoundTool(
            registry.get(use["name"]),
            use["parameters"],
            named_by(use["parameters"], secrets),
            # Versions are older than the key.
            use.get("timeout_s"),
        )
        for use in config["tools"]
        if use["enabled"]
    }
    return agent_class(config["type"])(AgentSpec(config["type"], config, tools, secrets))


def _run_defaults(config: Config) -> RunDefaults:
    return RunDefaults(
        type=config["type"],
        priority=config["priority"],
        retry_policy=config["retry_policy"],
        run_timeout_s=config["run_timeout_s"],
        step_timeout_s=config["step_timeout_s"],
        queue_timeout_s=config["queue_timeout_s"],
        durability=config["durability"],
        max_steps=config["max_steps"],
        memory_scope=config["memory"]["scope"],
        input_schema=config["input_schema"],
    )


_agents = _Cache(_Made)
_defaults = _Cache(_run_defaults)
_configs: _Cache[Config] = _Cache(lambda config: config)
