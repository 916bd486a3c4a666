"""What an agent is, and what it sees of the server: the whole of what an agent's author must know.

An agent is a function from a state to its next step. The server calls `step` again and again, stores what
each step changed, and so can stop after any step and go on from there in another process. A step is the unit
that is retried: it may be carried out more than once, but it is recorded once.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from runtime.graph_rows import GraphRows
from runtime.records import ModelRecord as ModelRecord
from runtime.records import ToolRecord as ToolRecord
from runtime.said import Content as Content
from runtime.said import Json as Json
from runtime.said import Message as Message
from runtime.said import ToolCall as ToolCall
from runtime.said import Usage as Usage
from runtime.secrets import Secrets
from runtime.shared_files import SharedFiles
from runtime.values import METADATA, Values, check_metadata, merged


@dataclass(slots=True, frozen=True)
class ChildRun:
    """A run that is started by another one and carries out one of its tool calls (`Step.children`).

    It is one of the same assistant's, as its sub-agent `subagent`; or of the assistant `assistant_id` (a UUID), of its
    current version unless `version` or `tag` names another. `title` is that of the child's session.
    """

    input: Json
    subagent: str = ""
    assistant_id: str | None = None
    version: int | None = None
    tag: str | None = None
    title: str = ""


@dataclass(slots=True, frozen=True)
class ChildResult:
    """How a child run ended: its status, and its `output` or its `error` as a run's document has them."""

    run_id: str
    status: str
    output: dict[str, Json] | None = None
    error: dict[str, Json] | None = None


@dataclass(slots=True)
class State:
    """What the agent knows: the session's messages and values after the last committed step.

    `run_start` is the index of the run's first own message in `messages`, or, where it goes on from an earlier
    checkpoint without an input (None), of the first message of the turn that it goes on with; `input` is the run's
    input as posted; `model_calls` counts the run's finished model calls, `session_model_calls` those of the whole
    session. `values` are the session's state keys; a step changes them by what it returns, never in place.
    `resume` is what a person answered to the run's last interrupt (see `runtime.interrupts`), until a step after it is
    stored; None before and from then on. `children` are the ended runs that the step before asked for
    (`Step.children`), by tool call. `usage` is what the run's model calls have taken. `kwargs` is what else a client of
    the LangGraph protocol asked for (see `protocols.langgraph`), empty for all other runs. `durability` says how often
    the run is stored, and `begun` whether something of it is stored already, by this execution or one before.
    `graph_checkpoint_id`: which of its own checkpoints a hosted graph is to begin at, where a client named an earlier
    one of the session.
    `graph_head` is the checkpoint at which a hosted graph's thread stood when the run was claimed, None where that is
    not known or something was written after it.
    """

    messages: list[Message]
    values: dict[str, Json]
    input: Json
    run_start: int = 0
    model_calls: int = 0
    session_model_calls: int = 0
    resume: Json = None
    children: Mapping[str, ChildResult] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    kwargs: Mapping[str, Json] = field(default_factory=dict)
    durability: Literal["sync", "async", "exit"] = "sync"
    begun: bool = False
    graph_checkpoint_id: str | None = None
    graph_head: str | None = None


@dataclass(slots=True)
class Step:
    """What one step did. All of it is stored in one transaction, or none of it.

    `done` ends the run with success; its output is the last assistant message unless `structured` adds to it.
    `next` names what will follow, for readers of the checkpoint. `changes` sets state keys, `removed` deletes
    them. `interrupt` asks a person (`runtime.interrupts` has its forms): the run waits, without a worker, until it is
    resumed, and its next step begins with `State.resume`. `children` are runs to start, by the tool call that each
    carries out: the run waits, without a worker, until all of them have ended, and its next step has their results in
    `State.children`. `graph` is what a hosted graph's checkpointer has to store with it.
    """

    kind: Literal["model", "tools", "custom"]
    messages: list[Message] = field(default_factory=list)
    done: bool = False
    next: Sequence[str] = ()
    changes: dict[str, Json] = field(default_factory=dict)
    removed: Sequence[str] = ()
    structured: Json = None
    interrupt: dict[str, Json] | None = None
    children: dict[str, ChildRun] = field(default_factory=dict)
    model: ModelRecord | None = None
    tool_calls: list[ToolRecord] = field(default_factory=list)
    graph: GraphRows = field(default_factory=GraphRows)


class ModelCall(Protocol):
    """A model call that is made now."""

    def used(self, usage: Usage) -> None:
        """What the call has taken; told when it ends, however it ends."""


