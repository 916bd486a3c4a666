"""What runs by itself: a session, or a version of an assistant in a session that is opened for it."""

from typing import Protocol
from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import of_workspace
from assistants.models import Assistant, AssistantTag
from assistants.models import Status as AssistantStatus
from assistants.spec import run_defaults
from core.errors import AssistantNotActive, Invalid, NotFound
from sessions.queries import visible_sessions
from sessions.services import session_user


class Target(Protocol):
    """A row that says what runs: in a session, or, where it names none, in a new one."""

    assistant_id: UUID
    session_id: UUID | None
    user_id: str | None
    version: int | None
    tag: str | None


def require_active(identity: Identity, assistant_id: UUID) -> None:
    """Raises NotFound (a stranger's too) and AssistantNotActive."""
    assistant = of_workspace(identity, Assistant.objects.filter(id=assistant_id)).first()
    if assistant is None:
        raise NotFound("There is no such assistant.")
    if assistant.status != AssistantStatus.ACTIVE:
        raise AssistantNotActive(f"The assistant is {assistant.status}.")


def settle(identity: Identity, target: Target) -> None:
    """Check what runs, and set whose it is: the session's user, or the one whose sessions are opened.

    Raises Invalid (no such session, version or tag) and Forbidden (another user than the caller's).
    """
    if target.session_id is not None:
        # A sub-agent's runs come from the run that started it.
        sessions = visible_sessions(identity).filter(assistant_id=target.assistant_id, parent=None)
        session = sessions.filter(id=target.session_id).first()
        if session is None:
            raise Invalid.at("session_id", message="The assistant has no such session.")
        target.user_id = session.user_id
        return
    target.user_id = session_user(identity, target.user_id)
    if target.version is not None:
        try:
            run_defaults(target.assistant_id, target.version).run()
        except NotFound:
            raise Invalid.at("version", message=f"The assistant has no version {target.version}.") from None
    tags = AssistantTag.objects.filter(assistant_id=target.assistant_id, name=target.tag)
    if target.tag is not None and not tags.exists():
        raise Invalid.at("tag", message=f"The assistant has no tag {target.tag!r}.")
