"""Drives an agent as the server does: steps until done, keeping messages and what was heard."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from runtime.contract import AgentSpec, BaseAgent, BoundTool, Content, Message, State, Step, Tool, ToolRecord, Usage
from runtime.errors import AgentError
from runtime.middleware.base import Turn
from runtime.react import ReactAgent
from runtime.secrets import NO_SECRETS, Secrets
from runtime.shared_files import FileEntry, SharedScope
from runtime.values import Values


@dataclass
class Heard:
    """A `StepIO` that remembers. `refusals`: by model, why it is not called."""

    run_id: str = "run"
    session_id: str = "session"
    workspace_id: str = "workspace"
    user_id: str | None = None
    attempt: int = 1
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tokens: list[tuple[str, str]] = field(default_factory=list)
    results: list[ToolRecord] = field(default_factory=list)
    used: list[Usage] = field(default_factory=list)
    refusals: dict[str, AgentError] = field(default_factory=dict)
    artifacts: list[tuple[str, str, bytes, str | None]] = field(default_factory=list)
    events: list[tuple[str, Any]] = field(default_factory=list)
    files: "Shared" = field(default_factory=lambda: Shared())
    ids: int = 0
    results_kept: dict[str, Any] = field(default_factory=dict)

    def token(self, message_id: str, text: str, kind: str = "text") -> None:
        self.tokens.append((kind, text))

    def tool_result(self, record: ToolRecord) -> None:
        self.results.append(record)

    def custom(self, name: str, value: Any) -> None:
        self.events.append((name, value))

    @asynccontextmanager
    async def model_call(self, provider: str, model: str, place: str = "") -> AsyncIterator["HeardCall"]:
        if refusal := self.refusals.get(model):
            raise refusal
        yield HeardCall(self)

    async def keep(self, key: str, value: Any) -> None:
        self.results_kept[key] = json.loads(json.dumps(value))

    async def kept(self) -> Mapping[str, Any]:
        return self.results_kept

    def artifact(self, name: str, mime_type: str, content: bytes, call_id: str | None = None) -> str:
        self.artifacts.append((name, mime_type, content, call_id))
        return f"artifact-{len(self.artifacts)}"

    async def read_artifact(self, artifact_id: str, offset: int, limit: int) -> tuple[bytes, int] | None:
        kept = {f"artifact-{n}": content for n, (_, _, content, _) in enumerate(self.artifacts, start=1)}
        content = kept.get(artifact_id)
        return None if content is None else (content[offset : offset + limit], len(content))

    def new_id(self) -> str:
        self.ids += 1
        return f"id-{self.ids}"

    def now(self) -> str:
        return "2026-01-01T00:00:00.000000Z"


@dataclass
class Shared:
    """`SharedFiles` that keeps them itself. What was not loaded cannot be read."""

    kept: dict[tuple[str, str], str] = field(default_factory=dict)
    loaded: set[tuple[str, str]] = field(default_factory=set)

    async def load(self, scope: SharedScope, *paths: str) -> None:
        await asyncio.sleep(0)
        self.loaded |= {(scope, path) for path in ("", *paths)}

    def entries(self, scope: SharedScope) -> list[FileEntry]:
        assert (scope, "") in self.loaded
        return [FileEntry(path, len(text), "") for (of, path), text in self.kept.items() if of == scope]

    def read(self, scope: SharedScope, path: str) -> str | None:
        assert (scope, path) in self.loaded
        return self.kept.get((scope, path))

    def write(self, scope: SharedScope, path: str, content: str | None) -> None:
        if content is None:
            del self.kept[scope, path]
        else:
            self.kept[scope, path] = content


@dataclass
class HeardCall:
    """A `ModelCall` that remembers."""

    io: Heard

    def used(self, usage: Usage) -> None:
        self.io.used.append(usage)


def a_turn(**values: Any) -> Turn:
    """A step of a session with these values, of which nothing was said."""
    return Turn(State([], values, None), Values(values), Heard())


@dataclass
class Conversation:
    """One session with one agent."""

    agent: BaseAgent
    io: Heard = field(default_factory=Heard)
    state: State = field(default_factory=lambda: State([], {}, None))
    steps: list[Step] = field(default_factory=list)

    async def say(self, content: Content) -> str:
        """A run: what the agent answers in the end."""
        self.state.run_start = len(self.state.messages)
        self.state.model_calls, self.state.usage = 0, Usage()
        self.state.messages.append(Message(self.io.new_id(), "user", content))
        while not (await self.step()).done:
            pass
        return self.state.messages[-1].text

    async def answer(self, resume: Any) -> Step:
        """The step after a person's answer."""
        self.state.resume = resume
        return await self.step()

    async def until_it_waits(self, content: Content) -> Step:
        """A run, up to the step that asks a person or starts other runs."""
        self.state.run_start = len(self.state.messages)
        self.state.messages.append(Message(self.io.new_id(), "user", content))
        while not ((step := await self.step()).interrupt or step.children):
            assert not step.done, "it ended"
        return step

    async def step(self) -> Step:
        step = await self.agent.step(self.state, self.io)
        self.steps.append(step)
        self.state.messages += step.messages
        self.state.values = {k: v for k, v in self.state.values.items() if k not in step.removed} | step.changes
        self.state.resume = None
        if step.kind == "model":
            self.state.model_calls += 1
            self.state.session_model_calls += 1
        if step.model is not None:
            self.state.usage.add(step.model.usage)
        return step

    @property
    def kinds(self) -> list[str]:
        return [step.kind for step in self.steps]


def react(llm: dict[str, Any], *tools: Tool, secrets: Secrets = NO_SECRETS, **config: Any) -> Conversation:
    bound = {tool.name: BoundTool(tool) for tool in tools}
    return Conversation(ReactAgent(AgentSpec("ReactAgent", {"llm": llm, **config}, bound, secrets)))


def echo(*tools: Tool, **config: Any) -> Conversation:
    return react({"provider": "fake", "model": "echo"}, *tools, **config)


def script(*turns: dict[str, Any], tools: tuple[Tool, ...] = (), **config: Any) -> Conversation:
    return react({"provider": "fake", "model": "script", "settings": {"turns": list(turns)}}, *tools, **config)


def calls(*wanted: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A turn that calls tools."""
    return {"tool_calls": [{"name": name, "args": args} for name, args in wanted]}
