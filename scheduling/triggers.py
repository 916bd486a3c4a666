"""Every write to triggers that somebody asks for; their calls are in `trigger_calls`."""

import secrets
from uuid import UUID

from django.db import transaction

from accounts import audit
from accounts.bounds import refuse_one_too_many
from accounts.identity import Identity
from accounts.scoping import of_workspace
from core.clock import ClockTimestamp
from core.errors import Invalid
from scheduling import targets, trigger_queries, trigger_secrets
from scheduling.models import Trigger
from scheduling.trigger_bodies import GITHUB_HEADER, ChangeTrigger, CreateTrigger, RotateTrigger, check_secret
from webhooks.signing import new_secret

PREFIX = "trg_"
MOST_TRIGGERS = 1_000
# With a change of these a call might not find what it is to run.
_TARGET = {"session_id", *targets.OF_SESSION}


@transaction.atomic
def create_trigger(
    identity: Identity, assistant_id: UUID, body: CreateTrigger, trigger_id: UUID
) -> tuple[Trigger, str]:
    """A new trigger of an active assistant, and its secret, which no other answer shows.

    Raises NotFound, Forbidden (who may not make runs, or another user than the caller's), AssistantNotActive,
    SessionClosed, Conflict (as many as a workspace may have), Invalid.
    """
    identity.require("runs:write")
    targets.require_active(identity, assistant_id)
    found = of_workspace(identity, Trigger.objects.all())
    refuse_one_too_many(identity, found, MOST_TRIGGERS, f"A workspace has at most {MOST_TRIGGERS} triggers.")
    secret = body.secret or new_secret()
    trigger = Trigger(
        id=trigger_id,
        workspace_id=identity.workspace_id,
        assistant_id=assistant_id,
        token=PREFIX + secrets.token_urlsafe(24),
        sealed_secret=trigger_secrets.seal(identity.workspace_id, trigger_id, secret),
        created_by=identity.actor,
        **body.model_dump(exclude={"secret", "signature_header"}),
    )
    trigger.signature_header = body.signature_header or GITHUB_HEADER
    targets.settle(identity, trigger)
    trigger.save(force_insert=True)
    audit.record(identity, "created", "trigger", trigger_id, name=trigger.name, assistant_id=str(assistant_id))
    return trigger_queries.trigger(identity, trigger_id), secret


@transaction.atomic
def change_trigger(identity: Identity, trigger_id: UUID, body: ChangeTrigger) -> Trigger:
    """Change what is given; the next call goes by it. Raises NotFound, Forbidden, SessionClosed, Invalid."""
    identity.require("runs:write")
    trigger = trigger_queries.locked_trigger(identity, trigger_id)
    given = {name: getattr(body, name) for name in body.model_fields_set}
    before = {name: getattr(trigger, name) for name in given.keys() | _TARGET}
    targets.take_over(trigger, given)
    if given.keys() & _TARGET:
        targets.settle(identity, trigger)
    changed = {name: value for name in before if (value := getattr(trigger, name)) != before[name]}
    if changed:
        Trigger.objects.filter(id=trigger_id).update(**changed, updated_at=ClockTimestamp())
        audit.record(identity, "updated", "trigger", trigger_id, name=trigger.name, changed=sorted(changed))
    return trigger_queries.trigger(identity, trigger_id)


@transaction.atomic
def delete_trigger(identity: Identity, trigger_id: UUID) -> None:
    """Forget the trigger and its calls; its runs stay, and those under way go on. Raises NotFound."""
    trigger = trigger_queries.locked_trigger(identity, trigger_id, for_key=True)
    # PostgreSQL takes its calls along.
    Trigger.objects.filter(id=trigger_id).delete()
    audit.record(identity, "deleted", "trigger", trigger_id, name=trigger.name)


@transaction.atomic
def rotate_trigger(identity: Identity, trigger_id: UUID, body: RotateTrigger) -> tuple[Trigger, str]:
    """Another secret; the one before is taken beside it for `overlap_s` seconds more, and one before that no longer.

    Raises NotFound, and Invalid for a secret that is none.
    """
    trigger, secret = trigger_queries.locked_trigger(identity, trigger_id), body.secret or new_secret()
    try:
        check_secret(trigger.verification, secret)
    except ValueError as fault:
        raise Invalid.at("secret", message=str(fault)) from None
    trigger_secrets.replace_secret(trigger.workspace_id, trigger_id, secret, body.overlap_s)
    audit.record(identity, "rotated", "trigger", trigger_id, name=trigger.name, overlap_s=body.overlap_s)
    return trigger_queries.trigger(identity, trigger_id), secret
