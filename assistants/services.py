"""Every write to assistants. An assistant's row is the lock of its versions and tags."""

import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Max

from accounts import audit
from accounts.idempotency import Once, claim
from accounts.identity import Identity
from accounts.scoping import of_workspace
from assistants import queries
from assistants.config import (
    AssistantConfig,
    Config,
    CreateAssistant,
    UpdateOptions,
    merged,
    parse,
    parse_update,
    same,
    stored,
)
from assistants.diff import changes
from assistants.models import Assistant, AssistantTag, AssistantVersion, Status
from assistants.validation import Check, Reachability, UnaskedError, failures, run_checks, server_check
from core.clock import isoformat
from core.errors import AlreadyExists, Conflict, Invalid, NotFound, VersionConflict
from core.ids import new_id

T = TypeVar("T")

# The comparison of the versions tells the rest.
AUDITED_PATHS = 100
_NAME_ONCE = "assistant_name_once_per_workspace"
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def create_assistant(identity: Identity, body: Any, once: Once | None = None) -> Assistant:
    """Store an assistant and its version 1; active if it passes its checks, unless the body holds that back.

    Raises Invalid, AlreadyExists (the name), Replayed for a request that is sent again.
    """
    parsed = parse(CreateAssistant, body)
    config = stored(parsed)

    assistant_id = new_id()

    def attempt(reachability: Reachability) -> Assistant:
        claim(once, assistant_id).run()
        checks = run_checks(identity.workspace_id, config, reachability)
        is_active = parsed.status is None and all(check.ok for check in checks)
        assistant = Assistant(
            id=assistant_id,
            workspace_id=identity.workspace_id,
            status=Status.ACTIVE if is_active else Status.CREATED,
            created_by=identity.actor,
            created_at=_now(),
        )
        _store(assistant, config, checks, assistant.created_at)
        _add_version(identity, assistant, config, note=parsed.change_note)
        _record(identity, assistant, "created", version=1, name=assistant.name)
        return queries.assistant(identity, assistant_id)

    return _carry_out(attempt)


def update_assistant(identity: Identity, assistant_id: UUID, body: Any, if_match: str | None = None) -> Assistant:
    """Merge the body's changes into the current configuration; what changes it makes a new version.

    `if_match` is the header's value. An active assistant stays runnable: a change that fails the checks is
    refused, while an assistant that is not active yet is stored with its failed checks.
    Raises NotFound, Invalid, Conflict (archived), VersionConflict, AlreadyExists (the name).
    """
    options, asked = parse_update(body)
    return _change(identity, assistant_id, options, lambda current: merged(current, asked), if_match)


def replace_configuration(
    identity: Identity, assistant_id: UUID, configuration: Any, options: UpdateOptions
) -> Assistant:
    """Make the whole configuration this one: what it leaves out returns to its default. Else as `update_assistant`.

    Raises NotFound, Invalid, Conflict (archived), VersionConflict, AlreadyExists (the name).
    """
    return _change(identity, assistant_id, options, lambda current: configuration)


def roll_back_assistant(
    identity: Identity,
    assistant_id: UUID,
    number: int,
    options: UpdateOptions,
    if_match: str | None = None,
    once: Once | None = None,
) -> Assistant:
    """Copy an old version's configuration forward as a new version; history is not rewritten.

    Raises NotFound (the version too), Conflict (archived; or active, and the old version fails today's checks, which
    are in its errors), VersionConflict, AlreadyExists (the old name is another assistant's by now), Replayed.
    """

    def attempt(reachability: Reachability) -> Assistant:
        claim(once, assistant_id).run()
        assistant = _changeable(identity, assistant_id, options, if_match)
        config = stored(parse(AssistantConfig, _version(assistant, number).config))
        _remember_servers(assistant, _config(assistant), reachability)
        checks = run_checks(identity.workspace_id, config, reachability)
        if assistant.status == Status.ACTIVE:
            _refuse_failures(f"Version {number} does not pass its checks", checks)
        note = options.change_note or f"Rolled back to version {number}."
        _make_current(identity, assistant, config, checks, note=note, source=number)
        _record(identity, assistant, "rolled_back", version=assistant.version, source_version=number)
        return queries.assistant(identity, assistant_id)

    return _carry_out(attempt)


