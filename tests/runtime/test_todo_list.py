"""The todo list: what the model writes, what is kept, and who hears of it."""

from typing import Any

from tests.runtime.driver import Conversation, calls, script

LISTED = [{"name": "todo_list"}]


def todo(name: str, status: str = "pending", content: str = "Do it") -> dict[str, str]:
    return {"id": name, "content": content, "status": status}


def writes(*todos: Any, **options: Any) -> dict[str, Any]:
    return calls(("write_todos", {"todos": list(todos), **options}))


async def after(*turns: dict[str, Any]) -> Conversation:
    """A run in which the model plays these turns."""
    talk = script(*turns, {"text": "Done."}, middleware=LISTED)
    await talk.say("go")
    return talk


def told(talk: Conversation) -> list[Any]:
    return [value for name, value in talk.io.events if name == "todos"]


async def test_the_list_is_kept_and_told_sorted_by_id() -> None:
    talk = await after(writes(todo("2"), todo("1", "in_progress")))
    expected = [todo("1", "in_progress"), todo("2")]
    assert talk.state.values["todos"] == expected
    assert told(talk) == [expected]
    assert talk.io.results[0].result == {"todos": expected}


async def test_a_write_replaces_the_list() -> None:
    talk = await after(writes(todo("1"), todo("2")), writes(todo("3")))
    assert talk.state.values["todos"] == [todo("3")]


async def test_a_merge_changes_by_id_and_adds() -> None:
    talk = await after(writes(todo("1"), todo("2")), writes(todo("3"), todo("1", "completed"), merge=True))
    assert talk.state.values["todos"] == [todo("1", "completed"), todo("2"), todo("3")]


async def test_a_list_that_is_finished_is_cleared_also_by_what_is_cancelled() -> None:
    finished = writes(todo("1", "completed"), todo("2", "cancelled"), merge=True)
    talk = await after(writes(todo("1"), todo("2")), finished)
    assert talk.state.values["todos"] == []
    assert told(talk)[-1] == []


async def test_calls_of_one_turn_see_each_other() -> None:
    both = calls(
        ("write_todos", {"todos": [todo("1")], "merge": True}), ("write_todos", {"todos": [todo("2")], "merge": True})
    )
    talk = await after(both)
    assert talk.state.values["todos"] == [todo("1"), todo("2")]


async def test_nobody_is_told_of_a_list_that_stays_as_it_is() -> None:
    talk = await after(writes(todo("1")), writes(todo("1")))
    assert len(told(talk)) == 1
    assert talk.steps[3].changes == {}


async def test_wrong_todos_are_told_to_the_model_and_change_nothing() -> None:
    talk = await after(
        writes(todo("1", content="")),
        writes(todo("1", content="x" * 1_001)),
        writes(todo("1", "begun")),
        writes(todo("1"), todo("1")),
        writes({"id": "1", "content": "No status"}),
    )
    assert [record.status for record in talk.io.results] == ["error"] * 5
    assert "todos" not in talk.state.values


async def test_models_that_number_todos_are_understood() -> None:
    talk = await after(writes({"id": 1, "content": "Do it", "status": "pending"}))
    assert talk.state.values["todos"] == [todo("1")]


async def test_the_model_is_told_when_to_use_it() -> None:
    talk = await after({"text": ""})
    talk.agent.spec.config["llm"]["model"] = "prompt"
    assert "write_todos" in await Conversation(type(talk.agent)(talk.agent.spec)).say("go")
