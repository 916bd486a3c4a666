"""Plain functions as agents: `@entrypoint`, and inside of one `@task` and `interrupt` (`runtime.tasks`).

    @task
    async def look_up(word: str) -> str: ...

    @entrypoint("Dictionary")
    async def dictionary(input: str, *, previous: list[str] | None = None) -> str: ...

The whole function is one step: the assistant's `step_timeout_s` bounds it, and it is carried out again where that step
is. The names and what they mean are those of `langgraph.func`.
"""

import asyncio
import inspect
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

import orjson

from runtime.contract import BaseAgent, Json, Message, ModelRecord, State, Step, StepIO, Usage
from runtime.errors import AgentError
from runtime.registry import register_agent
from runtime.tasks import Begun, Program, ProgramChanged, Retry, awaitable, interrupt, plain, task

__all__ = ["Begun", "ProgramChanged", "Retry", "entrypoint", "final", "interrupt", "task"]

F = TypeVar("F", bound=Callable[..., Any])

# The session's state keys: what the run before saved; and what was asked and answered in the run that is under way.
PREVIOUS = "previous"
PROGRESS = "entrypoint"

_GIVEN = ("previous", "messages", "config", "spec", "io")
_THE_VALUE: Any = object()


@dataclass(frozen=True, slots=True)
class final:  # noqa: N801 - as in langgraph.func
    """What a function returns to give one thing, and save another for the session's next run.

    `usage` is what its model calls took, for the run's totals: those of its tasks too, whose results it must be part of
    so as to be known when they are not done again.
    """

    value: Any
    save: Json = _THE_VALUE
    usage: Usage | None = None


def entrypoint(name: str) -> Callable[[F], F]:
    """Register a function as the agent type `name`; gives the function itself.

    Its first parameter is the run's input as posted; of a lone `{"message": ...}` the message. By name, where it has
    such parameters, it is given

    - `previous`: what it saved at the end of the session's run before; None in the first
    - `messages`: the conversation, a list of `runtime.contract.Message`
    - `config`: the assistant's configuration
    - `spec`: the `runtime.contract.AgentSpec`, which has its tools and secrets beside that
    - `io`: the `runtime.contract.StepIO`

    What it returns: text, or a Message, is the assistant's message; other JSON (a pydantic model, a dataclass) is the
    output's `structured`, and as text the message; None says nothing. It is saved as `previous` for the next run,
    unless `final` says otherwise. An async generator yields pieces of text, which are told as tokens. A function that
    is not async is carried out in a thread.

    Raises `TypeError` where the function has other parameters, and `ValueError` where the name is taken.
    """

    def register(function: F) -> F:
        members = {
            "__doc__": function.__doc__ or f"The function {function.__name__}.",
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
            "function": staticmethod(function),
            "given": _given(function),
        }
        register_agent(name)(type(function.__name__, (FunctionAgent,), members))
        return function

    return register


class FunctionAgent(BaseAgent):
    """A function; `entrypoint` makes a subclass for each. `given` names what it is called with besides its input."""

    function: ClassVar[Callable[..., Any]]
    given: ClassVar[frozenset[str]]

    async def step(self, state: State, io: StepIO) -> Step:
        answers = _answers(state, io)
        program = Program(io, await io.kept(), answers)
        try:
            returned = await program.carry_out(partial(self._call, state, io))
        except asyncio.CancelledError:
            raise
        except BaseException:
            # It may have come back as another one, of a group of tasks or of the function's own making.
            if program.asked is None:
                raise
        if program.asked is not None:
            return _asking(program, io)
        given = returned if isinstance(returned, final) else final(returned)
        message, structured = answer_of(given.value, io)
        save = given.save
        if save is _THE_VALUE:
            save = message.content if message is not None and structured is None else structured
        return Step(
            kind="custom",
            messages=[message] if message is not None else [],
            done=True,
            structured=structured,
            changes={PREVIOUS: plain("What the function saves", save)},
            removed=[PROGRESS] if PROGRESS in state.values else [],
            model=ModelRecord("function", self.spec.type, given.usage) if given.usage is not None else None,
        )

    async def _call(self, state: State, io: StepIO) -> Any:
        function = type(self).function
        offered = {
            "previous": state.values.get(PREVIOUS),
            "messages": list(state.messages),
            "config": dict(self.spec.config),
            "spec": self.spec,
            "io": io,
        }
        call = partial(function, _input(state), **{name: offered[name] for name in self.given})
        if not inspect.isasyncgenfunction(function):
            return await awaitable(function, call)
        message = Message(id=io.new_id(), role="assistant", content="")
        pieces = []
        async with aclosing(call()) as said:
            async for piece in said:
                if not isinstance(piece, str):
                    raise AgentError(f"The function yields text, and a {type(piece).__name__} came.")
                pieces.append(piece)
                io.token(message.id, piece)
        message.content = "".join(pieces)
        return message


def _given(function: Callable[..., Any]) -> frozenset[str]:
    """Which of what can be given the function takes. Raises TypeError where it takes something else."""
    if inspect.isgeneratorfunction(function):
        raise TypeError(f"{function.__qualname__} is a generator; one that streams is async.")
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = list(inspect.signature(function).parameters.values())
    first, others = parameters[:1], parameters[1:]
    if not first or first[0].kind not in positional:
        raise TypeError(f"{function.__qualname__} has no first parameter for the run's input.")
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for parameter in others:
        if parameter.name not in _GIVEN and parameter.default is parameter.empty and parameter.kind not in variable:
            raise TypeError(
                f"{function.__qualname__} has a parameter {parameter.name}; it can be given {', '.join(_GIVEN)}."
            )
    return frozenset(
        parameter.name for parameter in others if parameter.name in _GIVEN and parameter.kind not in positional[:1]
    )


def _input(state: State) -> Json:
    given = state.input
    return given["message"] if isinstance(given, dict) and given.keys() == {"message"} else given


def answer_of(value: Any, io: StepIO) -> tuple[Message | None, Json]:
    """What an agent gives as the assistant's message, and as structured output. Raises AgentError."""
    if value is None:
        return None, None
    if isinstance(value, Message):
        if value.role != "assistant":
            raise AgentError(f"The function returned a message of the role {value.role}; the assistant's is asked for.")
        return value, None
    structured = None if isinstance(value, str) else plain("What the function returned", value)
    content = value if isinstance(value, str) else orjson.dumps(structured).decode()
    return Message(id=io.new_id(), role="assistant", content=content), structured


# -- what was asked ---------------------------------------------------------------------------------------------------
# The answers are in the session's state, and change with the step that asks the next question: whichever of them a
# crash lets stand, the last answer belongs to the question that stands with it.


def _answers(state: State, io: StepIO) -> dict[str, Json]:
    """What persons answered in this run, by place."""
    progress = state.values.get(PROGRESS) or {}
    # One that did not end in order left it behind.
    if progress.get("run_id") != io.run_id:
        return {}
    latest = {} if state.resume is None else {progress["asked"]: state.resume["value"]}
    return {**progress["answers"], **latest}


def _asking(program: Program, io: StepIO) -> Step:
    assert program.asked is not None
    place, value = program.asked
    progress = {"run_id": io.run_id, "asked": place, "answers": dict(program.answers)}
    return Step(kind="custom", interrupt={"type": "custom", "value": value}, changes={PROGRESS: progress})
