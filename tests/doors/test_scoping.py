"""Which rows a caller sees is said in `accounts.scoping`, and nowhere else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("accounts", "memory", "assistants", "sessions", "runs", "scheduling", "webhooks", "console", "config")
# No caller's read: whoever adds a line here says why.
WITHOUT = {
    "accounts/scoping.py": "the one place",
    "accounts/members.py": "the row of the workspace itself, and its last admin, as locks and conditions of a write",
    "accounts/queries.py": "the workspace itself, a worker's secrets, and an invitation, which has no caller yet",
    "accounts/services.py": "get_or_create: the name that a secret is stored under",
    "accounts/watch.py": "whether the callers of open streams belong to their workspaces still",
    "accounts/idempotency.py": "a request's own key, by workspace and user",
    "config/bootstrap.py": "what the first start makes, before there are callers",
    "webhooks/outbox.py": "who listens in a workspace, whoever did what is told",
    "runs/telling.py": "who listens to a run's workspace, whoever ended it",
    "runs/watching.py": "which workspaces have runs that no worker begins",
    "runs/backlog.py": "how many runs wait in a workspace, whoever asks",
    "runs/worker/children.py": "the assistant that a run names must be one of its own workspace",
    "runs/pools.py": "the workspaces that have runs to claim: workers serve all of them",
    "runs/worker/claim.py": "workers serve all workspaces, and are fair between them",
    "memory/services.py": "a store has an owner: a graph's is its session's user, whoever runs it",
    "webhooks/admin/deliveries.py": "all workspaces, for a superuser: the log's indexes begin with the workspace",
}
_LOOKUPS = {"filter", "exclude", "get", "get_or_create", "update_or_create", "aget", "aupdate_or_create"}
_KEYWORD = re.compile(r"(^|__)workspace(_id)?(__\w+)?$")
_SQL = re.compile(r"\bworkspace_id\s*(=|<>|IN\b|>)|\buser_id\s*=\s*%\(user\)s")


def _lines(source: str) -> Iterator[int]:
    """Where a module filters by workspace, or by the user whom a caller is bound to."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LOOKUPS:
            if any(_KEYWORD.search(keyword.arg or "") for keyword in node.keywords):
                yield node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.search(node.value):
            yield node.lineno


def _modules() -> dict[str, str]:
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts]
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


def test_rows_are_scoped_in_one_place() -> None:
    found = {f"{name}:{line}" for name, source in _modules().items() if name not in WITHOUT for line in _lines(source)}
    assert sorted(found) == []


def test_every_exception_is_one_still() -> None:
    modules = _modules()
    assert [name for name in WITHOUT if not list(_lines(modules[name]))] == []


@pytest.mark.parametrize(
    "source",
    [
        "Run.objects.filter(workspace_id=identity.workspace_id)",
        "Run.objects.get(session__workspace=identity.workspace_id)",
        'Query("SELECT * FROM runs WHERE workspace_id = %(workspace)s")',
        'Query(f"SELECT {x} FROM sessions s WHERE s.user_id = %(user)s")',
    ],
)
def test_it_is_seen_where_it_is_done_by_hand(source: str) -> None:
    assert list(_lines(source)) == [1]
