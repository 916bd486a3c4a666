"""What the assistant of a conversation has to do, as the page shows it: the session's value `todos`."""

from dataclasses import dataclass

from console import queries
from core.db import Row

# The words of a todo's status whose icons and colours are those of a run's.
ICONS = {"pending": "pending", "in_progress": "running", "completed": "success", "cancelled": "cancelled"}


@dataclass(slots=True)
class Todo:
    content: str
    status: str

    @property
    def icon(self) -> str:
        return ICONS[self.status]


@dataclass(slots=True)
class Todos:
    """The list in its order."""

    items: list[Todo]

    @property
    def done(self) -> int:
        return sum(todo.status == "completed" for todo in self.items)

    @property
    def current(self) -> str:
        """What is being done, else what comes next; empty where all is done."""
        for status in ("in_progress", "pending"):
            for todo in self.items:
                if todo.status == status:
                    return todo.content
        return ""


def read_todos(session: Row) -> Todos:
    """The conversation's list; what an agent of somebody's own keeps under that name in another shape is left out."""
    given = queries.todos(session["id"]).run()
    return Todos(
        [
            Todo(str(todo.get("content", "")), todo["status"])
            for todo in (given if isinstance(given, list) else ())
            if isinstance(todo, dict) and todo.get("status") in ICONS
        ]
    )
