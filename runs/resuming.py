"""Resuming a run that waits for a person: the answer is checked against what was asked, and the run goes on.

Of two racing callers one finds it interrupted. It was accepted before, so that neither limits nor the assistant's
status concern it.

What a run asks because its children ask is their answer: they go on with it, and the run waits for them again. A child
may be answered itself, too; whoever asked for it waits again.
"""

from typing import Any
from uuid import UUID

from accounts import audit
from accounts.identity import Identity
from accounts.scoping import in_workspace, of_bound_user, parameters_of
from core.db import Operation, Query, Row, jsonb, operation
from core.errors import FieldError, Invalid, NotFound, NotInterrupted
from core.schemas import BadSchemaError, check_schema, faults
from runs.bodies import Answer, Decision, ResumeRun
from runs.family import wait_again
from runs.lifecycle import Status
from runtime.graph_reviews import Review, review_of
from runtime.interrupts import Approval, Custom, Multiple, Question, ReviewConfig, Subagent, read_interrupt

Interrupt = Approval | Question | Subagent | Multiple | Custom
# As many of the decisions that were taken at once stand in the audit trail.
AUDITED_DECISIONS = 100

# All that takes part, in the one order: the run, those below it that ask, and those above it that ask what it asks.
_LOCK = f"""
WITH RECURSIVE below AS (
    SELECT r.id, r.session_id FROM runs r JOIN sessions s ON s.id = r.session_id
    WHERE r.id = %(run)s AND {in_workspace("r")} AND {of_bound_user("s")}
    UNION ALL
    SELECT c.id, c.session_id FROM below JOIN runs c ON c.parent_run_id = below.id AND c.status = 'interrupted'
), above AS (
    SELECT p.id, p.session_id, p.parent_run_id FROM below JOIN runs r ON r.id = below.id AND r.id = %(run)s
    JOIN runs p ON p.id = r.parent_run_id
    UNION ALL
    SELECT p.id, p.session_id, p.parent_run_id FROM above JOIN runs p ON p.id = above.parent_run_id
)
SELECT s.id FROM sessions s
WHERE s.id IN (SELECT session_id FROM below UNION ALL SELECT session_id FROM above) ORDER BY s.id FOR UPDATE
"""  # noqa: S608

_INTERRUPT = "SELECT parent_run_id, status, waiting, interrupt, checkpoint_id FROM runs WHERE id = %(run)s"

# What it waited does not count against its `timeout_s`. The event follows the interrupt, which is history from then on.
_RESUME = """
WITH resumed AS (
    UPDATE runs SET status = 'pending', ready = true, interrupt = NULL, queued_at = clock_timestamp(),
        waited_s = waited_s + extract(epoch FROM clock_timestamp() - coalesce(interrupted_at, clock_timestamp())),
        interrupted_at = NULL, interrupt_expires_at = NULL, last_seq = last_seq + 1
    WHERE id = %(run)s AND status = %(interrupted)s
        AND (interrupt_expires_at IS NULL OR interrupt_expires_at > clock_timestamp())
    RETURNING id, session_id, last_seq, attempt, queued_at
), answered AS (
    UPDATE run_payloads p SET resume = %(resume)s FROM resumed WHERE p.run_id = resumed.id
), told AS (
    INSERT INTO run_events (run_id, seq, event, data, ts)
    SELECT id, last_seq, 'status', jsonb_build_object('status', 'pending', 'attempt', attempt, 'next_attempt_at', NULL),
        queued_at FROM resumed
), moved AS (
    UPDATE sessions s SET activity = 'running', last_activity_at = clock_timestamp(),
        expires_at = CASE WHEN s.ttl_seconds IS NULL THEN s.expires_at
            ELSE clock_timestamp() + make_interval(secs => s.ttl_seconds) END
    FROM resumed WHERE s.id = resumed.session_id
)
SELECT id, session_id FROM resumed
"""


@operation(atomic=True)
def resume_run(identity: Identity, run_id: UUID, body: ResumeRun) -> Operation[list[Row]]:
    """Let an interrupted run go on with a person's answer; gives the rows (`id`, `session_id`) of all that go on.

    Raises NotFound, NotInterrupted, Invalid (an answer to something else than was asked).
    """
    if not (yield Query(_LOCK, {"run": run_id, **parameters_of(identity)})):
        raise NotFound("There is no such run.")
    (run,) = yield Query(_INTERRUPT, {"run": run_id})
    if run["status"] != Status.INTERRUPTED:
        raise NotInterrupted
    if body.checkpoint_id not in {None, run["checkpoint_id"]}:
        raise NotInterrupted("The run has been answered since, and asks something else now.")
    asked = read_interrupt(run["interrupt"])
    answer = _answer_to(asked, body)
    resumed = yield from _resume(run_id, run, asked, answer)
    resumed += yield from _parents_wait(run["parent_run_id"])
    yield audit.entry(identity, "resumed", "run", run_id, **_told(asked, answer))
    return resumed