def activate_assistant(identity: Identity, assistant_id: UUID) -> Assistant:
    """Let a created assistant serve.

    Raises NotFound, or Conflict for one in another state or with failed checks (they are in its errors).
    """
    return _serve(identity, assistant_id, Status.CREATED, "activated")


def restore_assistant(identity: Identity, assistant_id: UUID) -> Assistant:
    """Let an archived assistant serve again; raises as `activate_assistant`."""
    return _serve(identity, assistant_id, Status.ARCHIVED, "restored")


def archive_assistant(identity: Identity, assistant_id: UUID) -> Assistant:
    """Take an active assistant out of service; raises NotFound, or Conflict for one in another state."""
    return _retire(identity, assistant_id, {Status.ACTIVE})


def delete_assistant(identity: Identity, assistant_id: UUID) -> Assistant:
    """Archive the assistant whatever its state; its data stays. Raises NotFound."""
    return _retire(identity, assistant_id, set(Status))


@transaction.atomic
def tag_version(identity: Identity, assistant_id: UUID, number: int, name: str) -> AssistantVersion:
    """Let the tag point at the version, wherever it pointed before.

    Raises Invalid (the name), NotFound (the version too), Conflict (archived).
    """
    if not _TAG.fullmatch(name):
        raise Invalid.at("tag", message="A tag is 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins with a-z or 0-9.")
    assistant = _changeable(identity, assistant_id)
    version = _version(assistant, number)
    before = assistant.version_tags.filter(name=name).first()
    if before is None or before.version != number:
        AssistantTag.objects.update_or_create(
            assistant=assistant, name=name, defaults={"version": number, "updated_at": _now()}
        )
        _record(identity, assistant, "tagged", tag=name, version=number, moved_from=before and before.version)
    return queries.version(identity, assistant_id, version.number)


@transaction.atomic
def untag_version(identity: Identity, assistant_id: UUID, number: int, name: str) -> None:
    """Take the tag off the version; raises NotFound where it does not point there, Conflict (archived)."""
    assistant = _changeable(identity, assistant_id)
    gone, _ = assistant.version_tags.filter(name=name, version=number).delete()
    if not gone:
        raise NotFound(f"Version {number} has no tag {name!r}.")
    _record(identity, assistant, "untagged", tag=name, version=number)


# -- how -------------------------------------------------------------------------------------------------------------


def _carry_out(attempt: Callable[[Reachability], T]) -> T:
    """Carry out `attempt` in a transaction; begin anew where MCP servers must be asked first, which calls out."""
    reachability = Reachability()
    while True:
        try:
            with transaction.atomic():
                return attempt(reachability)
        except UnaskedError as unasked:
            servers, secrets = unasked.servers, unasked.secrets
        reachability.ask(servers, secrets)


def _change(
    identity: Identity,
    assistant_id: UUID,
    options: UpdateOptions,
    change: Callable[[Config], Any],
    if_match: str | None = None,
) -> Assistant:
    """Let `change` make the new configuration from the current one."""

    def attempt(reachability: Reachability) -> Assistant:
        assistant = _changeable(identity, assistant_id, options, if_match)
        current = _config(assistant)
        config = stored(parse(AssistantConfig, change(current)))
        if not same(config, current):
            # A server that a change does not touch is not asked again: its outage would refuse any change.
            _remember_servers(assistant, current, reachability)
            checks = run_checks(identity.workspace_id, config, reachability)
            if assistant.status == Status.ACTIVE and (faults := failures(checks)):
                raise Invalid(f"An active assistant must pass its checks: {faults[0].message}", errors=faults)
            _make_current(identity, assistant, config, checks, note=options.change_note)
            paths = [found["path"] for found in changes(current, config)]
            told = {"changed": paths[:AUDITED_PATHS], "changes": len(paths)}
            _record(identity, assistant, "updated", version=assistant.version, **told)
        # Read under the lock: the answer shows the version that this call made.
        return queries.assistant(identity, assistant_id)

    return _carry_out(attempt)


def _remember_servers(assistant: Assistant, config: Config, reachability: Reachability) -> None:
    found = {check["name"]: check["message"] for check in assistant.validation["checks"]}
    for server in config["mcp_servers"]:
        if server_check(server) in found:
            reachability.remember(server, found[server_check(server)])


