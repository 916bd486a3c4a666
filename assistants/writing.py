"""What every write to an assistant is made of: its lock, its checks, its next version."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Max

from accounts import audit
from accounts.identity import Identity
from accounts.scoping import of_workspace
from assistants.config import Config, UpdateOptions
from assistants.models import Assistant, AssistantVersion, Status
from assistants.validation import Check, Reachability, UnaskedError, failures, server_check
from core.clock import isoformat
from core.errors import AlreadyExists, Conflict, NotFound, VersionConflict

T = TypeVar("T")

_NAME_ONCE = "assistant_name_once_per_workspace"
_ID_ONCE = "assistants_pkey"


def carry_out(attempt: Callable[[Reachability], T]) -> T:
    """Carry out `attempt` in a transaction; begin anew where MCP servers must be asked first, which calls out."""
    reachability = Reachability()
    while True:
        try:
            with transaction.atomic():
                return attempt(reachability)
        except UnaskedError as unasked:
            servers, secrets = unasked.servers, unasked.secrets
        reachability.ask(servers, secrets)


def remember_servers(assistant: Assistant, config: Config, reachability: Reachability) -> None:
    """Take over what is known of the MCP servers of the current version."""
    found = {check["name"]: check["message"] for check in assistant.validation["checks"]}
    for server in config["mcp_servers"]:
        if server_check(server) in found:
            reachability.remember(server, found[server_check(server)])


def locked(identity: Identity, assistant_id: UUID) -> Assistant:
    """The assistant, locked; raises NotFound."""
    # FOR NO KEY UPDATE: sessions and runs that refer to the assistant are inserted meanwhile.
    rows = Assistant.objects.select_for_update(no_key=True)
    assistant = of_workspace(identity, rows.filter(id=assistant_id)).first()
    if assistant is None:
        raise NotFound("There is no such assistant.")
    return assistant


def changeable(
    identity: Identity, assistant_id: UUID, options: UpdateOptions | None = None, if_match: str | None = None
) -> Assistant:
    """The assistant, locked, if it may be changed and is at the version that the caller knows."""
    assistant = locked(identity, assistant_id)
    if assistant.status == Status.ARCHIVED:
        raise Conflict("The assistant is archived and cannot be changed; restore it first.")
    wanted = {tag.strip().removeprefix("W/").strip('"') for tag in ("*" if if_match is None else if_match).split(",")}
    expected = options is None or options.expected_version in {None, assistant.version}
    if not expected or wanted.isdisjoint({"*", str(assistant.version)}):
        raise VersionConflict(f"The assistant is at version {assistant.version} by now.")
    return assistant


def expect_status(assistant: Assistant, sources: Collection[Status], verb: str) -> None:
    """Raises Conflict for an assistant in another state."""
    if assistant.status not in sources:
        raise Conflict(f"An assistant that is {assistant.status} cannot be {verb}.")


def refuse_failures(sentence: str, checks: list[Check]) -> None:
    """Raises Conflict where a check has failed."""
    if faults := failures(checks):
        raise Conflict(f"{sentence}: {faults[0].message}", errors=faults)


def current_config(assistant: Assistant) -> Config:
    """The configuration of its current version."""
    config: Config = assistant.versions.get(number=assistant.version).config
    return config


def version_of(assistant: Assistant, number: int) -> AssistantVersion:
    """One of its versions; raises NotFound."""
    version = assistant.versions.filter(number=number).first()
    if version is None:
        raise NotFound(f"The assistant has no version {number}.")
    return version


def make_current(
    identity: Identity,
    assistant: Assistant,
    config: Config,
    checks: list[Check],
    *,
    note: str,
    source: int | None = None,
) -> None:
    """Store the configuration as the next version, and point at it."""
    # The pointer may stand on an older version than the last.
    assistant.version = assistant.versions.aggregate(last=Max("number"))["last"] + 1
    store(assistant, config, checks, now())
    add_version(identity, assistant, config, note=note, source=source)


def store(assistant: Assistant, config: Config, checks: list[Check], moment: datetime) -> None:
    """Save the row with what it repeats of its current version, for filters, claims and limits.

    Raises AlreadyExists (the name, or the id of a new one).
    """
    assistant.name, assistant.type = config["name"], config["type"]
    assistant.graph_id = config.get("graph_id")
    assistant.description = config["description"]
    assistant.metadata, assistant.labels = config["metadata"], config["resources"]["labels"]
    assistant.max_concurrent_runs = config["max_concurrent_runs"]
    assistant.requests_per_minute = (config["rate_limit"] or {}).get("requests_per_minute")
    quota = config["quota"] or {}
    assistant.runs_per_day, assistant.tokens_per_day = quota.get("runs_per_day"), quota.get("tokens_per_day")
    assistant.updated_at = moment
    assistant.validation = {
        "status": "passed" if all(check.ok for check in checks) else "failed",
        "checked_at": isoformat(moment),
        "checks": [check.document() for check in checks],
    }
    try:
        with transaction.atomic():
            assistant.save()
    except IntegrityError as error:
        if _ID_ONCE in str(error):
            raise AlreadyExists(f"Assistant {assistant.id} already exists") from None
        if _NAME_ONCE not in str(error):
            raise
        raise AlreadyExists(f"An assistant named {assistant.name!r} exists.") from None


def add_version(
    identity: Identity, assistant: Assistant, config: Config, *, note: str, source: int | None = None
) -> None:
    """Store the version at which the assistant points."""
    AssistantVersion.objects.create(
        assistant=assistant,
        number=assistant.version,
        config=config,
        change_note=note,
        source_version=source,
        created_by=identity.actor,
    )


def record(identity: Identity, assistant: Assistant, action: str, **details: Any) -> None:
    """Keep in the audit trail what was done to the assistant."""
    audit.record(identity, action, "assistant", assistant.id, **details)


def now() -> datetime:
    """This moment by PostgreSQL's clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment
