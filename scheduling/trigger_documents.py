"""The JSON shapes of triggers and their calls."""

from typing import Any

from core.documents import moment, text
from core.mount import address
from scheduling.models import Trigger, TriggerCall, Verification


def trigger_document(trigger: Trigger) -> dict[str, Any]:
    """A trigger as it may be shown: never its secret."""
    is_plain = trigger.verification == Verification.SHA256
    return {
        "id": str(trigger.id),
        "assistant_id": str(trigger.assistant_id),
        "name": trigger.name,
        "token": trigger.token,
        "path": address(f"/triggers/{trigger.token}"),
        "verification": trigger.verification,
        "signature_header": trigger.signature_header if is_plain else None,
        "session_id": text(trigger.session_id),
        "user_id": trigger.user_id,
        "version": trigger.version,
        "tag": trigger.tag,
        "enabled": trigger.enabled,
        "metadata": trigger.metadata,
        "last_called_at": moment(trigger.last_called_at),
        "previous_secret_until": moment(trigger.previous_until),
        "created_by": trigger.created_by,
        "created_at": moment(trigger.created_at),
        "updated_at": moment(trigger.updated_at),
    }


def call_document(call: TriggerCall) -> dict[str, Any]:
    """A call of `trigger_queries.calls`."""
    return {
        "id": str(call.id),
        "delivery_id": call.delivery_id,
        "outcome": call.outcome,
        "reason": call.reason or None,
        "run_id": text(call.run_id),
        "created_at": moment(call.created_at),
    }
