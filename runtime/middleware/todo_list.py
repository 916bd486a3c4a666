"""The model's list of what is to be done."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.contract import Json, Tool, ToolContext
from runtime.middleware.base import Middleware, Turn

TODOS = "todos"  # the session's state key, and the name of the event
MAX_TODOS = 200
_FINISHED = {"completed", "cancelled"}

_PROMPT = """\
## Todo list

Use `write_todos` for work of three steps or more, and not for less: write the steps down before you begin, keep one \
of them `in_progress`, and mark each one `completed` as soon as it is done, not later. What turns out to be \
unnecessary is `cancelled`. A list whose todos are all finished is cleared."""


class Todo(BaseModel):
    """One thing to be done."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    id: str = Field(min_length=1, max_length=64, description="Short and unique in the list, such as 1, 2, 3.")
    content: str = Field(min_length=1, max_length=1_000)
    status: Literal["pending", "in_progress", "completed", "cancelled"]


class WriteTodosArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    merge: bool = Field(
        default=False, description="true: change the todos with these ids and add new ones; false: replace the list."
    )
    todos: list[Todo] = Field(max_length=MAX_TODOS)

    @model_validator(mode="after")
    def _each_once(self) -> "WriteTodosArgs":
        ids = [todo.id for todo in self.todos]
        if twice := next((given for given in ids if ids.count(given) > 1), None):
            raise ValueError(f"two todos have the id {twice!r}")
        return self


class WriteTodos(Tool):
    """Replaces the list, or merges into it by id."""

    name = "write_todos"
    description = "Write the list of what is to be done in this conversation. Gives the list as it is then."
    Args = WriteTodosArgs

    async def acall(self, args: WriteTodosArgs, context: ToolContext) -> Json:
        # Nothing is awaited between reading and writing: calls of one turn see each other.
        before = context.values.get(TODOS, [])
        known = {todo["id"]: todo for todo in before} if args.merge else {}
        known |= {todo.id: todo.model_dump() for todo in args.todos}
        if len(known) > MAX_TODOS:
            raise ValueError(f"The list may have at most {MAX_TODOS} todos.")
        todos = [] if _are_finished(known) else [todo for _, todo in sorted(known.items())]
        if todos != before:
            context.values[TODOS] = todos
            context.io.custom(TODOS, todos)
        return {TODOS: todos}


def _are_finished(todos: dict[str, dict[str, Any]]) -> bool:
    return all(todo["status"] in _FINISHED for todo in todos.values())


class TodoList(Middleware):
    """A list of what is to be done, which the model keeps with the tool `write_todos`.

    It is the session's: `GET /sessions/{id}/state` has it as `todos`, and each change is an event of that name.
    """

    name = "todo_list"

    def tools(self) -> Sequence[Tool]:
        return [WriteTodos()]

    def prompt(self, turn: Turn) -> str:
        return _PROMPT