def _resume(run_id: UUID, run: Row, asked: Interrupt, answer: dict[str, Any]) -> Operation[list[Row]]:
    """Hand the answer to the run, or to its children where it asks what they do."""
    if not run["waiting"]:
        parameters = {"run": run_id, "resume": jsonb(answer), "interrupted": str(Status.INTERRUPTED)}
        resumed: list[Row] = yield Query(_RESUME, parameters)
        if not resumed:
            raise NotInterrupted("Nobody answered in time: the run is being cancelled.")
        return resumed
    resumed = []
    for child_id, theirs in _answers_of_children(asked, answer):
        for child in (yield Query(_INTERRUPT, {"run": child_id})):
            # One that ended meanwhile needs no answer: its parent finds that out by itself.
            if child["status"] == Status.INTERRUPTED:
                resumed += yield from _resume(child_id, child, read_interrupt(child["interrupt"]), theirs)
    settled = yield from wait_again([run_id])
    return [*settled.told, *resumed]


def _answers_of_children(asked: Interrupt, answer: dict[str, Any]) -> list[tuple[UUID, dict[str, Any]]]:
    match asked:
        case Subagent():
            return [(UUID(asked.run_id), answer)]
        case Multiple():
            pairs = zip(asked.interrupts, answer["responses"], strict=True)
            return [
                (UUID(one.run_id), {name: value for name, value in theirs.items() if name != "tool_call_id"})
                for one, theirs in pairs
                if isinstance(one, Subagent)
            ]
    return []


def _parents_wait(parent_id: UUID | None) -> Operation[list[Row]]:
    """Whoever asked because this run did waits for it again."""
    waiting: list[Row] = []
    while parent_id is not None:
        (parent,) = yield Query(_INTERRUPT, {"run": parent_id})
        if parent["status"] != Status.INTERRUPTED or not parent["waiting"]:
            break
        waiting += (yield from wait_again([parent_id])).told
        parent_id = parent["parent_run_id"]
    return waiting


def _told(asked: Interrupt, answer: dict[str, Any]) -> dict[str, Any]:
    """What the audit trail keeps: what was decided about which tools, and nothing of what was said."""
    match asked:
        case Approval():
            pairs = zip(asked.action_requests, answer["decisions"], strict=True)
            decisions = [{"type": decided["type"], "tool": request.tool_name} for request, decided in pairs]
            return {"decisions": decisions[:AUDITED_DECISIONS], "count": len(decisions)}
        case Question():
            return {"answer": answer["type"]}
        case Subagent():
            return _told(asked.interrupt, answer)
        case Multiple():
            each = [_told(*pair) for pair in zip(asked.interrupts, answer["responses"], strict=True)]
            return {"responses": each[:AUDITED_DECISIONS], "count": len(each)}
        case Custom():
            review = review_of(asked.value) if "decisions" in answer else None
            return _told(review.approval, answer) if review else {"answer": "custom"}


# -- answers -----------------------------------------------------------------------------------------------------------


class _Wrong(Exception):
    """The answer is not one to what was asked; `faults` say where in it and why."""

    def __init__(self, *faults: FieldError):
        super().__init__()
        self.faults = faults

    @classmethod
    def at(cls, *loc: str | int, message: str) -> "_Wrong":
        return cls(FieldError(loc, message))


def _answer_to(asked: Interrupt, body: Answer) -> dict[str, Any]:
    """The body as the agent gets it (`runtime.interrupts`). Raises Invalid with places in the body."""
    try:
        return _read(asked, body)
    except _Wrong as wrong:
        raise Invalid(wrong.faults[0].message, errors=wrong.faults) from None


def _read(asked: Interrupt, given: Answer) -> dict[str, Any]:
    match asked:
        case Approval():
            return {"decisions": _decisions(asked, given.decisions)}
        case Question():
            return _selection(asked, given)
        case Subagent():
            return _read(asked.interrupt, given)
        case Multiple():
            return {"responses": _responses(asked, given)}
        case Custom():
            if given.decisions is not None and (review := review_of(asked.value)):
                return _reviewed(review, given.decisions)
            if "value" not in given.model_fields_set:
                raise _Wrong.at("value", message="A value is asked for.")
            return {"value": given.value}


