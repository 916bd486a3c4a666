"""Sub-agents: the model hands a task to another agent, which carries it out in a run and a session of its own."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from runtime.approval import InterruptOn
from runtime.contract import AgentSpec, ChildRun, Delegate, Json, Tool, ToolContext
from runtime.middleware import middleware_class
from runtime.middleware.base import Middleware, Misfit
from runtime.middleware.model_settings import OwnModelSettings

Config = dict[str, Any]

NAME = "subagents"
GENERAL_PURPOSE = "general-purpose"
_GENERAL_DESCRIPTION = "Has the same tools as you, for tasks of many steps whose details you do not need to see."
_TASK_DESCRIPTION = (
    "Has a sub-agent carry out a task, and gives what it answers in the end. A sub-agent sees nothing of this "
    "conversation: its instructions must say all that it needs to know, and what it is to answer. Call this tool "
    "several times at once for tasks that do not depend on each other."
)
_TITLE_LENGTH = 100
# A sub-agent has none itself, its session has the title of its task, and its end is not that of its assistant.
_NOT_INHERITED = {NAME, "conversation_title", "until_tool"}
# What only an inline sub-agent has: another assistant has its own.
_INLINE = ("system_prompt", "llm", "tools", "middleware", "interrupt_on", "max_steps")


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MiddlewareEntry(_Form):
    """A middleware of a sub-agent's own list."""

    name: str = Field(min_length=1)
    id: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


class Subagent(_Form):
    """One that tasks may be given to: described here, or another assistant of the workspace.

    What an inline one leaves out is its assistant's: the model, all tools, the middleware (without sub-agents), what a
    person decides about and `max_steps`. `instructions` tell the model how to write a task for it.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    description: str = Field(min_length=1, max_length=4_000)
    instructions: str | None = Field(default=None, min_length=1, max_length=20_000)
    system_prompt: str | None = Field(default=None, min_length=1, max_length=200_000)
    llm: OwnModelSettings | None = None
    tools: list[str] | None = None
    middleware: list[MiddlewareEntry] | None = None
    interrupt_on: InterruptOn | None = None
    max_steps: int | None = Field(default=None, ge=1, le=10_000)
    assistant_id: UUID | None = None
    version: int | None = Field(default=None, ge=1, le=2_147_483_647)
    tag: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_kind(self) -> "Subagent":
        given = self.model_fields_set
        if self.assistant_id is None:
            if self.system_prompt is None:
                raise ValueError("give either a system_prompt or an assistant_id")
            if given & {"version", "tag"}:
                raise ValueError("version and tag belong to an assistant_id")
        elif inline := [name for name in _INLINE if name in given]:
            raise ValueError(f"another assistant has its own {', '.join(inline)}")
        if self.version is not None and self.tag is not None:
            raise ValueError("give version or tag, not both")
        if any(entry.name == NAME for entry in self.middleware or ()):
            raise ValueError("an inline sub-agent has no sub-agents; another assistant may have some")
        return self


class SubagentsSettings(_Form):
    """Who may be given tasks. `general_purpose` adds one that is the assistant itself, without sub-agents;
    `task_description` is what the model is told of the tool, before the list of the sub-agents."""

    subagents: list[Subagent] = Field(default_factory=list, max_length=64)
    general_purpose: bool = True
    task_description: str = Field(default=_TASK_DESCRIPTION, min_length=1, max_length=20_000)

    @model_validator(mode="after")
    def _told_apart(self) -> "SubagentsSettings":
        names = [subagent.name for subagent in self.subagents]
        if len(set(names)) < len(names):
            raise ValueError("each sub-agent has a name of its own")
        if self.general_purpose and GENERAL_PURPOSE in names:
            raise ValueError(f"there is a sub-agent {GENERAL_PURPOSE!r} already; set general_purpose to false")
        if not (names or self.general_purpose):
            raise ValueError("there is no sub-agent")
        return self

    @property
    def all(self) -> dict[str, Subagent | None]:
        """The sub-agents by name; None is the general-purpose one."""
        found: dict[str, Subagent | None] = {subagent.name: subagent for subagent in self.subagents}
        return {**found, GENERAL_PURPOSE: None} if self.general_purpose else found


class TaskArgs(BaseModel):
    """A task."""

    instructions: str = Field(min_length=1, description="The task: all that the sub-agent needs to know.")
    subagent_type: str = Field(description="Which sub-agent carries it out.")


class InstructionsArgs(BaseModel):
    """A sub-agent."""

    subagent_type: str = Field(description="The sub-agent that the task is for.")


class Task(Tool):
    """Hands a task to a sub-agent."""

    name, Args = "task", TaskArgs

    def __init__(self, settings: SubagentsSettings):
        self._subagents = settings.all
        listed = (f"- {name}: {_description(subagent)}" for name, subagent in self._subagents.items())
        self._description = "\n".join([settings.task_description, "Sub-agents:", *listed])

    @property
    def description(self) -> str:  # type: ignore[override]  # it lists what one assistant has
        return self._description

    async def acall(self, args: TaskArgs, context: ToolContext) -> Json:
        subagent = _chosen(self._subagents, args.subagent_type)
        other = subagent.assistant_id if subagent else None
        child = ChildRun(
            input={"message": args.instructions},
            subagent=args.subagent_type,
            assistant_id=None if other is None else str(other),
            version=subagent.version if subagent else None,
            tag=subagent.tag if subagent else None,
            title=f"{args.subagent_type}: {args.instructions}"[:_TITLE_LENGTH],
        )
        return Delegate(child)


class TaskInstructions(Tool):
    """Tells how to write a task."""

    name, Args, read_only = "get_task_instructions", InstructionsArgs, True
    description = "Tells how a task for a sub-agent is to be written; ask before you give it its first one."

    def __init__(self, settings: SubagentsSettings):
        self._subagents = settings.all

    async def acall(self, args: InstructionsArgs, context: ToolContext) -> Json:
        subagent = _chosen(self._subagents, args.subagent_type)
        return (subagent and subagent.instructions) or "Nothing in particular: say all that it needs to know."


class Subagents(Middleware):
    """Lets the model hand tasks to sub-agents, which carry them out in runs of their own, side by side."""

    name = NAME
    Settings = SubagentsSettings

    def __init__(self, settings: SubagentsSettings, *, id: str, spec: AgentSpec):  # noqa: A002
        super().__init__(settings, id=id, spec=spec)
        self._tools: list[Tool] = [Task(settings)]
        if any(subagent.instructions for subagent in settings.subagents):
            self._tools.append(TaskInstructions(settings))

    @classmethod
    def unfit(cls, settings: SubagentsSettings, config: Mapping[str, Any]) -> Iterator[Misfit]:
        known = {use["name"] for use in config.get("tools") or ()}
        for index, subagent in enumerate(settings.subagents):
            for nth, tool in enumerate(subagent.tools or ()):
                if tool not in known:
                    yield ("subagents", index, "tools", nth), f"The assistant has no tool {tool!r}."
            for nth, entry in enumerate(subagent.middleware or ()):
                for place, why in _unfit_entry(entry, _derived(config, subagent)):
                    yield ("subagents", index, "middleware", nth, *place), why

    def tools(self) -> Sequence[Tool]:
        return self._tools


def _unfit_entry(entry: MiddlewareEntry, config: Config) -> Iterator[Misfit]:
    """What the checks of an assistant say of its middleware, of a sub-agent's."""
    try:
        middleware = middleware_class(entry.name)
        settings = middleware.Settings.model_validate(entry.settings, extra="forbid")
    except LookupError as error:
        yield ("name",), str(error.args[0])
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            yield ("settings", *fault["loc"]), fault["msg"]
    else:
        for place, why in middleware.unfit(settings, config):
            yield ("settings", *place), why


