"""Every write to assistants. An assistant's row is the lock of its versions."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import Max

from accounts.identity import Identity
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
from assistants.models import Assistant, AssistantVersion, Status
from assistants.validation import Check, failures, run_checks
from core.clock import isoformat
from core.errors import AlreadyExists, Conflict, Invalid, NotFound, VersionConflict

_NAME_ONCE = "assistant_name_once_per_workspace"


def create_assistant(identity: Identity, body: Any) -> Assistant:
    """Store an assistant and its version 1; active if it passes its checks, unless the body holds that back.

    Raises Invalid, AlreadyExists (the name).
    """
    parsed = parse(CreateAssistant, body)
    config = stored(parsed)
    checks = run_checks(config)
    is_active = parsed.status is None and all(check.ok for check in checks)
    assistant = Assistant(
        workspace_id=identity.workspace_id,
        status=Status.ACTIVE if is_active else Status.CREATED,
        created_by=identity.actor,
        created_at=_now(),
    )
    with transaction.atomic():
        _store(assistant, config, checks, assistant.created_at)
        _add_version(identity, assistant, config, 1, parsed.change_note)
    return queries.assistant(identity, assistant.id)


def update_assistant(identity: Identity, assistant_id: UUID, body: Any, if_match: str | None = None) -> Assistant:
    """Merge the body's changes into the current configuration; what changes it makes a new version.

    `if_match` is the header's value. An active assistant stays runnable: a change that fails the checks is
    refused, while an assistant that is not active yet is stored with its failed checks.
    Raises NotFound, Invalid, Conflict (archived), VersionConflict, AlreadyExists (the name).
    """
    options, changes = parse_update(body)
    with transaction.atomic():
        assistant = _locked(identity, assistant_id)
        if assistant.status == Status.ARCHIVED:
            raise Conflict("The assistant is archived and cannot be changed; restore it first.")
        _expect_version(assistant, options, if_match)
        current = assistant.versions.get(number=assistant.version).config
        config = stored(parse(AssistantConfig, merged(current, changes)))
        if not same(config, current):
            checks = run_checks(config)
            if assistant.status == Status.ACTIVE and (faults := failures(checks)):
                raise Invalid(f"An active assistant must pass its checks: {faults[0].message}", errors=faults)
            assistant.version = _last_number(assistant) + 1
            _store(assistant, config, checks, _now())
            _add_version(identity, assistant, config, assistant.version, options.change_note)
        # Read under the lock: the answer shows the version that this call made.
        return queries.assistant(identity, assistant_id)


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


def _serve(identity: Identity, assistant_id: UUID, source: Status, verb: str) -> Assistant:
    # The findings are kept also where they are bad ones, so the refusal comes after the transaction.
    with transaction.atomic():
        assistant = _locked(identity, assistant_id)
        _expect_status(assistant, {source}, verb)
        config = assistant.versions.get(number=assistant.version).config
        checks = run_checks(config)
        faults = failures(checks)
        if not faults:
            assistant.status = Status.ACTIVE
        _store(assistant, config, checks, _now())
    if faults:
        raise Conflict(f"The assistant does not pass its checks: {faults[0].message}", errors=faults)
    return queries.assistant(identity, assistant_id)


def _retire(identity: Identity, assistant_id: UUID, sources: Collection[Status]) -> Assistant:
    with transaction.atomic():
        assistant = _locked(identity, assistant_id)
        _expect_status(assistant, sources, "archived")
        if assistant.status != Status.ARCHIVED:
            assistant.status, assistant.updated_at = Status.ARCHIVED, _now()
            assistant.save(update_fields=["status", "updated_at"])
    return queries.assistant(identity, assistant_id)


def _locked(identity: Identity, assistant_id: UUID) -> Assistant:
    # FOR NO KEY UPDATE: sessions and runs that refer to the assistant are inserted meanwhile.
    rows = Assistant.objects.select_for_update(no_key=True)
    assistant = rows.filter(workspace_id=identity.workspace_id, id=assistant_id).first()
    if assistant is None:
        raise NotFound("There is no such assistant.")
    return assistant


def _expect_status(assistant: Assistant, sources: Collection[Status], verb: str) -> None:
    if assistant.status not in sources:
        raise Conflict(f"An assistant that is {assistant.status} cannot be {verb}.")


def _expect_version(assistant: Assistant, options: UpdateOptions, if_match: str | None) -> None:
    wanted = {tag.strip().removeprefix("W/").strip('"') for tag in (if_match or "*").split(",")}
    expected = options.expected_version in {None, assistant.version}
    if not expected or wanted.isdisjoint({"*", str(assistant.version)}):
        raise VersionConflict(f"The assistant is at version {assistant.version} by now.")


def _store(assistant: Assistant, config: Config, checks: list[Check], moment: datetime) -> None:
    """Save the row with what it repeats of its current version, for filters, claims and limits."""
    assistant.name, assistant.type = config["name"], config["type"]
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


def _add_version(identity: Identity, assistant: Assistant, config: Config, number: int, note: str) -> None:
    AssistantVersion.objects.create(
        assistant=assistant, number=number, config=config, change_note=note, created_by=identity.actor
    )


def _last_number(assistant: Assistant) -> int:
    # The pointer may stand on an older version than the last.
    last: int = assistant.versions.aggregate(last=Max("number"))["last"]
    return last


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment
