"""What a conversation asks a person, as the page shows it: read from the run's row, form by form.

What has a form that the page does not know is shown as JSON, with room for a reply: nothing that is asked stays hidden.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from accounts import audit
from accounts.identity import Identity
from console import queries
from console.fields import Field, as_text, fields_of
from core.db import Row
from core.ids import parse_id
from runs.lifecycle import Status
from runtime.contract import Json
from runtime.graph_reviews import review_of


@dataclass(slots=True)
class AskedCall:
    """A tool call that is decided about. `fields` is empty where the arguments are edited as one JSON text.

    `is_inbox`: a hosted graph asks in Agent Inbox's form, where to reject is to ignore (`runtime.graph_reviews`).
    """

    id: str
    tool: str
    about: str
    arguments: dict[str, Json]
    decisions: list[str]
    fields: list[Field]
    is_inbox: bool = False

    @property
    def shown(self) -> list[tuple[str, str]]:
        """The arguments as text: strings as they are, anything else as JSON."""
        return [(name, as_text(value)) for name, value in self.arguments.items()]

    @property
    def json(self) -> str:
        return json.dumps(self.arguments, ensure_ascii=False, indent=2)


@dataclass(slots=True)
class Question:
    """One form; `key` tells its controls apart from those of others on the page."""

    kind: str
    key: str
    document: dict[str, Json]
    calls: list[AskedCall] = field(default_factory=list)
    parts: list["Question"] = field(default_factory=list)
    run: Row | None = None

    @property
    def value(self) -> str:
        """What has no form of its own, as text."""
        return as_text(self.document["value"] if self.kind == "custom" else self.document)

    @property
    def whole(self) -> str:
        """What the one button at the end sends: a `call` that is decided about, `calls`, an `answer` or `answers`."""
        match self.kind:
            case "approval":
                return "call" if len(self.calls) == 1 else "calls"
            case "subagent":
                return self.parts[0].whole
        return "answers" if self.kind == "multiple" else "answer"

    @property
    def title(self) -> str:
        match self.kind, self.calls, self.parts:
            case "approval", [AskedCall(is_inbox=True), *others], _:
                return f"{len(others) + 1} requests for you" if others else "A request for you"
            case "approval", [call], _:
                return f"Allow the call of {call.tool}?"
            case "approval", calls, _:
                return f"Allow these {len(calls)} tool calls?"
            case "multiple", _, parts:
                return f"{len(parts)} questions for you"
            case "ask_user_question", _, _:
                return "A question for you"
            case "subagent", _, [inner]:
                return inner.title
        return "The assistant waits for an answer"


@dataclass(slots=True)
class Card:
    """What a run asks. `mark` is another one whenever it asks something else."""

    run_id: UUID
    checkpoint_id: UUID | None
    since: datetime
    until: datetime | None
    mark: str
    question: Question


@dataclass(slots=True)
class Settled:
    """Why nothing is asked any more: who answered (None: nobody whom the reader may know), or how the run ended."""

    run_id: UUID
    status: str
    by: str | None = None
    at: datetime | None = None


def read_card(identity: Identity, session: Row) -> Card | None:
    """What the conversation's run asks now; None while it asks nothing."""
    if session["head_run_id"] is None or (row := queries.asked(session["head_run_id"]).run()) is None:
        return None
    named = list(_runs_in(row["interrupt"]))
    runs = {str(run["id"]): run for run in queries.runs_by_id(identity, named).run()} if named else {}
    return Card(
        run_id=row["id"],
        checkpoint_id=row["checkpoint_id"],
        since=row["interrupted_at"],
        until=row["interrupt_expires_at"],
        mark=f"{row['id']}-{row['last_seq']}",
        question=question_of(row["interrupt"], runs),
    )


def settled(identity: Identity, session: Row, run_id: UUID) -> Settled:
    """What became of what this run asked. Raises NotFound."""
    status = queries.status_of_run(session["id"], run_id).run()
    answers = audit.entries_of(identity, "run", run_id).filter(action="resumed")
    answer = answers.order_by("-created_at", "-id").first()
    if answer is None or status == Status.CANCELLED:
        return Settled(run_id, status)
    by = "You" if answer.actor_id == identity.actor_id else answer.actor.partition(":")[2] or answer.actor
    return Settled(run_id, status, by, answer.created_at)


def question_of(document: dict[str, Json], runs: dict[str, Row], key: str = "asked") -> Question:
    """The form of an interrupt (`runtime.interrupts`). `runs` are those that it names, as far as they are there."""
    question = Question(str(document.get("type")), key, document)
    match question.kind:
        case "approval":
            question.calls = _calls(document)
        case "custom" if review := review_of(document["value"]):
            question.kind = "approval"
            question.calls = _calls(review.approval.model_dump(mode="json"), is_inbox=review.is_inbox)
        case "multiple":
            inner = enumerate(document["interrupts"])
            question.parts = [question_of(part, runs, f"{key}-{index}") for index, part in inner]
        case "subagent":
            question.run = runs.get(document["run_id"])
            question.parts = [question_of(document["interrupt"], runs, f"{key}-0")]
    return question


def _calls(approval: dict[str, Json], *, is_inbox: bool = False) -> list[AskedCall]:
    return [_call(request, approval["review_configs"], is_inbox) for request in approval["action_requests"]]


def _call(request: dict[str, Json], reviews: dict[str, Json], is_inbox: bool) -> AskedCall:
    tool, arguments = request["tool_name"], request["arguments"]
    review, about = reviews[tool], request["display_text"]
    return AskedCall(
        id=request["tool_call_id"],
        tool=tool,
        # A text that only repeats the call says nothing that does not stand below it.
        about="" if about.startswith(f"{tool}(") else about,
        arguments=arguments,
        decisions=review["allowed_decisions"],
        fields=fields_of(arguments, review.get("args_schema")),
        is_inbox=is_inbox,
    )


def _runs_in(document: dict[str, Json]) -> Iterator[UUID]:
    """The runs that ask through the one that is waited for."""
    if document["type"] == "subagent":
        if run_id := parse_id(document["run_id"]):
            yield run_id
        yield from _runs_in(document["interrupt"])
    for part in document.get("interrupts") or ():
        yield from _runs_in(part)
