"""Calls of triggers: who proves that it holds the secret starts a run from what it posts.

A delivery starts one run, however often it is sent. One that was refused may be sent again. Locks: the assistant, whose
deletion takes its triggers along, then the trigger, then what accepting a run takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import transaction

from accounts.identity import Identity
from accounts.limits import holders
from accounts.rates import count_request
from assistants.spec import run_defaults
from core.counting import one_more_wrong
from core.db import Operation, Query, Row, operation
from core.errors import AppError, Invalid, RateLimited, Unauthenticated, UnsupportedMediaType
from core.ids import new_id
from core.strict_json import media_type, parse_json
from core.validation import validate
from runs.accepting import accept
from runs.announce import announce_accepted_after_commit
from runs.bodies import CreateRun
from runs.inputs import MessageInput
from scheduling import trigger_secrets
from scheduling.models import Verification
from scheduling.proofs import Delivery, proven
from sessions.bodies import OpenSession
from sessions.queries import get_session
from sessions.services import open_session
from webhooks.signing import new_secret

# How long a body that has no delivery id stands for one delivery.
BODY_HOURS = 24
REFUSED = "No trigger has this address, or the signature is not right."
# What an unknown trigger's calls are compared with, so that they take as long.
_NOBODYS = new_secret()

_TRIGGER = """
SELECT t.*, w.limits, CASE WHEN t.previous_until > clock_timestamp() THEN t.previous_secret END AS former_secret
FROM triggers t JOIN workspaces w ON w.id = t.workspace_id WHERE t.token = %(token)s AND t.enabled
"""

_LOCK = """
SELECT t.id FROM triggers t JOIN assistants a ON a.id = t.assistant_id
WHERE t.id = %(trigger)s AND t.enabled FOR KEY SHARE OF a, t
"""

# What failed is tried anew; so is a body that comes again after a day.
_CLAIM = """
INSERT INTO trigger_calls AS c (id, trigger_id, delivery_id, outcome, reason, run_id)
VALUES (%(id)s, %(trigger)s, %(delivery)s, %(outcome)s, left(%(reason)s, 1000), %(run)s::uuid)
ON CONFLICT (trigger_id, delivery_id) DO UPDATE
    SET id = excluded.id, outcome = excluded.outcome, reason = excluded.reason, run_id = excluded.run_id,
        created_at = clock_timestamp()
    WHERE c.outcome = 'failed'
        OR (%(of_body)s AND c.created_at < clock_timestamp() - make_interval(hours => %(hours)s))
RETURNING c.id
"""

_EARLIER = """
SELECT c.run_id, r.session_id, r.status FROM trigger_calls c LEFT JOIN runs r ON r.id = c.run_id
WHERE c.trigger_id = %(trigger)s AND c.delivery_id = %(delivery)s
"""


@dataclass(frozen=True, slots=True)
class Started:
    """The run of a call; `replayed`: an earlier call of the same delivery started it."""

    run_id: UUID
    session_id: UUID | None
    status: str | None
    replayed: bool

    def document(self) -> dict[str, Any]:
        """As the sender is answered."""
        return {"run_id": self.run_id, "session_id": self.session_id, "status": self.status}


def call(token: str, headers: Mapping[str, str], body: bytes, address: str) -> Started:
    """Start a run from what was posted, once for each delivery.

    `headers` are found by their names in lower case; `address` is where the call came from. Raises Unauthenticated for
    an unknown or disabled trigger and for a wrong signature alike, RateLimited after too many of those, and for others
    what creating the run does: that is kept in the log of the trigger's calls.
    """
    trigger = _trigger(token).run()
    delivery = _delivery(trigger, headers, body)
    if trigger is None or delivery is None:
        # Nobody guesses a secret: the bound is on what wrong ones cost. Who holds it is not concerned.
        if wait_s := one_more_wrong(address):
            raise RateLimited("Too many wrong signatures came from this address.", retry_after=wait_s)
        raise Unauthenticated(REFUSED)
    try:
        payload = _payload(headers, body)
        identity = _identity(trigger)
        count_request(identity)
        with transaction.atomic():
            started = _start(identity, trigger, delivery, payload).run()
    except AppError as refused:
        _keep(trigger["id"], delivery, refused.detail).run()
        raise
    return started


@operation()
def enabled_trigger(token: str) -> Operation[None]:
    """Raises Unauthenticated, as a call of it would, where no enabled trigger has this token."""
    if not (yield Query(_TRIGGER, {"token": token})):
        raise Unauthenticated(REFUSED)


@operation()
def _trigger(token: str) -> Operation[Row | None]:
    rows = yield Query(_TRIGGER, {"token": token})
    return rows[0] if rows else None


def _delivery(trigger: Row | None, headers: Mapping[str, str], body: bytes) -> Delivery | None:
    if trigger is None:
        proven(Verification.STANDARD, "", [_NOBODYS], headers, body)
        return None
    held = trigger_secrets.secrets_of(
        trigger["workspace_id"], trigger["id"], trigger["sealed_secret"], trigger["former_secret"]
    )
    return proven(trigger["verification"], trigger["signature_header"], held, headers, body)


def _payload(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The object that was posted; raises as for any body of ours."""
    if media_type(headers.get("content-type", "")) != "application/json":
        raise UnsupportedMediaType
    payload = parse_json(body)
    if not isinstance(payload, dict):
        raise Invalid("The body must be a JSON object.")
    return payload


