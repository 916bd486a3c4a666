"""What runs by itself: a session, or a version of an assistant in a session that is opened for it."""

from typing import Any, Protocol
from uuid import UUID

from django.db.models import Q

from accounts.identity import Identity
from accounts.scoping import of_workspace
from assistants.models import Assistant, AssistantTag
from assistants.models import Status as AssistantStatus
from assistants.spec import run_defaults
from core.clock import ClockTimestamp
from core.errors import AssistantNotActive, Invalid, NotFound, SessionClosed
from core.validation import bounded
from sessions.models import Session
from sessions.models import Status as SessionStatus
from sessions.queries import visible_sessions
from sessions.services import session_user

# What is decided where a session is opened: one that is there has it.
OF_SESSION = ("version", "tag", "user_id")


class Target(Protocol):
    """A row, or a body, that says what runs: in a session, or, where it names none, in a new one."""

    session_id: UUID | None
    user_id: str | None
    version: int | None
    tag: str | None
    metadata: dict[str, Any]


class TargetOf(Target, Protocol):
    """A row that says so of an assistant."""

    assistant_id: UUID

    @property
    def takes_any_session(self) -> bool:
        """Whether a session of another assistant becomes this one's with its next run."""


def refuse_two_targets(body: Target) -> None:
    """Raise `ValueError` for a version together with a tag, and for a session with what that has."""
    if body.version is not None and body.tag is not None:
        raise ValueError("give version or tag, not both")
    if body.session_id is not None and any(getattr(body, name) is not None for name in OF_SESSION):
        raise ValueError("version, tag and user_id are the session's")


def require_active(identity: Identity, assistant_id: UUID) -> None:
    """Raises NotFound (a stranger's too) and AssistantNotActive."""
    assistant = of_workspace(identity, Assistant.objects.filter(id=assistant_id)).first()
    if assistant is None:
        raise NotFound("There is no such assistant.")
    if assistant.status != AssistantStatus.ACTIVE:
        raise AssistantNotActive(f"The assistant is {assistant.status}.")


def take_over(target: Target, given: dict[str, Any]) -> None:
    """Set all that is given, and what follows from it: one target. Metadata is merged with what is there.

    Raises Invalid for what the target's session has, and for too much metadata.
    """
    if given.get("session_id") is not None:
        target.version = target.tag = None
    elif target.session_id is not None and "session_id" not in given:
        for name in OF_SESSION:
            if given.get(name) is not None:
                raise Invalid.at(name, message="It is the session's.")
    if given.get("version") is not None:
        target.tag = None
    if given.get("tag") is not None:
        target.version = None
    merged = _bounded({**target.metadata, **given.get("metadata", {})})
    for name, value in {**given, "metadata": merged}.items():
        setattr(target, name, value)


def _bounded(metadata: dict[str, Any]) -> dict[str, Any]:
    try:
        return bounded(metadata)
    except ValueError as fault:
        raise Invalid.at("metadata", message=f"Together with what is there it {fault}.") from None


def settle(identity: Identity, target: TargetOf) -> int:
    """Check what runs, and set whose it is: the session's user, or the one whose sessions are opened.

    Gives the number of the version that would run now. Raises Invalid (no such session, version or tag), SessionClosed,
    and Forbidden (another user than the caller's).
    """
    if target.session_id is not None:
        session = _session(identity, target, target.session_id)
        target.user_id = session.user_id
        if target.takes_any_session:
            return _current_version(target.assistant_id)
        assert session.assistant_version is not None, "It is found by its assistant."
        return session.assistant_version
    target.user_id = session_user(identity, target.user_id)
    if target.version is not None:
        try:
            run_defaults(target.assistant_id, target.version).run()
        except NotFound:
            raise Invalid.at("version", message=f"The assistant has no version {target.version}.") from None
        return target.version
    if target.tag is None:
        return _current_version(target.assistant_id)
    tags = AssistantTag.objects.filter(assistant_id=target.assistant_id, name=target.tag)
    tagged = tags.values_list("version", flat=True).first()
    if tagged is None:
        raise Invalid.at("tag", message=f"The assistant has no tag {target.tag!r}.")
    return tagged


def _current_version(assistant_id: UUID) -> int:
    return Assistant.objects.values_list("version", flat=True).get(id=assistant_id)


def _session(identity: Identity, target: TargetOf, session_id: UUID) -> Session:
    # A sub-agent's runs come from the run that started it.
    sessions = visible_sessions(identity).filter(id=session_id, parent=None)
    if not target.takes_any_session:
        sessions = sessions.filter(assistant_id=target.assistant_id)
    open_still = Q(status=SessionStatus.ACTIVE) & (Q(expires_at=None) | Q(expires_at__gt=ClockTimestamp()))
    session = sessions.annotate(takes_runs=open_still).first()
    if session is None:
        raise Invalid.at("session_id", message="The assistant has no such session.")
    if not session.takes_runs:
        raise SessionClosed
    return session
