"""The one write that is the chat's own: everything else it does is a command of the session's websocket."""

from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.identity import Identity
from core.errors import NotFound, QuotaExceeded, RateLimited
from core.ids import new_id
from runs.accepting import create_run
from runs.bodies import CreateRun
from runs.doorbell import doorbell
from runs.queries import get_run_state
from sessions.bodies import OpenSession
from sessions.services import open_session

TITLE_LENGTH = 60


def start_conversation(identity: Identity, owner: str, assistant_id: UUID, message: str, run_id: UUID) -> UUID:
    """Open a session of `owner` and accept its first message as a run, both or neither; gives the session's id.

    `run_id` was made when the form was drawn: sending the form twice starts one conversation.
    Raises Forbidden, NotFound, AssistantNotActive, Invalid, RateLimited, QuotaExceeded.
    """
    identity.require("sessions:write")
    identity.require("runs:write")
    try:
        opened = _start(identity, owner, assistant_id, message, run_id)
    except IntegrityError:
        try:
            return _started(identity, run_id)
        except NotFound:
            # Somebody else's run has this id, and that it has is not told.
            opened = _start(identity, owner, assistant_id, message, new_id())
    except (RateLimited, QuotaExceeded) as refusal:
        # Of a form that was sent twice, the first may have been the last that the limit allowed.
        try:
            return _started(identity, run_id)
        except NotFound:
            raise refusal from None
    doorbell.ring()
    return opened


@transaction.atomic
def _start(identity: Identity, owner: str, assistant_id: UUID, message: str, run_id: UUID) -> UUID:
    session = open_session(identity, assistant_id, OpenSession(user_id=owner, title=title_of(message))).run()
    create_run(identity, session["id"], CreateRun(input={"message": message}), run_id).run()
    opened: UUID = session["id"]
    return opened


def _started(identity: Identity, run_id: UUID) -> UUID:
    started: UUID = get_run_state(identity, run_id).run()["session_id"]
    return started


def title_of(message: str) -> str:
    """What a conversation is called until it is renamed: how it begins."""
    text = " ".join(message.split())
    return text if len(text) <= TITLE_LENGTH else text[: TITLE_LENGTH - 1].rstrip() + "…"