def _serve(identity: Identity, assistant_id: UUID, source: Status, verb: str) -> Assistant:
    def attempt(reachability: Reachability) -> list[Check]:
        assistant = _locked(identity, assistant_id)
        _expect_status(assistant, {source}, verb)
        config = _config(assistant)
        checks = run_checks(identity.workspace_id, config, reachability)
        if not failures(checks):
            assistant.status = Status.ACTIVE
            _record(identity, assistant, verb, version=assistant.version)
        _store(assistant, config, checks, _now())
        return checks

    # The findings are kept also where they are bad ones, so the refusal comes after the transaction.
    _refuse_failures("The assistant does not pass its checks", _carry_out(attempt))
    return queries.assistant(identity, assistant_id)


@transaction.atomic
def _retire(identity: Identity, assistant_id: UUID, sources: Collection[Status]) -> Assistant:
    assistant = _locked(identity, assistant_id)
    _expect_status(assistant, sources, "archived")
    if assistant.status != Status.ARCHIVED:
        assistant.status, assistant.updated_at = Status.ARCHIVED, _now()
        assistant.save(update_fields=["status", "updated_at"])
        _record(identity, assistant, "archived", version=assistant.version)
    return queries.assistant(identity, assistant_id)


def _locked(identity: Identity, assistant_id: UUID) -> Assistant:
    # FOR NO KEY UPDATE: sessions and runs that refer to the assistant are inserted meanwhile.
    rows = Assistant.objects.select_for_update(no_key=True)
    assistant = of_workspace(identity, rows.filter(id=assistant_id)).first()
    if assistant is None:
        raise NotFound("There is no such assistant.")
    return assistant


def _changeable(
    identity: Identity, assistant_id: UUID, options: UpdateOptions | None = None, if_match: str | None = None
) -> Assistant:
    """The assistant, locked, if it may be changed and is at the version that the caller knows."""
    assistant = _locked(identity, assistant_id)
    if assistant.status == Status.ARCHIVED:
        raise Conflict("The assistant is archived and cannot be changed; restore it first.")
    wanted = {tag.strip().removeprefix("W/").strip('"') for tag in ("*" if if_match is None else if_match).split(",")}
    expected = options is None or options.expected_version in {None, assistant.version}
    if not expected or wanted.isdisjoint({"*", str(assistant.version)}):
        raise VersionConflict(f"The assistant is at version {assistant.version} by now.")
    return assistant


def _expect_status(assistant: Assistant, sources: Collection[Status], verb: str) -> None:
    if assistant.status not in sources:
        raise Conflict(f"An assistant that is {assistant.status} cannot be {verb}.")


def _refuse_failures(sentence: str, checks: list[Check]) -> None:
    if faults := failures(checks):
        raise Conflict(f"{sentence}: {faults[0].message}", errors=faults)


def _config(assistant: Assistant) -> Config:
    config: Config = assistant.versions.get(number=assistant.version).config
    return config


def _version(assistant: Assistant, number: int) -> AssistantVersion:
    version = assistant.versions.filter(number=number).first()
    if version is None:
        raise NotFound(f"The assistant has no version {number}.")
    return version


def _make_current(
    identity: Identity,
    assistant: Assistant,
    config: Config,
    checks: list[Check],
    *,
    note: str,
    source: int | None = None,
) -> None:
    # The pointer may stand on an older version than the last.
    assistant.version = assistant.versions.aggregate(last=Max("number"))["last"] + 1
    _store(assistant, config, checks, _now())
    _add_version(identity, assistant, config, note=note, source=source)


def _store(assistant: Assistant, config: Config, checks: list[Check], moment: datetime) -> None:
    """Save the row with what it repeats of its current version, for filters, claims and limits."""
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
        if _NAME_ONCE not in str(error):
            raise
        raise AlreadyExists(f"An assistant named {assistant.name!r} exists.") from None


def _add_version(
    identity: Identity, assistant: Assistant, config: Config, *, note: str, source: int | None = None
) -> None:
    AssistantVersion.objects.create(
        assistant=assistant,
        number=assistant.version,
        config=config,
        change_note=note,
        source_version=source,
        created_by=identity.actor,
    )


def _record(identity: Identity, assistant: Assistant, action: str, **details: Any) -> None:
    audit.record(identity, action, "assistant", assistant.id, **details)


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment
