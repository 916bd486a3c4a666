"""Every write to assistants. An assistant's row is the lock of its versions and tags."""

import re
from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.idempotency import Once, claim
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
from assistants.diff import changes
from assistants.models import Assistant, AssistantTag, AssistantVersion, Status
from assistants.validation import Check, Reachability, failures, run_checks
from assistants.writing import (
    add_version,
    carry_out,
    changeable,
    current_config,
    expect_status,
    locked,
    make_current,
    now,
    record,
    refuse_failures,
    remember_servers,
    store,
    version_of,
)
from core.errors import Invalid, NotFound
from core.ids import new_id

# The comparison of the versions tells the rest.
AUDITED_PATHS = 100
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def create_assistant(
    identity: Identity, body: Any, once: Once | None = None, assistant_id: UUID | None = None
) -> Assistant:
    """Store an assistant and its version 1; active if it passes its checks, unless the body holds that back.

    `assistant_id` is its id, if somebody has chosen one. Raises Invalid, AlreadyExists (the name, or the id), Replayed
    for a request that is sent again.
    """
    parsed = parse(CreateAssistant, body)
    config = stored(parsed)

    assistant_id = assistant_id or new_id()

    def attempt(reachability: Reachability) -> Assistant:
        claim(once, assistant_id).run()
        checks = run_checks(identity.workspace_id, config, reachability)
        is_active = parsed.status is None and all(check.ok for check in checks)
        assistant = Assistant(
            id=assistant_id,
            workspace_id=identity.workspace_id,
            status=Status.ACTIVE if is_active else Status.CREATED,
            created_by=identity.actor,
            created_at=now(),
        )
        store(assistant, config, checks, assistant.created_at)
        add_version(identity, assistant, config, note=parsed.change_note)
        record(identity, assistant, "created", version=1, name=assistant.name)
        return queries.assistant(identity, assistant_id)

    return carry_out(attempt)


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


def amend_assistant(identity: Identity, assistant_id: UUID, change: Callable[[Config], Any]) -> Assistant:
    """Make a new version of what `change` makes of the current configuration, also where that is the same.

    Raises NotFound, Invalid, Conflict (archived), AlreadyExists (the name), and what `change` raises.
    """
    return _change(identity, assistant_id, UpdateOptions(), change, always=True)


def point_at_version(identity: Identity, assistant_id: UUID, number: int) -> Assistant:
    """Let the assistant be what it was at this version, without making a new one.

    Raises NotFound (the version too), Conflict (archived; or active, and the version fails today's checks),
    AlreadyExists (the name of that time is another assistant's by now).
    """

    def attempt(reachability: Reachability) -> Assistant:
        assistant = changeable(identity, assistant_id)
        config = stored(parse(AssistantConfig, version_of(assistant, number).config))
        remember_servers(assistant, current_config(assistant), reachability)
        checks = run_checks(identity.workspace_id, config, reachability)
        if assistant.status == Status.ACTIVE:
            refuse_failures(f"Version {number} does not pass its checks", checks)
        before, assistant.version = assistant.version, number
        store(assistant, config, checks, now())
        record(identity, assistant, "pointed", version=number, moved_from=before)
        return queries.assistant(identity, assistant_id)

    return carry_out(attempt)


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
        assistant = changeable(identity, assistant_id, options, if_match)
        config = stored(parse(AssistantConfig, version_of(assistant, number).config))
        remember_servers(assistant, current_config(assistant), reachability)
        checks = run_checks(identity.workspace_id, config, reachability)
        if assistant.status == Status.ACTIVE:
            refuse_failures(f"Version {number} does not pass its checks", checks)
        note = options.change_note or f"Rolled back to version {number}."
        make_current(identity, assistant, config, checks, note=note, source=number)
        record(identity, assistant, "rolled_back", version=assistant.version, source_version=number)
        return queries.assistant(identity, assistant_id)

    return carry_out(attempt)


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
    assistant = changeable(identity, assistant_id)
    version = version_of(assistant, number)
    before = assistant.version_tags.filter(name=name).first()
    if before is None or before.version != number:
        AssistantTag.objects.update_or_create(
            assistant=assistant, name=name, defaults={"version": number, "updated_at": now()}
        )
        record(identity, assistant, "tagged", tag=name, version=number, moved_from=before and before.version)
    return queries.version(identity, assistant_id, version.number)


@transaction.atomic
def untag_version(identity: Identity, assistant_id: UUID, number: int, name: str) -> None:
    """Take the tag off the version; raises NotFound where it does not point there, Conflict (archived)."""
    assistant = changeable(identity, assistant_id)
    gone, _ = assistant.version_tags.filter(name=name, version=number).delete()
    if not gone:
        raise NotFound(f"Version {number} has no tag {name!r}.")
    record(identity, assistant, "untagged", tag=name, version=number)


# -- how -------------------------------------------------------------------------------------------------------------


def _change(
    identity: Identity,
    assistant_id: UUID,
    options: UpdateOptions,
    change: Callable[[Config], Any],
    if_match: str | None = None,
    *,
    always: bool = False,
) -> Assistant:
    """Let `change` make the new configuration from the current one; `always`: a version where it changes nothing."""

    def attempt(reachability: Reachability) -> Assistant:
        assistant = changeable(identity, assistant_id, options, if_match)
        current = current_config(assistant)
        config = stored(parse(AssistantConfig, change(current)))
        if always or not same(config, current):
            # A server that a change does not touch is not asked again: its outage would refuse any change.
            remember_servers(assistant, current, reachability)
            checks = run_checks(identity.workspace_id, config, reachability)
            if assistant.status == Status.ACTIVE and (faults := failures(checks)):
                raise Invalid(f"An active assistant must pass its checks: {faults[0].message}", errors=faults)
            make_current(identity, assistant, config, checks, note=options.change_note)
            paths = [found["path"] for found in changes(current, config)]
            told = {"changed": paths[:AUDITED_PATHS], "changes": len(paths)}
            record(identity, assistant, "updated", version=assistant.version, **told)
        # Read under the lock: the answer shows the version that this call made.
        return queries.assistant(identity, assistant_id)

    return carry_out(attempt)


def _serve(identity: Identity, assistant_id: UUID, source: Status, verb: str) -> Assistant:
    def attempt(reachability: Reachability) -> list[Check]:
        assistant = locked(identity, assistant_id)
        expect_status(assistant, {source}, verb)
        config = current_config(assistant)
        checks = run_checks(identity.workspace_id, config, reachability)
        if not failures(checks):
            assistant.status = Status.ACTIVE
            record(identity, assistant, verb, version=assistant.version)
        store(assistant, config, checks, now())
        return checks

    # The findings are kept also where they are bad ones, so the refusal comes after the transaction.
    refuse_failures("The assistant does not pass its checks", carry_out(attempt))
    return queries.assistant(identity, assistant_id)


@transaction.atomic
def _retire(identity: Identity, assistant_id: UUID, sources: Collection[Status]) -> Assistant:
    assistant = locked(identity, assistant_id)
    expect_status(assistant, sources, "archived")
    if assistant.status != Status.ARCHIVED:
        assistant.status, assistant.updated_at = Status.ARCHIVED, now()
        assistant.save(update_fields=["status", "updated_at"])
        record(identity, assistant, "archived", version=assistant.version)
    return queries.assistant(identity, assistant_id)
