"""langgraph.json, and the shorter list of graphs in AGENT_SERVER_GRAPHS: read without importing langgraph.

The keys are those of LangGraph's own `langgraph.json` (https://docs.langchain.com/langgraph-platform/cli). What a key
asks for and this server does not do is refused, so that nothing is silently left out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

# They say how an image is built, which is not done here.
BUILD_KEYS = frozenset(
    {
        *("$schema", "_INTERNAL_docker_tag", "api_version", "base_image", "building", "docker_compose"),
        *("dockerfile_lines", "image_distro", "keep_pkg_tools", "node_version", "pip_config_file", "pip_installer"),
        *("python_version", "source", "ui", "ui_config"),
    }
)
# What is done of each block; a nested block is named by its path.
OPTIONS: dict[str, frozenset[str]] = {
    "auth": frozenset({"path", "openapi"}),
    "checkpointer": frozenset({"ttl"}),
    "checkpointer.ttl": frozenset({"strategy", "default_ttl", "sweep_interval_minutes"}),
    "http": frozenset({"app", "enable_custom_route_auth"}),
    "store": frozenset({"ttl"}),
    "store.ttl": frozenset({"refresh_on_read", "default_ttl", "sweep_interval_minutes"}),
    "webhooks": frozenset({"headers"}),
}
_KEYS = {"dependencies", "graphs", "env", "store", "checkpointer", "http", "auth", "webhooks"}
# What is on, or off, here whatever is asked for: naming it so asks for nothing.
_HARMLESS = {
    ("auth", "disable_studio_auth"): (True,),
    ("http", "disable_ui"): (True, False),
    ("http", "disable_mcp"): (True,),
    ("http", "disable_a2a"): (True,),
    ("http", "disable_assistants"): (False,),
    ("http", "disable_threads"): (False,),
    ("http", "disable_runs"): (False,),
    ("http", "disable_store"): (False,),
    ("http", "disable_meta"): (False,),
    ("http", "disable_webhooks"): (False,),
    ("webhooks", "env_prefix"): ("LG_WEBHOOK_",),
}
# Where what is refused is said here.
_INSTEAD = {
    "http.cors": "set CORS_ALLOW_ORIGINS",
    "http.mount_prefix": "set MOUNT_PREFIX",
    "webhooks.url": "whom a run may tell is bounded by AGENT_SERVER_URL_ALLOWLIST",
}
_STRATEGIES = ("delete", "keep_latest")
_GRAPH_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\- ]{0,199}")
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*?)\s*")


class BadLangGraphJsonError(ValueError):
    """What is wrong with the file, in one line."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where something of the deployment's own code is: a file or a module, and a name in it.

    `place` is an absolute path where it ends in `.py`, else a module's dotted name.
    """

    place: str
    attribute: str

    @property
    def is_file(self) -> bool:
        return self.place.endswith(".py")

    def __str__(self) -> str:
        return f"{self.place}:{self.attribute}"


@dataclass(frozen=True, slots=True)
class GraphSource:
    """A graph to host."""

    source: Source
    description: str = ""


@dataclass(frozen=True)
class LangGraphConfig:
    """What a deployment says: empty where it hosts no graphs.

    `paths` are folders from which its code imports. `env` are variables that its code reads. `store`, `checkpointer`,
    `http`, `auth` and `webhooks` are the blocks of these names, which hold no options but those in `OPTIONS`; paths in
    them are relative to `folder`. `files` are what a change of which concerns the server.
    """

    folder: Path = field(default_factory=Path)
    graphs: Mapping[str, GraphSource] = field(default_factory=dict)
    paths: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    store: Mapping[str, Any] = field(default_factory=dict)
    checkpointer: Mapping[str, Any] = field(default_factory=dict)
    http: Mapping[str, Any] = field(default_factory=dict)
    auth: Mapping[str, Any] = field(default_factory=dict)
    webhooks: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


NOTHING = LangGraphConfig()


def read_config(path: str, graphs: str, folder: Path) -> LangGraphConfig:
    """What the langgraph.json at `path` and the JSON object `graphs` say together; either may be empty.

    `folder` is what paths in `graphs` are relative to. Raises BadLangGraphJsonError.
    """
    config = _read_file(Path(path).absolute()) if path else LangGraphConfig(folder=folder)
    listed = _graphs(_parse("it", graphs.encode()), folder, "it") if graphs else {}
    if twice := sorted(listed.keys() & config.graphs.keys()):
        raise BadLangGraphJsonError(f"the graph {twice[0]!r} is in {path} and in AGENT_SERVER_GRAPHS")
    return LangGraphConfig(**{**vars(config), "graphs": {**config.graphs, **listed}})


def read_source(text: Any, folder: Path, what: str) -> Source:
    """`./file.py:name` or `package.module:name`; raises BadLangGraphJsonError, `what` being what it is of."""
    place, colon, attribute = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not (place and colon and attribute.isidentifier()):
        raise BadLangGraphJsonError(f"{what} is written ./file.py:name or package.module:name, not {text!r}")
    if place.endswith((".js", ".ts", ".mjs", ".mts", ".cjs", ".cts", ".jsx", ".tsx")):
        raise BadLangGraphJsonError(f"{what} is JavaScript ({place}); this server hosts Python only")
    if not place.endswith(".py"):
        if not all(part.isidentifier() for part in place.split(".")):
            raise BadLangGraphJsonError(f"{what} is written ./file.py:name or package.module:name, not {text!r}")
        return Source(place, attribute)
    file = (folder / place).resolve()
    if not file.is_file():
        raise BadLangGraphJsonError(f"{what}: there is no file {file}")
    return Source(str(file), attribute)


def _read_file(path: Path) -> LangGraphConfig:
    try:
        document = _parse(str(path), path.read_bytes())
    except OSError as fault:
        raise BadLangGraphJsonError(f"cannot read {path} ({fault.strerror})") from None
    name, folder = path.name, path.parent
    for key in document:
        if key not in _KEYS | BUILD_KEYS:
            raise _unknown(name, key)
    blocks = {key: _block(document, key, name) for key in ("store", "checkpointer", "http", "auth", "webhooks")}
    _check_ttls(blocks, name)
    env, env_files = _env(document.get("env", {}), folder, name)
    if not document.get("graphs"):
        raise BadLangGraphJsonError(f"{name} names no graphs")
    for block, key in (("http", "app"), ("auth", "path")):
        if key in blocks[block]:
            read_source(blocks[block][key], folder, f"{block}.{key} in {name}")
    return LangGraphConfig(
        folder=folder,
        graphs=_graphs(document["graphs"], folder, name),
        paths=tuple(_paths(document.get("dependencies", []), folder, name)),
        env=env,
        files=(path, *env_files),
        **blocks,
    )


def _parse(name: str, text: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as fault:
        raise BadLangGraphJsonError(f"{name} is not valid JSON: {fault}") from None
    if not isinstance(document, dict):
        raise BadLangGraphJsonError(f"{name} must be a JSON object")
    return document


def _graphs(given: Any, folder: Path, name: str) -> dict[str, GraphSource]:
    if not isinstance(given, dict):
        raise BadLangGraphJsonError(f"graphs in {name} must be an object")
    found = {}
    for graph_id, value in given.items():
        what = f"the graph {graph_id!r} in {name}"
        if not _GRAPH_ID.fullmatch(graph_id) or _is_uuid(graph_id):
            raise BadLangGraphJsonError(f"{what} needs another name: letters, digits, '_', '-' and '.', and no UUID")
        entry = value if isinstance(value, dict) else {"path": value}
        if unknown := sorted(entry.keys() - {"path", "description"}):
            raise BadLangGraphJsonError(f"{what} has {unknown[0]!r}, which this server does not know")
        description = entry.get("description") or ""
        if not isinstance(description, str):
            raise BadLangGraphJsonError(f"the description of {what} must be text")
        found[graph_id] = GraphSource(read_source(entry.get("path"), folder, what), description)
    return found


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _block(document: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    """A block whose options are all carried out."""
    block = document.get(key) or {}
    if not isinstance(block, dict):
        raise BadLangGraphJsonError(f"{key} in {name} must be an object")
    done: dict[str, Any] = {}
    for option, value in block.items():
        path = f"{key}.{option}"
        if option not in OPTIONS[key]:
            if value is None or value in _HARMLESS.get((key, option), ()):
                continue
            raise _unknown(name, path)
        if path in OPTIONS:
            value = value or {}
            if not isinstance(value, dict):
                raise BadLangGraphJsonError(f"{path} in {name} must be an object")
            if unknown := sorted(value.keys() - OPTIONS[path]):
                raise _unknown(name, f"{path}.{unknown[0]}")
        done[option] = value
    return done


def _unknown(name: str, path: str) -> BadLangGraphJsonError:
    instead = f"; {_INSTEAD[path]}" if path in _INSTEAD else ""
    return BadLangGraphJsonError(f"{name} has {path}, which this server does not know or does not do{instead}")


def _check_ttls(blocks: Mapping[str, dict[str, Any]], name: str) -> None:
    for block in ("store", "checkpointer"):
        ttl = blocks[block].get("ttl", {})
        for option in ("default_ttl", "sweep_interval_minutes"):
            minutes = ttl.get(option)
            if minutes is not None and (
                isinstance(minutes, bool) or not isinstance(minutes, int | float) or minutes <= 0
            ):
                raise BadLangGraphJsonError(f"{block}.ttl.{option} in {name} must be a number of minutes above 0")
    if (strategy := blocks["checkpointer"].get("ttl", {}).get("strategy", "delete")) not in _STRATEGIES:
        raise BadLangGraphJsonError(f"checkpointer.ttl.strategy in {name} is one of {_STRATEGIES}, not {strategy!r}")


def _env(given: Any, folder: Path, name: str) -> tuple[dict[str, str], list[Path]]:
    """The variables, and the file that they come from, if it is one."""
    if isinstance(given, dict):
        if wrong := [key for key, value in given.items() if isinstance(value, dict | list)]:
            raise BadLangGraphJsonError(f"env.{wrong[0]} in {name} must be text")
        return {
            key: value if isinstance(value, str) else orjson.dumps(value).decode() for key, value in given.items()
        }, []
    if not isinstance(given, str):
        raise BadLangGraphJsonError(f"env in {name} must be an object or the path of a file")
    path = folder / given
    try:
        return dict(_assignments(path.read_text())), [path]
    except OSError as fault:
        raise BadLangGraphJsonError(f"env in {name}: cannot read {path} ({fault.strerror})") from None
    except ValueError as fault:
        raise BadLangGraphJsonError(f"env in {name}: {path} {fault}") from None


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    """The lines `NAME=value` of an env file; a value may be quoted, and `#` after a blank begins a comment."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            raise ValueError(f"has no NAME=value in line {number}")
        name, value = match.groups()
        if value[:1] in {"'", '"'}:
            quote = value[0]
            end = value.find(quote, 1)
            if end < 0:
                raise ValueError(f"has a quote that does not end in line {number}")
            value = value[1:end].replace("\\n", "\n") if quote == '"' else value[1:end]
        else:
            value = re.split(r"\s#", value, maxsplit=1)[0].strip()
        yield name, value


def _paths(given: Any, folder: Path, name: str) -> Iterator[Path]:
    """The folders among the dependencies; packages are installed by whoever deploys."""
    if not isinstance(given, list) or not all(isinstance(entry, str) for entry in given):
        raise BadLangGraphJsonError(f"dependencies in {name} must be a list of texts")
    for entry in given:
        if not entry.startswith("."):
            continue
        path = (folder / entry).resolve()
        if not path.is_dir():
            raise BadLangGraphJsonError(f"dependencies in {name}: there is no folder {path}")
        yield path
        if (path / "src").is_dir():
            yield path / "src"
