"""Plain functions as agents, whose finished tasks are not done again."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from runtime import registry
from runtime.contract import AgentSpec, Message, Step, StepIO, Usage
from runtime.errors import AgentError, ModelServerError
from runtime.functional import Begun, ProgramChanged, Retry, entrypoint, final, interrupt, task
from runtime.model import ModelCaller
from runtime.registry import agent_class, agent_type
from tests.runtime.driver import Conversation

done: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    done.clear()


def chat_with(function: Callable[..., Any], **config: Any) -> Conversation:
    entrypoint("Function")(function)
    return Conversation(agent_class("Function")(AgentSpec("Function", config)))


async def run(chat: Conversation, given: Any) -> Step:
    """A new run with this input: its last step, or the one that asks."""
    chat.io.run_id = chat.io.new_id()
    chat.io.results_kept.clear()
    chat.state.input = given
    chat.state.run_start = len(chat.state.messages)
    return await chat.step()


async def said(chat: Conversation, given: Any) -> str:
    step = await run(chat, given)
    assert step.done
    return chat.state.messages[-1].text


@task
async def double(number: int) -> int:
    done["double"] += 1
    return number * 2


# -- in and out --------------------------------------------------------------------------------------------------------


async def test_a_function_answers() -> None:
    async def shout(text: str) -> str:
        return text.upper()

    chat = chat_with(shout)
    assert await said(chat, {"message": "hello"}) == "HELLO"
    assert chat.steps[-1].structured is None


async def test_a_sync_function_answers_from_a_thread() -> None:
    def where(_: Any) -> bool:
        return threading.current_thread() is threading.main_thread()

    assert (await run(chat_with(where), None)).structured is False


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"message": "hi"}, "hi"),
        ({"message": "hi", "more": 1}, {"message": "hi", "more": 1}),
        ({"messages": [{"role": "user", "content": "hi"}]}, {"messages": [{"role": "user", "content": "hi"}]}),
        ({"city": "Bern"}, {"city": "Bern"}),
        (None, None),
    ],
)
async def test_the_input_is_as_posted_and_a_lone_message_itself(given: Any, seen: Any) -> None:
    async def echo(value: Any) -> Any:
        return [value]

    assert (await run(chat_with(echo), given)).structured == [seen]


async def test_it_is_given_what_its_signature_names() -> None:
    async def told(_: Any, *, messages: list[Message], config: dict[str, Any], io: StepIO) -> Any:
        return [[message.text for message in messages], config, io.session_id]

    chat = chat_with(told, max_steps=3)
    chat.state.messages.append(Message("id", "user", "hi"))
    assert (await run(chat, None)).structured == [["hi"], {"max_steps": 3}, "session"]


@dataclass
class Weather:
    city: str


class Report(BaseModel):
    city: str


@pytest.mark.parametrize(
    ("returned", "structured", "text"),
    [
        ({"city": "Bern"}, {"city": "Bern"}, '{"city":"Bern"}'),
        (Weather("Bern"), {"city": "Bern"}, '{"city":"Bern"}'),
        (Report(city="Bern"), {"city": "Bern"}, '{"city":"Bern"}'),
        (0, 0, "0"),
        ("Bern", None, "Bern"),
        (Message("own", "assistant", "Bern"), None, "Bern"),
    ],
)
async def test_what_it_returns_is_the_message_and_if_it_is_no_text_the_structured_output(
    returned: Any, structured: Any, text: str
) -> None:
    async def give(_: Any) -> Any:
        return returned

    chat = chat_with(give)
    step = await run(chat, None)
    assert (step.structured, [message.text for message in step.messages]) == (structured, [text])


async def test_none_says_nothing() -> None:
    async def silent(_: Any) -> None:
        return None

    step = await run(chat_with(silent), None)
    assert (step.messages, step.structured, step.done) == ([], None, True)


@pytest.mark.parametrize("returned", [object(), Message("own", "user", "hi")])
async def test_what_is_no_answer_is_refused(returned: Any) -> None:
    async def give(_: Any) -> Any:
        return returned

    with pytest.raises(AgentError, match=r"not JSON|role user"):
        await run(chat_with(give), None)


async def test_pieces_of_text_are_told_as_tokens_of_one_message() -> None:
    async def stream(text: str) -> AsyncIterator[str]:
        for word in text.split():
            yield word

    chat = chat_with(stream)
    assert await said(chat, {"message": "a b c"}) == "abc"
    assert chat.io.tokens == [("text", "a"), ("text", "b"), ("text", "c")]


async def test_what_it_returned_is_there_for_the_next_run() -> None:
    async def count_up(_: Any, *, previous: int | None = None) -> int:
        return (previous or 0) + 1

    chat = chat_with(count_up)
    assert [(await run(chat, None)).structured for _ in range(3)] == [1, 2, 3]


async def test_final_gives_one_thing_and_saves_another() -> None:
    async def swap(value: Any, previous: Any) -> Any:
        return final(value=previous, save=value)

    chat = chat_with(swap)
    assert [(await run(chat, [n])).structured for n in range(3)] == [None, [0], [1]]


async def test_what_its_models_took_is_counted_though_the_task_is_not_done_again() -> None:
    @task
    async def ask(spec: AgentSpec, io: StepIO) -> dict[str, Any]:
        done["ask"] += 1
        asked = [Message("", "user", "one two")]
        answer = await ModelCaller(spec.config["llm"], secrets=spec.secrets).ask(
            asked, turn=0, listen=lambda *_: None, io=io
        )
        return {"text": answer.text, "input": answer.usage.input_tokens, "output": answer.usage.output_tokens}

    async def through_a_model(_: Any, *, spec: AgentSpec, io: StepIO) -> final:
        answer: Any = await ask(spec, io)
        return final(answer["text"], usage=Usage(answer["input"], answer["output"]))

    chat = chat_with(through_a_model, llm={"provider": "fake", "model": "echo"})
    await run(chat, None)
    for step in (chat.steps[-1], await chat.step()):
        assert step.model is not None
        assert (step.model.usage, step.changes) == (Usage(2, 2), {"previous": "one two"})
    assert done["ask"] == 1


def test_a_function_is_described_by_its_docstring_and_stays_itself() -> None:
    @entrypoint("Teller")
    def teller(text: str) -> str:
        """Tells
        it.

        More.
        """
        return text

    assert (agent_type("Teller").description, teller("x")) == ("Tells it.", "x")


async def _stream(_: Any) -> Any:
    yield 1


def _generator(_: Any) -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda: 1, "no first parameter"),
        (lambda *, previous: 1, "no first parameter"),
        (lambda value, database: 1, "a parameter database"),
        (_generator, "is a generator"),
    ],
)
def test_a_function_that_cannot_be_called_so_is_refused_at_once(function: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        entrypoint("Wrong")(function)


def test_a_taken_name_is_refused() -> None:
    entrypoint("Taken")(lambda value: value)
    with pytest.raises(ValueError, match="registered already"):
        entrypoint("Taken")(double.__wrapped__)


# -- tasks -------------------------------------------------------------------------------------------------------------


async def test_a_finished_task_is_not_done_again() -> None:
    async def twice(number: int) -> int:
        first = await double(number)
        if not done["fails"]:
            done["fails"] += 1
            raise ModelServerError("Come back.")
        return await double(first)

    chat = chat_with(twice)
    with pytest.raises(ModelServerError):
        await run(chat, 1)
    assert (await chat.step()).structured == 4
    assert done == {"double": 2, "fails": 1}


async def test_tasks_under_way_at_once_are_told_apart_by_the_order_of_their_calls() -> None:
    @task
    async def slow(number: int) -> int:
        done["slow"] += 1
        await asyncio.sleep((3 - number) / 1000)
        return number

    async def all_of(_: Any) -> list[int]:
        results = await asyncio.gather(*(slow(n) for n in range(3)))
        return [*results, *await asyncio.gather(*(double(n) for n in results))]

    chat = chat_with(all_of)
    assert (await run(chat, None)).structured == [0, 1, 2, 0, 2, 4]
    assert (await chat.step()).structured == [0, 1, 2, 0, 2, 4]
    assert done == {"slow": 3, "double": 3}


async def test_a_sync_functions_tasks_give_their_results() -> None:
    @task
    def blocking(number: int) -> int:
        done["blocking"] += 1
        time.sleep(0.001)
        return number + 1

    def both(number: int) -> list[int]:
        begun: list[Begun[int]] = [blocking(number), double(number)]
        return [each.result() for each in begun]

    chat = chat_with(both)
    assert (await run(chat, 1)).structured == [2, 2]
    assert (await chat.step()).structured == [2, 2]
    assert done == {"blocking": 1, "double": 1}


async def test_more_sync_tasks_wait_for_each_other_than_a_pool_has_threads() -> None:
    @task
    def deep(level: int) -> int:
        return deep(level - 1).result() + 1 if level else 0

    def dive(_: Any) -> int:
        return deep(60).result()

    assert (await run(chat_with(dive), None)).structured == 60


async def test_the_tasks_of_a_finished_task_do_not_count() -> None:
    @task
    async def outer(number: int) -> int:
        return await double(await double(number))

    async def nested(number: int) -> int:
        return await double(await outer(number))

    chat = chat_with(nested)
    assert (await run(chat, 1)).structured == 8
    assert (await chat.step()).structured == 8
    assert done["double"] == 3


async def test_a_task_that_raises_keeps_nothing_and_the_function_hears_of_it() -> None:
    @task
    async def picky(number: int) -> int:
        done["picky"] += 1
        raise ValueError(number)

    async def careful(number: int) -> str:
        try:
            await picky(number)
        except ValueError as error:
            return str(error)
        return ""

    chat = chat_with(careful)
    assert await said(chat, 7) == "7"
    await chat.step()
    assert done["picky"] == 2


async def test_a_result_is_the_same_whether_it_was_kept_or_not() -> None:
    @task
    async def report() -> Report:
        return Report(city="Bern")

    async def kind(_: Any) -> str:
        return type(await report()).__name__

    chat = chat_with(kind)
    assert await said(chat, None) == "dict"
    await chat.step()
    assert chat.state.messages[-1].text == "dict"


async def test_a_result_that_is_not_json_is_refused() -> None:
    @task
    async def odd() -> object:
        return object()

    async def take(_: Any) -> None:
        await odd()

    with pytest.raises(AgentError, match="The result of the task 'odd' is a object, which is not JSON"):
        await run(chat_with(take), None)


async def test_a_task_is_tried_as_often_as_it_says() -> None:
    @task(retry=Retry(attempts=3, initial_s=0))
    async def flaky() -> int:
        inner = await double(1)
        done["flaky"] += 1
        if done["flaky"] < 3:
            raise OSError
        return inner

    async def take(_: Any) -> int:
        return await flaky()

    assert (await run(chat_with(take), None)).structured == 2
    assert done == {"flaky": 3, "double": 1}


@pytest.mark.parametrize("error", [AgentError("Never."), KeyError("other")])
async def test_what_another_try_would_not_mend_is_not_tried_again(error: Exception) -> None:
    @task(retry=Retry(on=(OSError, AgentError), initial_s=0))
    async def wrong() -> None:
        done["wrong"] += 1
        raise error

    async def take(_: Any) -> None:
        await wrong()

    with pytest.raises(type(error)):
        await run(chat_with(take), None)
    assert done["wrong"] == 1


async def test_a_task_takes_no_longer_than_it_may() -> None:
    @task(timeout_s=0.001)
    async def endless() -> None:
        await asyncio.Event().wait()

    async def take(_: Any) -> str:
        try:
            await endless()
        except TimeoutError:
            return "too long"
        return ""

    assert await said(chat_with(take), None) == "too long"


def test_pauses_grow_to_their_bound() -> None:
    retry = Retry(initial_s=1, factor=3, max_s=20)
    assert [retry.pause_s(n) for n in range(1, 6)] == [1, 3, 9, 20, 20]


async def test_what_was_begun_is_finished_although_nobody_waits_for_it() -> None:
    async def careless(_: Any) -> str:
        double(1)
        return "done"

    chat = chat_with(careless)
    assert await said(chat, None) == "done"
    assert chat.io.results_kept == {"task:0": {"name": "double", "result": 2}}


async def test_the_thread_of_a_step_that_is_stopped_begins_nothing_more() -> None:
    entered, stopped, ended = threading.Event(), threading.Event(), threading.Event()

    def stubborn(_: Any) -> None:
        entered.set()
        stopped.wait(10)
        try:
            double(1)
        except BaseException as error:
            done[type(error).__name__] += 1
            raise
        finally:
            ended.set()

    step = asyncio.ensure_future(run(chat_with(stubborn), None))
    await asyncio.to_thread(entered.wait, 10)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    stopped.set()
    await asyncio.to_thread(ended.wait, 10)
    assert done == {"Left": 1}


async def test_a_step_that_is_stopped_stops_its_tasks() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    @task
    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def careless(_: Any) -> str:
        endless()
        return "done"

    step = asyncio.ensure_future(run(chat_with(careless), None))
    await begun.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    await ended.wait()


async def test_a_task_that_is_cancelled_by_the_function_does_not_cancel_the_run() -> None:
    async def confused(_: Any) -> None:
        begun: Any = double(1)
        begun.cancel()
        await begun

    with pytest.raises(AgentError, match="cancelled"):
        await run(chat_with(confused), None)


def test_a_task_is_called_inside_of_an_entrypoint_only() -> None:
    with pytest.raises(RuntimeError, match="The task double can only be called inside of an entrypoint"):
        double(1)


@pytest.mark.parametrize("function", [_generator, _stream])
def test_a_generator_is_no_task(function: Any) -> None:
    with pytest.raises(TypeError, match="is a generator"):
        task(function)


async def test_pieces_that_are_no_text_are_refused() -> None:
    with pytest.raises(AgentError, match="yields text, and a int came"):
        await run(chat_with(_stream), None)


# -- asking a person ---------------------------------------------------------------------------------------------------


async def two_questions(number: int) -> list[Any]:
    """Tasks before, between and after two questions."""
    first = await double(number)
    name = interrupt({"ask": "name", "of": first})
    second = await double(first)
    colour = interrupt("colour?")
    return [name, colour, await double(second)]


async def test_one_question_follows_the_other_and_nothing_is_done_twice() -> None:
    chat = chat_with(two_questions)
    assert (await run(chat, 1)).interrupt == {"type": "custom", "value": {"ask": "name", "of": 2}}
    assert (await chat.answer({"value": "Ada"})).interrupt == {"type": "custom", "value": "colour?"}
    assert (await chat.answer({"value": None})).structured == ["Ada", None, 8]
    assert done["double"] == 3
    assert chat.state.values.keys() == {"previous"}


async def test_an_answer_is_not_taken_for_that_to_the_next_question() -> None:
    """The step that asks the second question is carried out again, as after a crash before its commit."""
    chat = chat_with(two_questions)
    await run(chat, 1)
    chat.state.resume = {"value": "Ada"}
    again = [await chat.agent.step(chat.state, chat.io) for _ in range(2)]
    assert [step.interrupt for step in again] == [{"type": "custom", "value": "colour?"}] * 2


async def test_a_new_run_asks_anew_where_the_one_before_was_left_unanswered() -> None:
    chat = chat_with(two_questions)
    await run(chat, 1)
    await chat.answer({"value": "Ada"})
    assert (await run(chat, 5)).interrupt == {"type": "custom", "value": {"ask": "name", "of": 10}}


async def test_a_sync_function_asks() -> None:
    def ask(_: Any) -> str:
        try:
            return str(interrupt("name?"))
        except Exception:  # noqa: BLE001 - it is too narrow
            done["went on"] += 1
            return ""

    chat = chat_with(ask)
    assert (await run(chat, None)).interrupt == {"type": "custom", "value": "name?"}
    await chat.answer({"value": "Ada"})
    assert (chat.state.messages[-1].text, done["went on"]) == ("Ada", 0)


async def test_a_task_asks_while_others_are_finished() -> None:
    @task
    async def careful() -> str:
        return f"{await double(1)} {interrupt('sure?')}"

    async def both(_: Any) -> list[Any]:
        async with asyncio.TaskGroup() as group:
            sure, number = group.create_task(_awaited(careful())), group.create_task(_awaited(double(2)))
        return [sure.result(), number.result()]

    chat = chat_with(both)
    assert (await run(chat, None)).interrupt == {"type": "custom", "value": "sure?"}
    assert (await chat.answer({"value": "yes"})).structured == ["2 yes", 4]
    assert done["double"] == 2


async def _awaited(begun: Begun[Any]) -> Any:
    return await begun


async def test_of_two_questions_at_once_one_is_asked_first() -> None:
    @task
    async def ask(what: str) -> Any:
        return interrupt(what)

    async def both(_: Any) -> Any:
        return await asyncio.gather(ask("a?"), ask("b?"))

    chat = chat_with(both)
    assert (await run(chat, None)).interrupt == {"type": "custom", "value": "a?"}
    assert (await chat.answer({"value": "a"})).interrupt == {"type": "custom", "value": "b?"}
    assert (await chat.answer({"value": "b"})).structured == ["a", "b"]


# -- a function that has changed -----------------------------------------------------------------------------------


@task
async def triple(number: int) -> int:
    return number * 3


async def ask_first(number: int) -> Any:
    return interrupt(number)


async def triple_first(number: int) -> Any:
    return await triple(number)


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (triple_first, "its call 0 was the task 'double' and is the task 'triple' now"),
        (ask_first, "its call 0 was the task 'double' and is interrupt now"),
    ],
)
async def test_a_run_does_not_go_on_with_another_function(now: Callable[..., Any], why: str) -> None:
    chat = chat_with(two_questions)
    await run(chat, 1)
    registry._registered.clear()
    chat.agent = chat_with(now).agent
    with pytest.raises(ProgramChanged, match=why):
        await chat.answer({"value": "Ada"})


async def test_nor_where_a_task_stands_in_an_interrupts_place() -> None:
    chat = chat_with(ask_first)
    await run(chat, 1)
    registry._registered.clear()
    chat.agent = chat_with(triple_first).agent
    with pytest.raises(ProgramChanged, match="its call 0 was interrupt and is the task 'triple' now"):
        await chat.answer({"value": "Ada"})
