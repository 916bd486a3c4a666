"""The commands of protocol v2: to start a run, to answer what one asks, to look at its subgraphs.

They come to `POST /threads/{id}/commands`, and over the websocket of the thread's events. A command that cannot be
carried out is an answer too: `{"type": "error", "id", "error", "message"}`, with status 200.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from accounts.identity import Identity
from accounts.scoping import parameters_of, visible
from core.db import Operation, Query, Row, operation
from core.errors import AppError, BadRequest
from core.hot import HotRequest, HotResponse, Router
from core.redaction import everywhere
from core.validation import Body, Id, validate
from protocols.langgraph.access import Filters, allow, holds
from protocols.langgraph.interrupts import interrupts_of
from protocols.langgraph.reading import thread_of
from protocols.langgraph.v2.filters import Namespace
from protocols.langgraph.v2.numbering import through
from protocols.langgraph.v2.reading import tree_of
from protocols.langgraph.v2.starting import start_run
from runs.queries import latest_positions

router = Router()

Answer = dict[str, Any]

_CODES = {400: "invalid_argument", 403: "permission_denied", 422: "invalid_argument"}


class CommandError(Exception):
    """A command that is not carried out. `code` is one of the protocol's."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


# -- what they hold ----------------------------------------------------------------------------------------------------

Strategy = Literal["reject", "interrupt", "rollback", "enqueue"]


class RunStart(Body):
    """`run.start`. Who went by the older protocol spells the strategy `multitaskStrategy`; new clients send both."""

    assistant_id: str
    input: Any = None
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    langsmith_tracer: dict[str, Any] | None = None
    multitask_strategy: Strategy | None = None
    multitaskStrategy: Strategy | None = None  # noqa: N815 - as it comes


class Response(Body):
    """What a person answers to one interrupt."""

    interrupt_id: Annotated[str, Field(min_length=1)]
    response: Any = None
    namespace: Namespace = []


class InputRespond(Body):
    """`input.respond`: to one interrupt, or in `responses` to several.

    `strict_resume` refuses answers to what is not asked any more: those are refused anyway.
    """

    interrupt_id: str | None = None
    response: Any = None
    namespace: Namespace = []
    responses: list[Response] | None = None
    update: dict[str, Any] | None = None
    goto: Any = None
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    strict_resume: bool = False

    def by_id(self) -> dict[str, Any]:
        """The answers, by the interrupts that they are for."""
        if self.responses is not None:
            return {each.interrupt_id: each.response for each in self.responses}
        return {self.interrupt_id: self.response} if self.interrupt_id else {}


class GetTree(Body):
    """`agent.getTree`, of the thread's latest run where none is named."""

    run_id: Id | None = None


# -- how they are carried out ------------------------------------------------------------------------------------------


@router.route("POST", "/threads/{thread_id}/commands", scope="runs:write")
async def post_command(request: HotRequest) -> HotResponse:
    request.only_query()
    try:
        command = request.json()
    except BadRequest:
        raise BadRequest("Invalid JSON body") from None
    if (refusal := malformed(command)) is not None:
        return HotResponse(refusal, 400)
    return HotResponse(await carried_out(request, command))


def malformed(command: Any) -> Answer | None:
    """The answer to what is no command at all; None for one."""
    given = command.get("id") if isinstance(command, dict) else None
    sound = isinstance(given, int) and not isinstance(given, bool) and isinstance(command.get("method"), str)
    if sound:
        return None
    text = "Protocol commands must include an integer id and string method."
    return refused(given, "invalid_argument", text)


def refused(command_id: Any, code: str, message: str) -> Answer:
    """A command's answer where it is not carried out."""
    return {"type": "error", "id": command_id, "error": code, "message": everywhere.text(message)}


async def carried_out(request: HotRequest, command: dict[str, Any]) -> Answer:
    """The answer to a command to the thread in the request's path.

    Raises what the caller may try again: RateLimited, QuotaExceeded, Unavailable.
    """
    try:
        result, applied = await _carry_out(request, command["method"], command.get("params") or {})
    except CommandError as error:
        return refused(command["id"], error.code, str(error))
    except AppError as error:
        if error.status in {401, 429} or error.status >= 500:
            raise
        places = [f"{'.'.join(map(str, fault.loc))}: {fault.message}" for fault in error.errors if fault.loc]
        return refused(command["id"], _CODES.get(error.status, "unknown_error"), "\n".join(places) or error.detail)
    return {"type": "success", "id": command["id"], "result": result, "meta": {"applied_through_seq": applied}}


async def _carry_out(request: HotRequest, method: str, params: Any) -> tuple[Any, int]:
    """The command's result, and the `seq` that the thread's events had come to before."""
    thread_id = thread_of(request)
    match method:
        case "run.start":
            if not isinstance(params, dict) or not isinstance(params.get("assistant_id"), str):
                raise CommandError("invalid_argument", "run.start requires an assistant_id.")
            return await _start(request, thread_id, validate(RunStart, params))
        case "input.respond":
            return await _respond(request, thread_id, validate(InputRespond, params))
        case "agent.getTree":
            return await _tree(request, thread_id, validate(GetTree, params))
        case "subscription.subscribe" | "subscription.reconnect":
            raise CommandError("not_supported", "Subscriptions are of a websocket; here POST to stream/events.")
        case "subscription.unsubscribe":
            subscription = params.get("subscription_id") if isinstance(params, dict) else None
            raise CommandError("no_such_subscription", f"Unknown subscription: {subscription}")
    raise CommandError("unknown_command", f"Unknown protocol command: {method}")


async def _start(request: HotRequest, thread_id: UUID, body: RunStart) -> tuple[Any, int]:
    # Before the run: a client that reads on from here hears all of it.
    applied = await _applied(thread_id)
    run = {
        "assistant_id": body.assistant_id,
        "input": body.input,
        **_placed(body.config, thread_id),
        "metadata": body.metadata,
        "langsmith_tracer": body.langsmith_tracer,
        "multitask_strategy": body.multitask_strategy or body.multitaskStrategy,
        "if_not_exists": "create",
    }
    row = await start_run(request, thread_id, run)
    return {"run_id": str(row["id"])}, applied


def _placed(config: dict[str, Any] | None, thread_id: UUID) -> dict[str, Any]:
    """The config as runs take it, and where the run begins.

    JavaScript's clients name the thread among `configurable`, and there alone the checkpoint to fork from.
    """
    configurable = dict((config or {}).get("configurable") or {})
    named = configurable.pop("thread_id", None)
    if named is not None and str(named) != str(thread_id):
        raise CommandError("invalid_argument", "config.configurable.thread_id is another thread.")
    begin = {"checkpoint_id": configurable.pop("checkpoint_id", None)}
    if not config:
        return begin
    rest = {name: value for name, value in config.items() if name != "configurable"}
    return {**begin, "config": {**rest, **({"configurable": configurable} if configurable else {})}}


async def _respond(request: HotRequest, thread_id: UUID, body: InputRespond) -> tuple[Any, int]:
    answers = body.by_id()
    if not answers:
        raise CommandError("invalid_argument", "input.respond requires an interrupt_id.")
    filters = await allow(request, "threads", "read", {"thread_id": thread_id})
    waiting = await _waiting(request.identity, thread_id, filters).arun()
    asked = [] if waiting is None else interrupts_of(waiting["id"], waiting["interrupt"], waiting["checkpoint_id"])
    known = {str(each["id"]) for each in asked}
    if unknown := [each for each in answers if each not in known]:
        raise CommandError("no_such_interrupt", f"Unknown or already-consumed interrupt: {', '.join(unknown)}")
    assert waiting is not None
    applied = await _applied(thread_id)
    command = {"resume": answers, "update": body.update, "goto": body.goto}
    run = {
        "assistant_id": str(waiting["assistant_id"]),
        "command": {name: value for name, value in command.items() if value is not None},
        **_placed(body.config, thread_id),
        "metadata": body.metadata,
    }
    row = await start_run(request, thread_id, run)
    return {"run_id": str(row["id"])}, applied


async def _tree(request: HotRequest, thread_id: UUID, body: GetTree) -> tuple[Any, int]:
    filters = await allow(request, "threads", "read", {"thread_id": thread_id})
    run_id = await _run_of(request.identity, thread_id, filters, body.run_id).arun()
    if run_id is None:
        raise CommandError("no_such_run", "No active run is bound to this thread.")
    return {"tree": await tree_of(run_id)}, await _applied(thread_id)


async def _applied(thread_id: UUID) -> int:
    position = (await latest_positions([str(thread_id)]).arun()).get(str(thread_id))
    return 0 if position is None else through(position)


@operation()
def _waiting(identity: Identity, thread_id: UUID, filters: Filters) -> Operation[Row | None]:
    """The run of the thread that asks, None where none does or the caller may not see it."""
    condition, parameters = holds("s.metadata", filters)
    rows = yield Query(
        f"""
        SELECT r.id, r.interrupt, r.checkpoint_id, r.assistant_id FROM sessions s JOIN runs r ON r.id = s.head_run_id
        WHERE s.id = %(thread)s AND r.status = 'interrupted' AND {visible("s")} AND {condition}
        """,  # noqa: S608 - constants
        {"thread": thread_id, **parameters_of(identity), **parameters},
    )
    return rows[0] if rows else None


@operation()
def _run_of(identity: Identity, thread_id: UUID, filters: Filters, run_id: UUID | None) -> Operation[UUID | None]:
    """This run of the thread, or its latest that has begun; None where the caller may see no such run."""
    condition, parameters = holds("s.metadata", filters)
    rows = yield Query(
        f"""
        SELECT r.id FROM sessions s JOIN runs r ON r.session_id = s.id
        WHERE s.id = %(thread)s AND r.number IS NOT NULL AND {visible("s")} AND {condition}
            AND (%(run)s::uuid IS NULL OR r.id = %(run)s)
        ORDER BY r.number DESC LIMIT 1
        """,  # noqa: S608 - constants
        {"thread": thread_id, "run": run_id, **parameters_of(identity), **parameters},
    )
    return rows[0]["id"] if rows else None
