"""What the runtime must be told by whoever hosts it: it reads no settings of its own."""

import os
import re
from dataclasses import dataclass, field
from functools import cached_property

from core.redaction import everywhere
from core.url_guard import Allowlist, UrlGuard
from runtime.langgraph_json import NOTHING, LangGraphConfig
from runtime.prices import Prices

DEFAULT_SECRET_PREFIXES = ("OPENAI_", "ANTHROPIC_", "MCP_", "AGENT_SECRET_")

# Beside keys, such variables hold what may be read (OPENAI_MODEL, OPENAI_BASE_URL), and texts would miss it. One that
# an assistant names as a key is cut out all the same, from then on.
_OPEN = ("_MODEL", "_VERSION", "_REGION", "_HOST")
_ADDRESS = re.compile(r"https?://[^@?#]*")


@dataclass(frozen=True)
class RuntimeSettings:
    """`url_allowlist`: entries `host` or `host:port` that outgoing calls may reach though they are internal.

    `secret_env_prefixes`: an assistant may name only environment variables that begin with one of these.
    `secret_hosts`: entries `VARIABLE=host` or `VARIABLE=host:port`; a variable that is named here is sent to
    these hosts only. Several entries for one variable add up.
    `mcp_commands`: the commands that an assistant may have started on this host as MCP servers.
    `file_read_roots`: the folders, as absolute paths, whose files tools may read.
    `prices`: what tokens cost here, by provider and model (`runtime.prices`).
    `langgraph`: the graphs that are hosted here, and what belongs to them (`runtime.langgraph_json`).
    Raises `ValueError` where an entry of `secret_hosts` cannot be read: a binding that is misspelt must not
    be taken for none.
    """

    url_allowlist: tuple[str, ...] = ()
    secret_env_prefixes: tuple[str, ...] = DEFAULT_SECRET_PREFIXES
    secret_hosts: tuple[str, ...] = ()
    mcp_commands: tuple[str, ...] = ()
    file_read_roots: tuple[str, ...] = ()
    prices: Prices = field(default_factory=dict, hash=False)
    langgraph: LangGraphConfig = field(default=NOTHING, hash=False)
    secret_bindings: dict[str, Allowlist] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        bindings: dict[str, list[str]] = {}
        for entry in self.secret_hosts:
            variable, separator, host = entry.partition("=")
            if not (variable and separator and host):
                raise ValueError(f"A secret's host is written VARIABLE=host or VARIABLE=host:port, not {entry!r}.")
            bindings.setdefault(variable.strip(), []).append(host)
        object.__setattr__(self, "secret_bindings", {name: Allowlist(hosts) for name, hosts in bindings.items()})

    @cached_property
    def guard(self) -> UrlGuard:
        """The guard that every outgoing call of a tool passes."""
        return UrlGuard(self.url_allowlist)


class _Current:
    settings = RuntimeSettings()


def configure(settings: RuntimeSettings) -> None:
    """Take over the host's settings; once per process, before the first run."""
    _Current.settings = settings
    for name, value in os.environ.items():
        if name.startswith(settings.secret_env_prefixes) and not name.endswith(_OPEN) and not _ADDRESS.fullmatch(value):
            everywhere.learn(name, value)


def current() -> RuntimeSettings:
    return _Current.settings
