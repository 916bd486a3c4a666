"""A print of every row that there is: nothing can be stored, changed or deleted without being seen in it."""

from collections.abc import Callable, Sequence
from typing import Any

# Made by migrations, and long.
_FIXED = {"django_migrations", "django_content_type", "auth_permission"}
# When a key was last used is written beside the request.
_TABLE = "(SELECT jsonb_build_array(count(*), sum(hashtext((to_jsonb(t) - 'last_used_at')::text))) FROM %s t)"


class Prints:
    """Takes prints with `execute`, which gives a statement's rows; again only where a transaction has ended since."""

    def __init__(self, execute: Callable[[str], Sequence[Any]]):
        self._execute = execute
        names = execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
        self._statement = "SELECT " + ", ".join(_TABLE % f'"{name}"' for (name,) in names if name not in _FIXED)
        self._moment: Any = None
        self._taken: list[Any] = []

    def take(self) -> list[Any]:
        """How many rows each table has, and a sum over what is in them."""
        # Before the print: what comes while it is taken is then read the next time. Every write ends a transaction.
        moment = self._execute("SELECT pg_current_snapshot()::text")
        if moment != self._moment:
            self._moment, self._taken = moment, list(self._execute(self._statement)[0])
        return self._taken
