"""What a function that is an agent (`runtime.functional`) calls while it is carried out: tasks, and `interrupt`.

A function is carried out again from its beginning: after a crash, a retry, and each answer of a person. So that its
work is not, every call of a task and every `interrupt` has a place: its number in the function, or, inside of a task,
behind the place of that (`2.0`). At its place the call finds what was kept there. The numbers are given in the order
of the calls, which therefore has to be the same each time, as it is where the function depends on nothing but its
arguments, its tasks' results and the answers.

The names and what they mean are those of `langgraph.func`.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial, wraps
from itertools import count
from threading import Thread
from typing import Any, ParamSpec, Protocol, TypeVar, cast, overload

from pydantic_core import PydanticSerializationError, to_jsonable_python

from core.cancelling import is_to_stop
from runtime.contract import Json, StepIO
from runtime.errors import AgentError, MustWait

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ProgramChanged(AgentError):
    """The function calls something else than it did when its run began."""

    code = "program_changed"


class Left(BaseException):
    """The function is left where it stands: it has asked a person, or its run goes on elsewhere.

    No `Exception`, so that a function that catches these does not go on by mistake.
    """


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a task is tried before its exception reaches the function, and the pauses between, in seconds.

    Only exceptions `on` are tried again, and of the `AgentError`s among them those that are retryable.
    """

    attempts: int = 3
    initial_s: float = 0.5
    factor: float = 2.0
    max_s: float = 60.0
    on: tuple[type[Exception], ...] = (Exception,)

    def pause_s(self, failures: int) -> float:
        """How long to wait after so many failures."""
        return float(min(self.initial_s * self.factor ** min(failures - 1, 30), self.max_s))


_ONCE = Retry(attempts=1)


class Begun(Protocol[T_co]):
    """A task's call that has begun: an async function awaits it, another one calls its `result()`."""

    def result(self) -> T_co: ...

    def __await__(self) -> Generator[Any, None, T_co]: ...


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, Begun[T]]: ...

    @overload
    def __call__(self, function: Callable[P, T], /) -> Callable[P, Begun[T]]: ...


@overload
def task(function: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, Begun[T]]: ...


@overload
def task(function: Callable[P, T], /) -> Callable[P, Begun[T]]: ...


@overload
def task(*, retry: Retry | None = None, timeout_s: float | None = None) -> _Decorator: ...


def task(
    function: Callable[..., Any] | None = None, /, *, retry: Retry | None = None, timeout_s: float | None = None
) -> Any:
    """Make a function a task: a piece of work whose result is kept, so that it is not done again in this run.

    To call it begins it, and gives a `Begun`; several may be under way. Its result must be JSON, or a pydantic model or
    dataclass, which becomes JSON: it is the same whether it was kept before or now. What it raises reaches the function
    and is not kept. A sync function is carried out in a thread. `timeout_s` bounds each try, in seconds
    (`TimeoutError`); a thread goes on unheard. Outside of an entrypoint only `__wrapped__`, the function itself, can
    be called.
    """
    if function is None:
        return partial(task, retry=retry, timeout_s=timeout_s)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"A task gives one result: {function.__qualname__} is a generator.")
    work = _Work(function, retry or _ONCE, timeout_s)

    @wraps(function)
    def begin(*args: Any, **kwargs: Any) -> Begun[Any]:
        scope = _here(f"The task {work.name}")
        return scope.program.begin(scope, work, partial(function, *args, **kwargs))

    return begin


def interrupt(value: Json) -> Json:
    """Ask a person, and give what they answer (the `value` of a `custom` answer).

    The run waits without a worker; then its function is carried out again, and this call returns. Several may follow
    one another. Call it in the function or in a task of it, and keep `except BaseException` from around it.
    """
    scope = _here("interrupt")
    return scope.program.ask(scope.place(), value)


class Program:
    """One time that a function is carried out: what was kept and answered, and the tasks that are under way.

    `answers` are by place; `asked` is the place and the value of what a person is to be asked, once there is one.
    Made inside the event loop of the step.
    """

    def __init__(self, io: StepIO, kept: Mapping[str, Json], answers: Mapping[str, Json]):
        self.io = io
        self.answers = answers
        self.asked: tuple[str, Json] | None = None
        self._kept = kept
        self._loop = asyncio.get_running_loop()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def carry_out(self, function: Callable[..., Awaitable[T]]) -> T:
        """Call the function, and wait for the tasks that it has left under way, however it ends.

        Raises what it raises: `Left` where it asked. Where the step is cancelled, so are they.
        """
        before = _scope.set(_Scope(self))
        try:
            try:
                return await function()
            except asyncio.CancelledError:
                self.close()
                if is_to_stop():
                    raise
                raise AgentError("The function awaited something that was cancelled.") from None
            finally:
                while self._under_way and not self._closed:
                    await asyncio.wait(self._under_way)
        finally:
            self.close()
            _scope.reset(before)

    def close(self) -> None:
        """Begin nothing more, and stop what is under way; what is in a thread goes on to its next call."""
        self._closed = True
        for begun in self._under_way:
            begun.cancel()

    def begin(self, scope: "_Scope", work: "_Work", call: Callable[[], Any]) -> Begun[Any]:
        """Begin a task's call; from a thread too."""
        self._refuse_once_closed()
        # Here and not in the coroutine: the order of the calls counts, not of the turns that they get.
        place = scope.place()
        if _running_loop() is self._loop:
            return self._track(self._result(scope, place, work, call))
        begun = asyncio.run_coroutine_threadsafe(self._tracked(self._result(scope, place, work, call)), self._loop)
        return cast(Begun[Any], begun)

    def ask(self, place: str, value: Json) -> Json:
        """The answer that was given at this place; raises `Left` where there is none yet."""
        self._refuse_once_closed()
        if place in self.answers:
            return self.answers[place]
        if kept := self._kept.get(_key(place)):
            raise ProgramChanged(_changed(place, f"the task {kept['name']!r}", "interrupt"))
        self.asked = self.asked or (place, plain("What a person is asked", value))
        raise Left

    def _track(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        begun = self._loop.create_task(coroutine)
        self._under_way.add(begun)
        begun.add_done_callback(self._ended)
        return begun

    def _ended(self, begun: asyncio.Task[Any]) -> None:
        self._under_way.discard(begun)
        if not begun.cancelled():
            begun.exception()  # or asyncio would complain of those that nobody awaits

    async def _tracked(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return await self._track(coroutine)

    async def _result(self, scope: "_Scope", place: str, work: "_Work", call: Callable[[], Any]) -> Json:
        self._refuse_once_closed()
        if place in self.answers:
            raise ProgramChanged(_changed(place, "interrupt", f"the task {work.name!r}"))
        if kept := self._kept.get(_key(place)):
            if kept["name"] != work.name:
                raise ProgramChanged(_changed(place, f"the task {kept['name']!r}", f"the task {work.name!r}"))
            return kept["result"]
        try:
            done = await work.carry_out(call, scope, place)
        except Exception as error:
            # The function may never ask how it ended.
            log.info("run %s: the task %s raised %s: %s", self.io.run_id, work.name, type(error).__name__, error)
            raise
        result = plain(f"The result of the task {work.name!r}", done)
        await self.io.keep(_key(place), {"name": work.name, "result": result})
        return (await self.io.kept())[_key(place)]["result"]

    def _refuse_once_closed(self) -> None:
        if self._closed:
            raise Left


@dataclass(slots=True)
class _Scope:
    """Where calls are numbered: the function, or a task of it. Threads may share it."""

    program: Program
    prefix: str = ""
    numbers: "count[int]" = field(default_factory=count)

    def place(self) -> str:
        return f"{self.prefix}{next(self.numbers)}"


_scope: ContextVar[_Scope] = ContextVar("scope")


def _here(what: str) -> _Scope:
    try:
        return _scope.get()
    except LookupError:
        raise RuntimeError(f"{what} can only be called inside of an entrypoint.") from None


@dataclass(frozen=True, slots=True)
class _Work:
    """A task's function."""

    function: Callable[..., Any]
    retry: Retry
    timeout_s: float | None

    @property
    def name(self) -> str:
        return self.function.__name__

    async def carry_out(self, call: Callable[[], Any], scope: _Scope, place: str) -> Any:
        """Try as often as `retry` says; raises what the last try raised."""
        for nth in count(1):
            # Each try numbers its own calls from 0, and finds what those before it kept.
            _scope.set(_Scope(scope.program, f"{place}."))
            try:
                async with asyncio.timeout(self.timeout_s):
                    return await awaitable(self.function, call)
            except MustWait:
                raise
            except self.retry.on as error:
                if nth >= self.retry.attempts or (isinstance(error, AgentError) and not error.retryable):
                    raise
            await asyncio.sleep(self.retry.pause_s(nth))
        raise AssertionError  # `count` has no end


def awaitable(function: Callable[..., Any], call: Callable[[], Any]) -> Awaitable[Any]:
    """The call of the function: its own coroutine, or a thread's."""
    return call() if inspect.iscoroutinefunction(function) else _in_thread(call)


def _in_thread(call: Callable[[], T]) -> "asyncio.Future[T]":
    """The call in a thread of its own, in the caller's context.

    A pool's would run out: those that wait for a task's result would hold what the task needs. And no process waits for
    such a thread at its end.
    """
    context = copy_context()
    done: Future[T] = Future()

    def work() -> None:
        done.set_running_or_notify_cancel()
        try:
            done.set_result(context.run(call))
        except BaseException as error:  # noqa: BLE001  (it is raised again where the call is awaited)
            done.set_exception(error)

    Thread(target=work, daemon=True, name="agent-function").start()
    return asyncio.wrap_future(done)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def plain(what: str, value: Any) -> Json:
    """The value as JSON holds it. Raises AgentError."""
    try:
        return to_jsonable_python(value, inf_nan_mode="null")
    except PydanticSerializationError:
        raise AgentError(f"{what} is a {type(value).__name__}, which is not JSON.") from None


def _key(place: str) -> str:
    return f"task:{place}"


def _changed(place: str, before: str, now: str) -> str:
    return f"The function has changed since this run began: its call {place} was {before} and is {now} now."
