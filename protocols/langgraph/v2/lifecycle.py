"""The runs of a thread and the subgraphs of a run: begun, and how they ended."""

from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]


class Subgraphs:
    """The subgraphs of one run that were heard of, by their paths."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def begun(self, path: Path) -> Iterator[Path]:
        """Those at and above this path that were not heard of before: they are running now."""
        for depth in range(1, len(path) + 1):
            if (above := path[:depth]) not in self._known:
                self._known[above] = "running"
                yield above

    def ended(self, parent: Path, task: dict[str, Any]) -> Iterator[tuple[Path, str, str | None]]:
        """Those that the finished task of `parent` has carried out: path, how they ended, and why where they failed."""
        for path, status in list(self._known.items()):
            if status == "running" and path[:-1] == parent and path[-1].partition(":")[2] == str(task.get("id")):
                how, why = _how(task)
                self._known[path] = how
                yield path, how, why

    def all_ended(self, how: str) -> Iterator[Path]:
        """Those that still run, the deepest first: their run has ended so."""
        for path in sorted((p for p, status in self._known.items() if status == "running"), key=len, reverse=True):
            self._known[path] = how
            yield path

    def tree(self, status: str, graph_name: str) -> dict[str, Any]:
        """The run and its subgraphs as `agent.getTree` shows them."""
        root: dict[str, Any] = {"namespace": [], "status": status, "graph_name": graph_name}
        nodes: dict[Path, dict[str, Any]] = {(): root}
        for path in sorted(self._known, key=len):
            node = {"namespace": list(path), "status": self._known[path], "graph_name": name_of(path)}
            nodes[path[:-1]].setdefault("children", []).append(node)
            nodes[path] = node
        return root


def name_of(path: Path) -> str:
    """The node that a path ends at."""
    return path[-1].partition(":")[0]


def _how(task: dict[str, Any]) -> tuple[str, str | None]:
    if task.get("interrupts"):
        return "interrupted", None
    if task.get("error"):
        return "failed", str(task["error"])
    return "completed", None