def _chosen(subagents: Mapping[str, Subagent | None], wanted: str) -> Subagent | None:
    if wanted not in subagents:
        raise ValueError(f"There is no sub-agent {wanted!r}; there are: {', '.join(subagents)}.")
    return subagents[wanted]


def _description(subagent: Subagent | None) -> str:
    return _GENERAL_DESCRIPTION if subagent is None else subagent.description


# -- what they are -----------------------------------------------------------------------------------------------------


def subagent_config(config: Config, name: str) -> Config:
    """The configuration of the sub-agent that an assistant's configuration calls `name`.

    Raises LookupError where there is none.
    """
    for settings in _settings_in(config):
        if name in (subagents := settings.all):
            return _derived(config, subagents[name] or Subagent.model_construct())
    raise LookupError(f"The assistant has no sub-agent {name!r}.")


def _settings_in(config: Config) -> Iterator[SubagentsSettings]:
    for entry in config.get("middleware") or ():
        if entry["name"] == NAME:
            yield SubagentsSettings.model_validate(entry.get("settings") or {})


def _derived(config: Mapping[str, Any], subagent: Subagent) -> Config:
    given = subagent.model_dump(mode="json", include=set(_INLINE))
    own = {name: value for name, value in given.items() if value is not None}
    if (wanted := own.pop("tools", None)) is not None:
        own["tools"] = [use for use in config.get("tools") or () if use["name"] in wanted]
    inherited = [entry for entry in config.get("middleware") or () if entry["name"] not in _NOT_INHERITED]
    # Its task is a message, and its answer is for a model: the assistant's own schemas are not about them.
    return {**config, "middleware": inherited, "input_schema": None, "output_schema": None, **own}
