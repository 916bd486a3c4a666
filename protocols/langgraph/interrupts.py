"""What a run asks a person, as LangGraph's clients have it: `{"value", "id"}`, by the task that asks."""

from collections.abc import Mapping
from hashlib import md5
from typing import Any
from uuid import UUID

Asked = dict[str, Any]


def interrupts_of(run_id: UUID | str, interrupt: Mapping[str, Any] | None, checkpoint_id: Any = None) -> list[Asked]:
    """What the interrupted run asks: `id`, `value`, `task_id`, and `ns` and `response_schema` where there are any.

    `interrupt` is the run's document, and `checkpoint_id` where it stands: a run may ask more than once. A hosted
    graph's says by itself what each of its tasks asks; a breakpoint asks nothing.
    """
    if interrupt is None:
        return []
    hosted = interrupt.get("value") if interrupt.get("type") == "custom" else None
    if isinstance(hosted, dict) and isinstance(hosted.get("interrupts"), list) and "next" in hosted:
        return [dict(asked) for asked in hosted["interrupts"]]
    task = task_id(run_id, checkpoint_id, "interrupt")
    return [{"id": task.replace("-", ""), "value": _value(interrupt), "task_id": task}]


def by_task(asked: list[Asked]) -> dict[str, list[Asked]]:
    """As a thread shows them."""
    tasks: dict[str, list[Asked]] = {}
    for one in asked:
        tasks.setdefault(str(one.get("task_id", "")), []).append(shown(one))
    return tasks


def shown(asked: Mapping[str, Any]) -> Asked:
    """One of them without its place."""
    return {"id": asked["id"], "value": asked["value"]}


def task_id(*parts: Any) -> str:
    """The id of a task of a native assistant: the same whenever it is asked for."""
    return str(UUID(md5(":".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()))


def _value(interrupt: Mapping[str, Any]) -> Any:
    """What the native form `interrupt` (`runtime.interrupts`) asks: approvals as LangChain's human-in-the-loop
    middleware asks for them, `custom` bare, and any other as it is."""
    if interrupt["type"] == "custom":
        return interrupt["value"]
    if interrupt["type"] != "approval":
        return dict(interrupt)
    return {
        "action_requests": [
            {"name": request["tool_name"], "args": request["arguments"], "description": request["display_text"]}
            for request in interrupt["action_requests"]
        ],
        "review_configs": [
            {
                "action_name": name,
                "allowed_decisions": review["allowed_decisions"],
                **({"args_schema": review["args_schema"]} if review.get("args_schema") else {}),
            }
            for name, review in interrupt["review_configs"].items()
        ],
    }
