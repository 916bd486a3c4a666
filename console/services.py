"""The one write that is the chat's own: everything else it does is a command of the session's websocket."""

from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.identity import Identity
from core.errors import NotFound, QuotaExceeded, RateLimited
from runs.bodies import CreateRun
from runs.doorbell import doorbell
from runs.queries import get_run_state
from runs.services import create_run
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
    opening = OpenSession(user_id=owner, title=title_of(message))
    try:
        with transaction.atomic():
            session = open_session(identity, assistant_id, opening).run()
            create_run(identity, session["id"], CreateRun(input={"message": message}), run_id).run()
    except IntegrityError:
        return _started(identity, run_id)
    except (RateLimited, QuotaExceeded) as refusal:
        # Of a form that was sent twice, the first may have been the last that the limit allowed.
        try:
            return _started(identity, run_id)
        except NotFound:
            raise refusal from None
    doorbell.ring()
    opened: UUID = session["id"]
    return opened


def _started(identity: Identity, run_id: UUID) -> UUID:
    started: UUID = get_run_state(identity, run_id).run()["session_id"]
    return started


def title_of(message: str) -> str:
    """What a conversation is called until it is renamed: how it begins."""
    text = " ".join(message.split())
    return text if len(text) <= TITLE_LENGTH else text[: TITLE_LENGTH - 1].rstrip() + "…"
