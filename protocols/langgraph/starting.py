"""Starting runs for LangGraph's clients: what they send, as a run of ours with what else they ask for beside it.

A hosted graph gets its input as it is. A native assistant gets what people say, and is refused what it would not carry
out; `command.resume` lets the run that asks go on itself.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from assistants.spec import run_defaults
from core.db import Operation, Row, operation
from core.errors import BadRequest, Conflict, NotFound, SessionBusy
from core.hot import HotRequest
from core.ids import new_id
from core.validation import validate
from protocols.langgraph.access import allow
from protocols.langgraph.answering import native_answer
from protocols.langgraph.auth import for_graphs
from protocols.langgraph.deployment import thread_ttl
from protocols.langgraph.natively import native_input, refuse_what_natives_lack
from protocols.langgraph.resolving import UNKNOWN, require_allowed, resolve_assistant
from protocols.langgraph.run_bodies import Config, StatelessRun
from protocols.langgraph.run_rows import asking_run, get_run, may_use
from runs.accepting import Besides, NewSession, accept, create_run
from runs.announce import tell_accepted, tell_resumed
from runs.bodies import CreateRun
from runs.resuming import resume_run
from runs.webhook import RunWebhook

BUSY = "Thread is already running a task. Wait for it to finish or choose a different multitask strategy."
BOTH = (
    "Cannot specify both configurable and context. Prefer setting context alone. Context was introduced in LangGraph "
    "0.6.0 and is the long term planned replacement for configurable."
)
MAX_KNOWN = 1_000
# By workspace and by how it was named: an assistant's id, type and graph, which never change.
_known: OrderedDict[tuple[UUID, str], Row] = OrderedDict()


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was accepted, or that goes on: its row, with `input`, `kwargs`, `type` and `graph_id`.

    `after`: its last event before that.
    """

    run: Row
    modes: list[str]
    resumed: bool = False
    after: int = 0


@dataclass(frozen=True, slots=True)
class _Planned:
    session_id: UUID
    run_id: UUID
    body: CreateRun
    besides: Besides
    assistant: Row
    modes: list[str]

    @property
    def hosted(self) -> bool:
        return self.assistant["graph_id"] is not None

    def started(self, run: Row) -> Started:
        what = {name: self.assistant[name] for name in ("type", "graph_id")}
        return Started({**run, **what, "kwargs": self.besides.kwargs}, self.modes)


async def start(request: HotRequest, thread_id: UUID | None, body: StatelessRun, run_id: UUID) -> Started:
    """Accept what the body asks for: in the thread, or without one in a thread of its own.

    `run_id` is a new id; a run that goes on keeps its own. Raises what `runs.accepting.create_run` does, in the
    protocol's words.
    """
    assistant = await _assistant(request, body.assistant_id)
    planned = await _plan(request, thread_id, assistant, body, run_id)
    if body.command is not None and not planned.hosted:
        return await _answer(request, planned.session_id, body)
    try:
        run = await create_run(
            request.identity, planned.session_id, planned.body, run_id, besides=planned.besides
        ).arun()
    except NotFound:
        _known.clear()
        raise NotFound(UNKNOWN) from None
    except SessionBusy:
        raise Conflict(BUSY) from None
    await tell_accepted(run)
    return planned.started(run)


async def start_all(request: HotRequest, bodies: Sequence[StatelessRun]) -> list[Started]:
    """Accept all of these, each in a thread of its own, or none."""
    planned = []
    for body in bodies:
        assistant = await _assistant(request, body.assistant_id)
        planned.append(await _plan(request, None, assistant, body, new_id()))
    try:
        runs = await _accept_all(request.identity, planned).arun()
    except NotFound:
        _known.clear()
        raise NotFound(UNKNOWN) from None
    for run in runs:
        await tell_accepted(run)
    return [plan.started(run) for plan, run in zip(planned, runs, strict=True)]


@operation(atomic=True)
def _accept_all(identity: Identity, planned: Sequence[_Planned]) -> Operation[list[Row]]:
    runs = []
    for plan in planned:
        runs.append((yield from accept(identity, plan.session_id, plan.body, plan.run_id, besides=plan.besides)))
    return runs


# -- who -----------------------------------------------------------------------------------------------------------


async def _assistant(request: HotRequest, reference: str) -> Row:
    key = request.identity.workspace_id, reference
    if (known := _known.get(key)) is None:
        known = _known[key] = await resolve_assistant(request.identity, reference)
        if len(_known) > MAX_KNOWN:
            _known.popitem(last=False)
    await require_allowed(request, known)
    return known


# -- what ----------------------------------------------------------------------------------------------------------


