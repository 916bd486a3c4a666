"""`/runs/crons`: LangGraph's crons are our schedules, with what else their clients ask for beside them."""

from typing import Any
from uuid import UUID

from pydantic import ValidationError

from accounts.identity import Identity
from core.db import Row
from core.documents import moment, text
from core.errors import BadRequest, Invalid, NotFound
from core.hot import HotRequest, HotResponse, Router
from core.ids import new_id
from core.threads import in_thread
from core.validation import invalid_from_pydantic, validate
from protocols.langgraph.access import allow
from protocols.langgraph.cron_bodies import (
    OF_RUNS,
    CountCrons,
    CreateCron,
    CreateThreadCron,
    PatchCron,
    SearchCrons,
    run_of,
)
from protocols.langgraph.cron_rows import COLUMNS, FIELDS, count_crons, cron_document, find_cron, find_crons
from protocols.langgraph.natively import native_input, refuse_what_natives_lack
from protocols.langgraph.reading import body_of, page_headers, thread_of, uuid_of
from protocols.langgraph.resolving import find_assistant, require_allowed
from protocols.langgraph.run_rows import may_use
from protocols.langgraph.starting import kwargs_of, webhook_of
from scheduling import services
from scheduling.bodies import MAX_COUNT, ChangeSchedule, CreateSchedule
from scheduling.services import LikeLangGraph

READ, WRITE = "schedules:read", "schedules:write"
NO_THREAD = (
    "Thread with ID '{id}' not found. Please verify the ID is correct and the thread hasn't been deleted or expired."
)

router = Router()


@router.route("POST", "/runs/crons", WRITE, body=CreateCron)
async def create(request: HotRequest) -> HotResponse:
    """Run an assistant by itself, each time in a new thread."""
    body = body_of(request, CreateCron)
    return await _create(request, body, None, ephemeral=body.on_run_completed != "keep")


@router.route("POST", "/threads/{thread_id}/runs/crons", WRITE, body=CreateThreadCron)
async def create_for_thread(request: HotRequest) -> HotResponse:
    """Run an assistant by itself in a thread."""
    thread_id = thread_of(request)
    body = body_of(request, CreateThreadCron)
    if body.if_not_exists == "create":
        raise Invalid.at("if_not_exists", message="A cron runs in a thread that is there: make it first.")
    filters = await allow(request, "threads", "read", {"thread_id": thread_id})
    if not await may_use(request.identity, thread_id, filters).arun():
        raise NotFound(NO_THREAD.format(id=thread_id))
    return await _create(request, body, thread_id, ephemeral=False)


async def _create(
    request: HotRequest, body: CreateThreadCron, thread_id: UUID | None, *, ephemeral: bool
) -> HotResponse:
    identity = request.identity
    assistant = await find_assistant(identity, body.assistant_id)
    if assistant is None:
        raise NotFound(f"Assistant '{body.assistant_id}' not found")
    await require_allowed(request, assistant)
    cron_id = new_id()
    payload = _with_id({**body.given, "assistant_id": str(assistant["id"])}, cron_id)
    user_id = identity.user["identity"] if identity.user else identity.user_id or ""
    value: dict[str, Any] = {
        "payload": payload,
        "schedule": body.schedule,
        "cron_id": cron_id,
        "thread_id": thread_id,
        "user_id": user_id,
        "end_time": body.end_time,
        "metadata": dict(body.metadata or {}),
    }
    await allow(request, "crons", "create", value)
    given, besides = _asked(identity, assistant, payload, user_id, ephemeral=ephemeral)
    wanted = validate(
        CreateSchedule,
        {
            "name": f"cron of {assistant['name']}"[:200],
            "cron": _expression(body.schedule),
            "timezone": body.timezone or "UTC",
            "input": given,
            "session_id": text(thread_id),
            "enabled": body.enabled is not False,
            # LangGraph has no rule of its own for a run before that has not ended.
            "skip_if_running": False,
            "max_active_runs": MAX_COUNT,
            "end_time": moment(body.end_time),
            "metadata": value["metadata"],
        },
    )
    try:
        await in_thread(
            services.create_schedule, identity, assistant["id"], wanted, besides=besides, schedule_id=cron_id
        )
    except Invalid as fault:
        raise _in_words(fault, body.schedule, body.timezone) from None
    return await _shown(identity, cron_id)


@router.route("GET", "/runs/crons/{cron_id}", READ)
async def get(request: HotRequest) -> HotResponse:
    """A cron."""
    return HotResponse(cron_document(await _found(request, "read", {})))


@router.route("PATCH", "/runs/crons/{cron_id}", WRITE, body=PatchCron)
async def patch(request: HotRequest) -> HotResponse:
    """Change a cron: metadata is merged, everything else takes the place of what was there."""
    body = body_of(request, PatchCron)
    if not body.model_fields_set:
        raise BadRequest("Request body cannot be empty")
    value = {
        "schedule": body.schedule,
        "end_time": body.end_time,
        "enabled": body.enabled,
        "on_run_completed": body.on_run_completed,
        "payload": body.given,
        **({"metadata": dict(body.metadata)} if body.metadata is not None else {}),
    }
    cron = await _found(request, "update", value)
    names = body.model_fields_set & {"timezone", "end_time", "enabled"}
    changes: dict[str, Any] = {name: getattr(body, name) for name in names}
    if body.schedule is not None:
        changes["cron"] = _expression(body.schedule)
    if value.get("metadata") is not None:
        changes["metadata"] = value["metadata"]
    besides = None
    if cron["kwargs"] is not None:
        given, besides = await _asked_anew(request.identity, cron, body)
        if body.model_fields_set & {*OF_RUNS}:
            changes["input"] = given
    elif others := sorted(body.model_fields_set & {*OF_RUNS, "on_run_completed"}):
        raise Invalid.at(others[0], message="The schedule was made natively: change this where it was made.")
    wanted = ChangeSchedule.model_construct(_fields_set=set(changes), **changes)
    try:
        await in_thread(services.change_schedule, request.identity, cron["id"], wanted, besides)
    except Invalid as fault:
        raise _in_words(fault, body.schedule or cron["cron"], body.timezone) from None
    return await _shown(request.identity, cron["id"])


@router.route("DELETE", "/runs/crons/{cron_id}", WRITE)
async def delete(request: HotRequest) -> HotResponse:
    """Delete a cron; its runs stay."""
    cron = await _found(request, "delete", {})
    await in_thread(services.delete_schedule, request.identity, cron["id"])
    return HotResponse(None, 204)


@router.route("POST", "/runs/crons/search", READ, body=SearchCrons)
async def search(request: HotRequest) -> HotResponse:
    """Crons, the newest first unless something else is asked for."""
    body = body_of(request, SearchCrons)
    if unknown := [name for name in body.select or () if name not in FIELDS]:
        raise Invalid.at("select", message=f"A cron has no {unknown[0]!r}.")
    asked: dict[str, Any] = body.model_dump(include={"assistant_id", "thread_id", "limit", "offset"})
    asked["metadata"] = dict(body.metadata or {})
    filters = await allow(request, "crons", "search", asked)
    order = f"{COLUMNS[body.sort_by or 'created_at']} {'ASC' if body.sort_order == 'asc' else 'DESC'} NULLS LAST"
    wanted = {**_wanted(body, asked), "enabled": body.enabled}
    rows = await find_crons(request.identity, filters, wanted, order, body.limit + 1, body.offset).arun()
    fields = FIELDS if body.select is None else body.select
    documents = [cron_document(row, fields) for row in rows[: body.limit]]
    return HotResponse(documents, headers=page_headers(body.offset, len(documents), more=len(rows) > body.limit))


@router.route("POST", "/runs/crons/count", READ, body=CountCrons)
async def count(request: HotRequest) -> HotResponse:
    """How many crons there are."""
    body = body_of(request, CountCrons)
    asked: dict[str, Any] = body.model_dump(include={"assistant_id", "thread_id"})
    asked |= {"limit": 0, "offset": 0, "metadata": dict(body.metadata or {})}
    filters = await allow(request, "crons", "search", asked)
    return HotResponse(await count_crons(request.identity, filters, _wanted(body, asked)).arun())