def _decisions(asked: Approval, given: list[Decision] | None) -> list[dict[str, Any]]:
    requested = asked.action_requests
    if given is None or len(given) != len(requested):
        how_many = "1 decision is" if len(requested) == 1 else f"{len(requested)} decisions are"
        raise _Wrong.at("decisions", message=f"{how_many} asked for, {len(given or ())} given.")
    by_id = [decision.tool_call_id for decision in given if decision.tool_call_id is not None]
    places = {tool_call_id: index for index, tool_call_id in enumerate(by_id)}
    if by_id and places.keys() != {request.tool_call_id for request in requested}:
        raise _Wrong.at(
            "decisions", message="Give each decision the tool_call_id of another request, or none of them any."
        )
    out: list[dict[str, Any]] = []
    found: list[FieldError] = []
    for nth, request in enumerate(requested):
        index = places[request.tool_call_id] if by_id else nth
        for fault in _faults_of(given[index], request.tool_name, asked.review_configs[request.tool_name]):
            found.append(FieldError(("decisions", index, *fault.loc), fault.message))
        decision = given[index].model_dump(mode="json", exclude_none=True)
        out.append({**decision, "tool_call_id": request.tool_call_id})
    if found:
        raise _Wrong(*found)
    return out


def _reviewed(review: Review, given: list[Decision]) -> dict[str, Any]:
    """Decisions about a hosted graph's tool calls, as the value that it waits for; they stay with it as they were."""
    decisions = _decisions(review.approval, given)
    for index, decision in enumerate(given):
        if review.is_inbox and decision.type == "reject" and decision.message is not None:
            raise _Wrong.at("decisions", index, "message", message="The graph takes no reason where it is rejected.")
    return {"value": review.answer(decisions), "decisions": decisions}


def _faults_of(decision: Decision, tool: str, review: ReviewConfig) -> list[FieldError]:
    """What is wrong with a decision. A schema that this server does not evaluate says nothing about arguments."""
    if decision.type not in review.allowed_decisions:
        return [FieldError(("type",), f"{tool} allows: {', '.join(review.allowed_decisions)}.")]
    if decision.arguments is None or review.args_schema is None:
        return []
    try:
        check_schema(review.args_schema)
    except BadSchemaError:
        return []
    found = faults(review.args_schema, decision.arguments)
    return [FieldError(("arguments", *fault.loc), fault.message) for fault in found]


def _selection(asked: Question, given: Answer) -> dict[str, Any]:
    if given.type == "cancel":
        if not asked.allow_cancel:
            raise _Wrong.at("type", message="The question must be answered.")
        return {"type": "cancel"}
    if given.type != "answer":
        raise _Wrong.at("type", message="An answer to the question is asked for.")
    options = {option.value for option in asked.options}
    for index, value in enumerate(given.selected):
        if value not in options or value in given.selected[:index]:
            raise _Wrong.at("selected", index, message="Not one of the options, or given twice.")
    freeform = asked.response_type == "freeform"
    if given.other_text is not None and not (freeform or asked.allow_other):
        raise _Wrong.at("other_text", message="Only the options may be chosen.")
    if asked.response_type == "single_select" and len(given.selected) > 1:
        raise _Wrong.at("selected", message="Choose one.")
    if not given.selected and not (given.other_text or "").strip():
        raise _Wrong.at("other_text" if freeform else "selected", message="Nothing was answered.")
    return {"type": "answer", "selected": given.selected, "other_text": given.other_text}


def _responses(asked: Multiple, given: Answer) -> list[dict[str, Any]]:
    responses = given.responses or []
    ids = [response.tool_call_id for response in responses]
    if len(set(ids)) < len(ids) or set(ids) != {interrupt.tool_call_id for interrupt in asked.interrupts}:
        raise _Wrong.at("responses", message="Give one response to each interrupt, by its tool_call_id.")
    out: list[dict[str, Any]] = []
    found: list[FieldError] = []
    for interrupt in asked.interrupts:
        index = ids.index(interrupt.tool_call_id or "")
        try:
            out.append({**_read(interrupt, responses[index]), "tool_call_id": interrupt.tool_call_id})
        except _Wrong as wrong:
            found += [FieldError(("responses", index, *fault.loc), fault.message) for fault in wrong.faults]
    if found:
        raise _Wrong(*found)
    return out