class StepIO(Protocol):
    """What a step may tell the outside while it is carried out. All of it is heard at once and kept with the
    step.

    `metadata` is what the client gave to whatever is called on its behalf: the session's metadata, and the run's over
    it. Nothing there is checked. Who it is that asks is said by the other fields, which no client writes.
    """

    run_id: str
    session_id: str
    workspace_id: str
    assistant_id: str
    user_id: str | None
    attempt: int
    metadata: Mapping[str, Json]

    @property
    def files(self) -> SharedFiles:
        """The files that this session shares with others."""

    def token(self, message_id: str, text: str, kind: Literal["text", "reasoning"] = "text") -> None:
        """A piece of the message that is being written."""

    def tool_result(self, record: ToolRecord) -> None:
        """A tool call has ended."""

    def custom(self, name: str, value: Json) -> None:
        """An event of the agent's or tool's own."""

    def part(self, mode: str, namespace: Sequence[str], data: Json) -> None:
        """A piece of what a hosted graph streams, in LangGraph's mode `mode`, told as the event `graph`.

        `namespace` is the path of the subgraph that it comes from, empty for the graph itself. `data` has no NUL and no
        lone surrogates; of the mode `messages` it is a chunk and, with the first of a message, where that comes from.
        """

    def model_call(self, provider: str, model: str, place: str = "") -> AbstractAsyncContextManager[ModelCall]:
        """To be held while a model is called: it keeps to the limits of the provider, and notes its failures.

        `place` tells apart what answers under one name, as `base_url` does. To enter it may take a while.
        Raises `MustWait`, or `ModelUnavailable` where calls have been failing.
        """

    async def keep(self, key: str, value: Json) -> None:
        """Store a value at once, durably and apart from the step, for when this step is carried out again.

        `key` has up to 255 characters; a second value of one key takes the first one's place. Raises
        `runtime.errors.AgentError` where the value is not JSON, or larger than 1 MiB.
        """

    async def kept(self) -> Mapping[str, Json]:
        """All that the run has kept, by key."""

    def artifact(self, name: str, mime_type: str, content: bytes, call_id: str | None = None) -> str:
        """Keep something beside the run's documents, stored with the step; gives its id (see `ToolContext.artifact`).

        Raises ValueError where it is larger than 50 MiB, the step's together than 100 MiB, or the type cannot be one.
        """

    async def read_artifact(self, artifact_id: str, offset: int, limit: int) -> tuple[bytes, int] | None:
        """At most `limit` bytes of an artifact of this session, from `offset` on, and how many it has in all; None
        where the session has no such artifact."""

    def new_id(self) -> str:
        """A new identifier for a message or a tool call (UUIDv7)."""

    def now(self) -> str:
        """This moment by the host's clock, as the API writes moments."""


@dataclass(slots=True, frozen=True)
class ToolContext:
    """What a tool may know of the call it is in.

    `parameters` are the assistant's own settings for this tool. `state` is what the step began with; `values` are its
    values, which the call may change. `answer` is what a person answered to what this very call asked (`Ask`).
    `secrets` are those that the parameters name (`api_key_env`).
    """

    io: StepIO
    call_id: str
    parameters: dict[str, Any]
    state: State
    values: Values
    answer: Json = None
    secrets: Secrets = field(default_factory=dict, repr=False)

    def artifact(self, name: str, mime_type: str, content: bytes) -> str:
        """Keep what this call has made beside the run's documents: a chart, an archive; gives its id for the result.

        It is stored with the step, and had by `GET /runs/{id}/artifacts/{artifact id}`. Raises ValueError where it is
        larger than 50 MiB, the step's together than 100 MiB, or `mime_type` is none.
        """
        return self.io.artifact(name, mime_type, content, self.call_id)

    def remember(self, metadata: dict[str, Json]) -> None:
        """Note this in the session's metadata: objects merge deeply, None takes a key away.

        It is stored with the step, and shown as the session's `context`. Raises `ValueError` for more than 64 KiB of
        it in all.
        """
        noted = merged(self.values.get(METADATA), metadata)
        check_metadata(noted)
        self.values[METADATA] = noted


@dataclass(slots=True, frozen=True)
class Ask:
    """What a tool returns that must ask a person first: a question or a `custom` form of `runtime.interrupts`.

    The run waits, and the call is made again with the answer in `ToolContext.answer`.
    """

    interrupt: dict[str, Json]


@dataclass(slots=True, frozen=True)
class Delegate:
    """What a tool returns that has another run carry out the call: that run's output becomes its result."""

    child: ChildRun


class NoArguments(BaseModel):
    """Nothing may be given."""

    model_config = ConfigDict(extra="forbid")


