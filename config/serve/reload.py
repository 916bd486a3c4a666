"""`serve --reload`: notices changed code, and whether it can be imported before anybody is started with it."""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from watchfiles import PythonFilter, watch

from config.env import BASE_DIR
from config.serve.processes import Finished, run
from runtime.langgraph_json import NOTHING, LangGraphConfig

# What all roles import at their start, and then what has changed: much of it is imported on first use only.
_CHECK = """
import sys
from importlib import import_module
import django
django.setup()
for name in ("config.asgi", *sys.argv[1:]):
    import_module(name)
"""
# And where hosted graphs, or what they import, have changed.
_CHECK_GRAPHS = """
from graphs.registry import load_all
# Which of them are broken is in the log, and so in what this process has said.
sys.exit(bool(load_all()))
"""


class Code:
    """The folders of the project's own packages, those of the modules that AGENT_SERVER_AGENTS names, and what hosted
    graphs are made of.

    `trees` are watched with all that is below them. Of a module that is a single file the folder is, for what it
    imports from beside it, but nothing below: that may be a home folder. `hosted` are the folders of graphs, which are
    among both; `files` are watched though they are no Python.
    """

    def __init__(self, modules: Iterable[str], langgraph: LangGraphConfig = NOTHING) -> None:
        self.files = langgraph.files
        graphs = [Path(entry.source.place) for entry in langgraph.graphs.values() if entry.source.is_file]
        self.hosted = {*langgraph.paths, *(path.parent for path in (*graphs, *langgraph.files))}
        self.trees = {path.parent for path in BASE_DIR.glob("*/__init__.py") if path.parent.name != "tests"}
        self.folders: set[Path] = set()
        for name in {module.partition(".")[0] for module in modules}:
            spec = find_spec(name)
            if spec is None:
                continue
            self.trees |= {Path(place) for place in spec.submodule_search_locations or ()}
            if spec.submodule_search_locations is None and spec.origin is not None:
                self.folders.add(Path(spec.origin).parent)
        self._own = set(self.trees)
        self.trees |= set(langgraph.paths)
        self.folders |= {
            folder for folder in self.hosted if not any(folder.is_relative_to(tree) for tree in self.trees)
        }

    def is_hosted(self, path: Path) -> bool:
        """Whether graphs are made of the file, or named in it."""
        return path in self.files or any(path.is_relative_to(folder) for folder in self.hosted)

    def module(self, path: Path) -> str | None:
        """The name by which the file is imported; None for one that is gone, or that has none, as graphs have none."""
        if self.is_hosted(path) and not any(path.is_relative_to(tree) for tree in self._own):
            return None
        roots = [tree.parent for tree in self.trees if path.is_relative_to(tree)] or [path.parent]
        parts = path.relative_to(roots[0]).with_suffix("").parts
        if not path.exists() or not all(part.isidentifier() for part in parts):
            return None
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Watcher:
    """Watches the code from threads of its own, and calls `tell` when there are changes to `take`."""

    def __init__(self, code: Code, tell: Callable[[], None]) -> None:
        self.code = code
        self._tell = tell
        self._changed: set[Path] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        for paths, recursive in ((self.code.trees, True), (self.code.folders, False)):
            if paths:
                threading.Thread(target=self._watch, args=[paths, recursive], name="watch", daemon=True).start()

    def _watch(self, paths: set[Path], recursive: bool) -> None:
        wanted = PythonFilter(extra_extensions=[str(path) for path in self.code.files])
        for changes in watch(*paths, watch_filter=wanted, recursive=recursive):
            with self._lock:
                self._changed |= {Path(path) for _, path in changes}
            self._tell()

    def take(self) -> list[Path]:
        """What has changed since it was asked for last."""
        with self._lock:
            taken, self._changed = self._changed, set()
        return sorted(taken)

    def check(self, changed: Iterable[Path], env: dict[str, str]) -> Finished:
        """Import what the roles import, and what has changed, in a process of its own."""
        changed = list(changed)
        code = _CHECK + _CHECK_GRAPHS if any(map(self.code.is_hosted, changed)) else _CHECK
        modules = [name for path in changed if (name := self.code.module(path)) is not None]
        command = [sys.executable, "-P", "-c", code, *modules]
        # As for `manage.py`, whose folder comes first.
        place = os.pathsep.join(filter(None, (str(BASE_DIR), env.get("PYTHONPATH"))))
        return run(command, env={**env, "DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONPATH": place})


def shown(paths: Iterable[Path]) -> Iterator[str]:
    """The files as a person knows them."""
    for path in paths:
        yield str(path.relative_to(BASE_DIR)) if path.is_relative_to(BASE_DIR) else str(path)