def _wanted(body: CountCrons, asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "assistant": None if body.assistant_id is None else uuid_of(body.assistant_id, "assistant ID"),
        "thread": None if body.thread_id is None else uuid_of(body.thread_id, "thread ID"),
        "metadata": asked["metadata"],
    }


# -- what its runs are -------------------------------------------------------------------------------------------------


def _with_id(payload: dict[str, Any], cron_id: UUID) -> dict[str, Any]:
    """Runs of a cron know it, and so does what it shows of them."""
    config = payload.get("config") or {}
    configurable = {**(config.get("configurable") or {}), "cron_id": str(cron_id)}
    return {**payload, "config": {**config, "configurable": configurable}}


def _asked(
    identity: Identity, assistant: Row, payload: dict[str, Any], user_id: str, *, ephemeral: bool
) -> tuple[Any, LikeLangGraph]:
    """The input of its runs, and what they are started with besides. Raises Invalid."""
    cron_id = payload["config"]["configurable"]["cron_id"]
    try:
        run = run_of(str(assistant["id"]), payload)
    except ValidationError as fault:
        raise invalid_from_pydantic(fault) from None
    assert run.config is not None
    assert run.config.configurable is not None
    # That it is the cron's says nothing of what its client asked for.
    del run.config.configurable["cron_id"]
    given = run.input
    if assistant["graph_id"] is None:
        refuse_what_natives_lack(run, assistant)
        given = native_input(run, assistant)["input"]
    kwargs = kwargs_of(identity, run)
    if assistant["graph_id"] is not None:
        config = kwargs.get("config", {})
        kwargs["config"] = {**config, "configurable": {**config.get("configurable", {}), "cron_id": cron_id}}
    asked = {
        "payload": payload,
        "run": {**kwargs, "temporary": ephemeral},
        "multitask_strategy": run.multitask_strategy or "enqueue",
        "durability": run.persisted,
        "user_id": user_id,
    }
    return given, LikeLangGraph(asked, webhook_of(run.webhook), ephemeral)


async def _asked_anew(identity: Identity, cron: Row, body: PatchCron) -> tuple[Any, LikeLangGraph]:
    """As `_asked`, with what was asked for before where the body says nothing."""
    assistant = await find_assistant(identity, str(cron["assistant_id"]))
    assert assistant is not None, "A cron goes with its assistant."
    before = cron["kwargs"]["payload"].items()
    payload = {**{name: value for name, value in before if name not in body.model_fields_set}, **body.given}
    ephemeral = cron["ephemeral"] if body.on_run_completed is None else body.on_run_completed == "delete"
    if cron["session_id"] is not None and body.on_run_completed is not None:
        raise Invalid.at("on_run_completed", message="The cron runs in a thread, which is kept.")
    return _asked(identity, assistant, _with_id(payload, cron["id"]), cron["kwargs"]["user_id"], ephemeral=ephemeral)


# -- its row -----------------------------------------------------------------------------------------------------------


def _expression(schedule: str) -> str:
    if not 0 < len(schedule) <= 200:
        raise Invalid(f"Invalid cron schedule: {schedule[:200]!r}. Reason: It has 1 to 200 characters.")
    return schedule


def _in_words(fault: Invalid, schedule: str, timezone: str | None) -> Invalid:
    """What is wrong with a time, in the protocol's words and with our reason."""
    places = {error.loc[0]: error.message for error in fault.errors if error.loc}
    if "cron" in places:
        return Invalid(f"Invalid cron schedule: {schedule!r}. Reason: {places['cron']}")
    if "timezone" in places:
        return Invalid(f"Invalid timezone: {timezone!r}. Use IANA timezone format (e.g. 'America/New_York').")
    return fault


async def _found(request: HotRequest, action: str, value: dict[str, Any]) -> Row:
    cron_id = uuid_of(request.params["cron_id"], "cron ID")
    value["cron_id"] = cron_id
    filters = await allow(request, "crons", action, value)
    cron = await find_cron(request.identity, filters, cron_id).arun()
    if cron is None:
        raise NotFound("Not Found")
    return cron


async def _shown(identity: Identity, cron_id: UUID) -> HotResponse:
    cron = await find_cron(identity, {}, cron_id).arun()
    if cron is None:
        raise NotFound("Not Found")
    return HotResponse(cron_document(cron))