class Tool(ABC):
    """A capability that a model may use.

    `Args` describes the arguments to the model, `Parameters` what an assistant may configure: bounds that no argument
    exceeds. A tool that raises gives the model its message as an observation; the run goes on. Override `acall`, or
    `call` for blocking code, which then runs in a thread.

    - `read_only`: a call changes nothing anywhere.
    - `timeout_s`: how long a call may take, in seconds; None: as long as its step.
    - `once`: a call is never begun twice, although its step may be. Without it a crash can repeat the call in flight.
    - `cacheable`: the same arguments give the same result in a session, so that it is asked for once there.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    read_only: ClassVar[bool] = False
    timeout_s: ClassVar[float | None] = None
    once: ClassVar[bool] = False
    cacheable: ClassVar[bool] = False

    Args: ClassVar[type[BaseModel]] = NoArguments
    Parameters: ClassVar[type[BaseModel]] = NoArguments

    def check(self, parameters: dict[str, Any], secrets: Secrets) -> list[str]:
        """What keeps the tool from working on this server with these parameters, a sentence each; none by default.

        `parameters` are valid and have their defaults; `secrets` are those that they name.
        """
        return []

    def call(self, args: Any, context: ToolContext) -> Json:
        """Carry it out, blocking; returns text or JSON, `Ask` or `Delegate`.

        A thread cannot be stopped: when its time is over the run goes on without it, and what it does still happens.
        """
        raise NotImplementedError

    async def acall(self, args: Any, context: ToolContext) -> Json:
        """Carry it out; returns text or JSON, `Ask` or `Delegate`. The default runs `call` in a thread."""
        return await asyncio.to_thread(self.call, args, context)


@dataclass(slots=True, frozen=True)
class BoundTool:
    """A tool as one assistant uses it.

    `secrets` are those of the host's that the parameters name (`api_key_env`). `timeout_s` is how long a call may take,
    in seconds; None: as the tool says itself.
    """

    tool: Tool
    parameters: dict[str, Any] = field(default_factory=dict)
    secrets: Secrets = field(default_factory=dict, repr=False)
    timeout_s: float | None = None


@dataclass(slots=True, frozen=True)
class AgentSpec:
    """One assistant version, ready to run: its configuration with defaults filled in, and its tools.

    `secrets` are those of the host's that the configuration names (`secret:<name>`), as far as there are any.
    """

    type: str
    config: dict[str, Any]
    tools: dict[str, BoundTool] = field(default_factory=dict)
    secrets: Secrets = field(default_factory=dict, repr=False)


class BaseAgent(ABC):
    """An agent type. One instance serves all runs of an assistant version in a process, so it keeps no run's
    state.

    Subclasses are registered by name (`runtime.registry.register_agent`) and chosen by an assistant's `type`.
    `Config` is a pydantic model of the part of the assistant's configuration that the type reads: an assistant
    that does not fit it is refused when it is saved. With `read_only_tools` so is one that lists other tools.
    `takes_interrupt_on`: the type asks a person before it calls the tools in `interrupt_on`, `takes_middleware`: it
    carries out what `middleware` lists, `takes_output_schema`: its output fits `output_schema`. Runs of a type that
    does not are refused for assistants that want it. `takes_any_input`: an input need be no messages; the type says
    itself, by what its steps return, which messages the conversation and which keys the state has, and what they keep
    has neither NUL nor lone surrogates.
    """

    Config: ClassVar[type[BaseModel] | None] = None
    read_only_tools: ClassVar[bool] = False
    takes_interrupt_on: ClassVar[bool] = False
    takes_middleware: ClassVar[bool] = False
    takes_output_schema: ClassVar[bool] = False
    takes_any_input: ClassVar[bool] = False

    def __init__(self, spec: AgentSpec):
        self.spec = spec

    @classmethod  # noqa: B027  (most types have nothing to prepare)
    def prepare(cls) -> None:
        """Do what would keep the first run waiting; called once in a worker, before it takes runs. Blocking."""

    def incoming(self, message: Message) -> Message:
        """One of the messages that a run is given, before anything is done with it; gives it as it is to be kept.

        What the model is to see in its place goes into `metadata["for_model"]`. Raises AgentError to refuse it: the run
        ends with that, and the message is not in the conversation. Called again where the run is begun again.
        """
        return message

    def notify(self, middleware_id: str, message: Json, values: Values) -> None:
        """Something was sent to one of its middleware while a run is under way; may change the session's values.

        What is changed is there in the run's next step, and stored with it. Raises LookupError where there is no such
        middleware; by default there is none.
        """
        raise LookupError(f"A {self.spec.type} has no middleware.")

    def left(self, run_id: str) -> None:  # noqa: B027  (most types keep nothing)
        """The run is not carried out in this process any more, however it came to that: let go what was kept of it."""

    def unfinished(self, run_id: str) -> Step | None:
        """What is to be stored of a run whose step has not finished: it failed, or was stopped.

        Only messages, changes of the state, the model and `graph` of the step count. None, as by default: nothing is.
        """
        return None

    @abstractmethod
    async def step(self, state: State, io: StepIO) -> Step:
        """Carry out the next step after `state`.

        Raises `runtime.errors.AgentError`: retried by the assistant's policy where it is retryable, else the
        run ends with it.
        """
