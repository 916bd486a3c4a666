"""Reading triggers and their calls: inside a workspace, and for who is bound to a user, that user's only."""

from uuid import UUID

from django.db.models import QuerySet

from accounts.identity import Identity
from accounts.scoping import of_user
from core.errors import NotFound
from scheduling.models import Trigger, TriggerCall


def triggers(identity: Identity) -> QuerySet[Trigger]:
    """The triggers that the caller may see, without their secrets."""
    return of_user(identity, Trigger.objects.defer("sealed_secret", "previous_secret"))


def trigger(identity: Identity, trigger_id: UUID) -> Trigger:
    """One of them; raises NotFound, for a stranger's too."""
    return _found(triggers(identity).filter(id=trigger_id).first())


def locked_trigger(identity: Identity, trigger_id: UUID, *, for_key: bool = False) -> Trigger:
    """One of them, locked until the end of the caller's transaction; raises NotFound.

    `for_key`: also against its calls, for who deletes it.
    """
    return _found(triggers(identity).select_for_update(no_key=not for_key).filter(id=trigger_id).first())


def _found(trigger: Trigger | None) -> Trigger:
    if trigger is None:
        raise NotFound("There is no such trigger.")
    return trigger


def calls(identity: Identity, trigger_id: UUID) -> QuerySet[TriggerCall]:
    """Those who proved themselves to the trigger; raises NotFound."""
    trigger(identity, trigger_id)
    return TriggerCall.objects.filter(trigger_id=trigger_id)