async def _plan(
    request: HotRequest, thread_id: UUID | None, assistant: Row, body: StatelessRun, run_id: UUID
) -> _Planned:
    if thread_id is None and body.command is not None and body.command.resume is not None:
        raise BadRequest("You must provide a thread_id when resuming.")
    hosted = assistant["graph_id"] is not None
    session_id = thread_id or new_id()
    kwargs = kwargs_of(request.identity, body)
    value = {
        "thread_id": session_id,
        "assistant_id": assistant["id"],
        "run_id": run_id,
        "metadata": dict(body.metadata or {}),
        "kwargs": {"input": body.input, **kwargs},
        "if_not_exists": body.if_not_exists or "reject",
        "multitask_strategy": body.multitask_strategy or "enqueue",
    }
    filters = await allow(request, "threads", "create_run", value)
    if filters and thread_id is not None and await may_use(request.identity, thread_id, filters).arun() is False:
        raise NotFound(UNKNOWN)
    session = None
    if thread_id is None:
        kwargs["temporary"] = ephemeral = body.on_completion != "keep"
        session = _new_session(session_id, value["metadata"], ephemeral=ephemeral)
    elif body.if_not_exists == "create":
        session = _new_session(thread_id, value["metadata"])
    given: dict[str, Any] = {"input": body.input}
    if not hosted:
        refuse_what_natives_lack(body, assistant, await _max_steps(body, assistant))
        given = native_input(body, assistant)
    create = {
        **given,
        "metadata": value["metadata"],
        "multitask_strategy": value["multitask_strategy"],
        "durability": body.persisted,
        "after_seconds": body.after_seconds,
    }
    besides = Besides(assistant["id"], kwargs, webhook_of(body.webhook), session)
    return _Planned(session_id, run_id, validate(CreateRun, create), besides, assistant, body.modes)


def _new_session(session_id: UUID, metadata: dict[str, Any], *, ephemeral: bool = False) -> NewSession:
    ttl = None if ephemeral else thread_ttl()
    seconds, strategy = (None, None) if ttl is None else (ttl.seconds, str(ttl.strategy))
    return NewSession(session_id, dict(metadata), ephemeral, seconds, strategy)


async def _max_steps(body: StatelessRun, assistant: Row) -> int | None:
    if body.config is None or body.config.recursion_limit is None:
        return None
    return (await run_defaults(assistant["id"], assistant["version"]).arun()).max_steps


def kwargs_of(identity: Identity, body: StatelessRun) -> dict[str, Any]:
    """What is kept beside the input, without what was not said."""
    config = body.config or Config()
    if config.configurable and body.context:
        raise BadRequest(BOTH)
    # Each stands for the other, as the clients of both of LangGraph's ages expect.
    given = body.context or config.configurable or {}
    # Who asks is not the client's to say.
    said = {name: value for name, value in given.items() if not name.startswith("langgraph_auth_")}
    configurable = {**said, **for_graphs(identity)}
    kept = {
        "command": body.command.given if body.command else None,
        "config": {
            **config.model_dump(exclude_none=True, exclude={"configurable"}),
            **({"configurable": configurable} if configurable else {}),
        },
        "context": said or None,
        "stream_subgraphs": body.stream_subgraphs,
        "stream_resumable": body.stream_resumable,
        "interrupt_before": body.interrupt_before,
        "interrupt_after": body.interrupt_after,
        "checkpoint": body.begins_at,
        "webhook": body.webhook,
        "on_disconnect": body.on_disconnect,
        "durability": body.persisted,
    }
    return {"stream_mode": body.modes, **{name: value for name, value in kept.items() if value}}


def webhook_of(url: str | None) -> dict[str, Any] | None:
    """Whom the run tells of its end, with a mark that it is told in LangGraph's words. Raises Invalid."""
    if url is None:
        return None
    checked = validate(CreateRun, {"input": None, "webhook": url}).webhook
    assert isinstance(checked, RunWebhook)
    return {**checked.model_dump(), "format": "langgraph"}


# -- a native run that goes on -------------------------------------------------------------------------------------


async def _answer(request: HotRequest, thread_id: UUID, body: StatelessRun) -> Started:
    """Let the native run that asks go on with `command.resume`."""
    asking = await asking_run(request.identity, thread_id).arun()
    if asking is None:
        raise Conflict("There is nothing to resume: no run of the thread asks anything.")
    assert body.command is not None
    answer = native_answer(asking, body.command.resume)
    resumed = await resume_run(request.identity, asking["id"], answer).arun()
    await tell_resumed(resumed)
    run = await get_run(request.identity, thread_id, asking["id"], {}).arun()
    return Started(run, body.modes, resumed=True, after=asking["last_seq"])
