"""Tool calls about which a hosted graph asks a person: LangChain's forms, read as an approval of our own.

| what `interrupt()` was given | is answered with |
|---|---|
| `HITLRequest` (`langchain.agents.middleware.human_in_the_loop`): calls | `{"decisions": [...]}` |
| `ToolApprovalRequest` of the same, with `interrupt_mode="per_call"`: one call | one decision |
| `HumanInterrupt` (`langgraph.prebuilt.interrupt`), one or a list: Agent Inbox's form | a list of `{"type", "args"}` |

What has not exactly such a form is none of them: nothing that is asked may stay hidden behind a card.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from runtime.contract import Json
from runtime.interrupts import ActionRequest, Approval, Decision, ReviewConfig

# What the middleware says of a call where its author says nothing.
_USUAL_PREFIX = "Tool execution requires approval"
_INBOX: dict[str, Decision] = {
    "allow_accept": "approve",
    "allow_edit": "edit",
    "allow_ignore": "reject",
    "allow_respond": "respond",
}

_Call = tuple[ActionRequest, ReviewConfig]
_Decided = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Review:
    """What a graph asks, as an `approval`. `answer` makes what the graph wants of the decisions: as many as there are
    requests, in their order, each of them allowed.

    `is_inbox`: it speaks Agent Inbox's form. There a `reject` is to ignore the request, which takes no message, and
    what a person responds is said to the agent and is no tool's result.
    """

    approval: Approval
    is_inbox: bool
    answer: Callable[[Iterable[_Decided]], Json]


def review_of(value: Json) -> Review | None:
    """What the `value` of a `custom` interrupt asks (`graphs.asking.asked_by` makes a graph's), where all of it is
    about tool calls in forms of one kind; None where it is anything else."""
    try:
        asked = _Asked.model_validate(value)
        approval = asked.approval()
    except (ValidationError, LookupError):
        return None
    kinds = {interrupt.is_inbox for interrupt in asked.interrupts}
    return Review(approval, kinds.pop(), asked.answer) if approval and len(kinds) == 1 else None


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Action(_Form):
    name: str = Field(min_length=1)
    args: dict[str, Json] | None = None
    arguments: dict[str, Json] | None = None
    description: str | None = None

    @model_validator(mode="after")
    def _arguments_by_one_name(self) -> "_Action":
        if (self.args is None) == (self.arguments is None):
            raise ValueError("either args or arguments")
        return self

    def request(self, call_id: str) -> ActionRequest:
        return _request(call_id, self.name, self.args or self.arguments or {}, self.description)

    def decision(self, decided: _Decided) -> Json:
        return _decision(decided, self.name, "args" if self.arguments is None else "arguments")


class _ReviewConfig(_Form):
    action_name: str
    allowed_decisions: list[Decision] = Field(min_length=1)
    args_schema: dict[str, Json] | None = None


class _Batched(_Form):
    """`HITLRequest`."""

    action_requests: list[_Action] = Field(min_length=1)
    review_configs: list[_ReviewConfig]

    def calls(self, mark: str, schema: Json) -> Iterator[_Call]:
        """Each call, and what may be decided about it. `mark` begins the ids that the form itself does not give;
        `schema` is the interrupt's `response_schema`. Raises LookupError, ValidationError."""
        configs = {config.action_name: config for config in self.review_configs}
        for nth, action in enumerate(self.action_requests):
            config = configs[action.name]
            review = ReviewConfig(allowed_decisions=config.allowed_decisions, args_schema=config.args_schema)
            yield action.request(f"{mark}.{nth}"), review

    def answer(self, decided: Iterator[_Decided]) -> Json:
        """Takes from `decided` what is about its own calls."""
        return {"decisions": [action.decision(next(decided)) for action in self.action_requests]}


class _Single(_Form):
    """`ToolApprovalRequest`: what may be decided stands in the response schema."""

    type: Literal["tool_approval"]
    tool_call_id: str
    name: str = Field(min_length=1)
    args: dict[str, Json]
    description: str

    def calls(self, mark: str, schema: Json) -> Iterator[_Call]:
        ways = {str(_part(way, "properties", "type", "const")): way for way in _ways(schema)}
        action = _found(schema, _part(ways.get("edit"), "properties", "edited_action"))
        arguments = _found(schema, _part(action, "properties", "args"))
        if arguments is not None:
            arguments = {**arguments, "$defs": _part(schema, "$defs") or {}}
        review = ReviewConfig.model_validate({"allowed_decisions": list(ways), "args_schema": arguments})
        yield _request(self.tool_call_id, self.name, self.args, self.description), review

    def answer(self, decided: Iterator[_Decided]) -> Json:
        return _decision(next(decided), self.name, "args")


class _InboxAction(_Form):
    action: str = Field(min_length=1)
    args: dict[str, Json]


class _InboxConfig(_Form):
    allow_accept: bool = False
    allow_edit: bool = False
    allow_ignore: bool = False
    allow_respond: bool = False


class _Inbox(_Form):
    """`HumanInterrupt`."""

    action_request: _InboxAction
    config: _InboxConfig
    description: str | None = None

    def calls(self, mark: str, schema: Json) -> Iterator[_Call]:
        allowed = [decision for name, decision in _INBOX.items() if getattr(self.config, name)]
        asked = self.action_request
        yield _request(mark, asked.action, asked.args, self.description), ReviewConfig(allowed_decisions=allowed)

    def answer(self, decided: Iterator[_Decided]) -> Json:
        one = next(decided)
        match one["type"]:
            case "approve":
                return {"type": "accept", "args": None}
            case "edit":
                edited = {"action": self.action_request.action, "args": one["arguments"]}
                return {"type": "edit", "args": edited}
            case "respond":
                return {"type": "response", "args": one["message"]}
        return {"type": "ignore", "args": None}


class _Interrupt(BaseModel):
    """One interrupt of a graph."""

    id: str
    value: _Batched | _Single | _Inbox | Annotated[list[_Inbox], Field(min_length=1)]
    response_schema: Json = None

    @property
    def is_inbox(self) -> bool:
        return isinstance(self.value, _Inbox | list)

    def calls(self, mark: str) -> Iterator[_Call]:
        forms = self.value if isinstance(self.value, list) else [self.value]
        for nth, form in enumerate(forms):
            yield from form.calls(f"{mark}.{nth}", self.response_schema)

    def answer(self, decided: Iterator[_Decided]) -> Json:
        if isinstance(self.value, _Batched | _Single):
            return self.value.answer(decided)
        # Agent Inbox answers a request with a list, also where it was asked by itself.
        return [form.answer(decided) for form in (self.value if isinstance(self.value, list) else [self.value])]


class _Asked(BaseModel):
    """What `graphs.asking.asked_by` gives."""

    interrupts: list[_Interrupt] = Field(min_length=1)

    def approval(self) -> Approval | None:
        """None where calls of the same tool are decided about in different ways: an approval cannot say that."""
        requests: list[ActionRequest] = []
        reviews: dict[str, ReviewConfig] = {}
        for nth, interrupt in enumerate(self.interrupts):
            for request, review in interrupt.calls(str(nth)):
                requests.append(request)
                if reviews.setdefault(request.tool_name, review) != review:
                    return None
        return Approval(type="approval", action_requests=requests, review_configs=reviews)

    def answer(self, decisions: Iterable[_Decided]) -> Json:
        decided = iter(decisions)
        answers = {interrupt.id: interrupt.answer(decided) for interrupt in self.interrupts}
        # Only several need to be told apart.
        return answers if len(self.interrupts) > 1 else answers[self.interrupts[0].id]


def _decision(decided: _Decided, tool: str, arguments: str) -> Json:
    """A decision as the middleware takes it, which has the arguments of a call under this name."""
    made = {"type": decided["type"]}
    if decided["type"] == "edit":
        made["edited_action"] = {"name": tool, arguments: decided["arguments"]}
    elif decided.get("message") is not None:
        made["message"] = decided["message"]
    return made


def _request(call_id: str, tool: str, arguments: dict[str, Json], description: str | None) -> ActionRequest:
    # What the middleware writes after the prefix only repeats the call.
    text = (description or "").removesuffix(f"\n\nTool: {tool}\nArgs: {arguments}")
    shown = "" if text == _USUAL_PREFIX else text
    return ActionRequest(tool_call_id=call_id, tool_name=tool, arguments=arguments, display_text=shown)


# -- a response schema, as pydantic writes that of the middleware ------------------------------------------------------


def _ways(schema: Json) -> list[Json]:
    """The documents that it allows: one, or one of several."""
    ways = _part(schema, "oneOf")
    return [_found(schema, way) for way in ways] if isinstance(ways, list) else [schema]


def _found(schema: Json, part: Json) -> Json:
    """A part of the schema, or what it refers to; None where that is not there."""
    reference = _part(part, "$ref")
    found = _part(schema, "$defs", reference.removeprefix("#/$defs/")) if isinstance(reference, str) else part
    return found if isinstance(found, dict) else None


def _part(document: Json, *names: str) -> Json:
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document