def _identity(trigger: Row) -> Identity:
    return Identity(
        trigger["workspace_id"],
        frozenset({"runs:write", "sessions:write"}),
        f"trigger:{trigger['name']}",
        user_id=trigger["user_id"],
        limits=holders(trigger["workspace_id"], trigger["limits"], settings.WORKSPACE_LIMITS),
    )


@operation(atomic=True)
def _start(identity: Identity, trigger: Row, delivery: Delivery, payload: dict[str, Any]) -> Operation[Started]:
    if not (yield Query(_LOCK, {"trigger": trigger["id"]})):
        raise Unauthenticated(REFUSED)
    run_id = new_id()
    if not (yield from _claim(trigger["id"], delivery, "started", "", run_id)):
        (earlier,) = yield Query(_EARLIER, {"trigger": trigger["id"], "delivery": delivery.id})
        return Started(earlier["run_id"], earlier["session_id"], earlier["status"], replayed=True)
    session = yield from _session(identity, trigger)
    defaults = yield from run_defaults(session["assistant_id"], session["assistant_version"]).start()
    body = CreateRun(input=_input(payload, defaults.input_schema), metadata=trigger["metadata"])
    run = yield from accept(identity, session["id"], body, run_id)
    yield Query(
        "UPDATE triggers SET last_called_at = clock_timestamp() WHERE id = %(trigger)s", {"trigger": trigger["id"]}
    )
    announce_accepted_after_commit(run)
    return Started(run_id, run["session_id"], run["status"], replayed=False)


def _session(identity: Identity, trigger: Row) -> Operation[Row]:
    if trigger["session_id"] is not None:
        return (yield from get_session(identity, trigger["session_id"]).start())
    choice = OpenSession(version=trigger["version"], tag=trigger["tag"], user_id=trigger["user_id"])
    return (yield from open_session(identity, trigger["assistant_id"], choice).start())


def _input(payload: dict[str, Any], schema: dict[str, Any] | None) -> dict[str, Any]:
    """What the run takes: the payload where that is an input, else a message that has it as JSON text."""
    if schema is not None:
        return payload
    try:
        validate(MessageInput, payload)
    except Invalid:
        return {"message": orjson.dumps(payload).decode()}
    return payload


def _claim(trigger_id: UUID, delivery: Delivery, outcome: str, reason: str, run_id: UUID | None) -> Operation[bool]:
    """Write down what became of the delivery; gives whether it may become that."""
    values = {"trigger": trigger_id, "delivery": delivery.id, "of_body": delivery.of_body, "hours": BODY_HOURS}
    return bool((yield Query(_CLAIM, {"id": new_id(), "outcome": outcome, "reason": reason, "run": run_id, **values})))


@operation()
def _keep(trigger_id: UUID, delivery: Delivery, reason: str) -> Operation[None]:
    """Keep that the call was refused, unless the delivery has started a run before or the trigger is gone."""
    if (yield Query("SELECT id FROM triggers WHERE id = %(trigger)s", {"trigger": trigger_id})):
        yield from _claim(trigger_id, delivery, "failed", reason, None)
