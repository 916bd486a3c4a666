"""Who asks, and what they may do."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from accounts.limits import Holder, Limits, holder_document, holder_from
from accounts.models import Role
from core.errors import Forbidden

FAMILIES = ("assistants", "sessions", "runs", "schedules", "knowledge", "memory", "webhooks", "keys")
EVERYTHING = "*"
SCOPES = frozenset({EVERYTHING, *(f"{family}:{verb}" for family in FAMILIES for verb in ("read", "write"))})

_READ_ALL = frozenset(f"{family}:read" for family in FAMILIES)
_MEMBER = _READ_ALL | {"sessions:write", "runs:write"}
ROLE_SCOPES = {
    Role.MEMBER: _MEMBER,
    Role.EDITOR: _MEMBER | {"assistants:write", "schedules:write", "knowledge:write", "memory:write", "webhooks:write"},
    Role.OPERATOR: _READ_ALL | {"runs:write"},
    Role.ADMIN: frozenset({EVERYTHING}),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller of one request: a key or a login, always inside one workspace.

    `actor` ("key:<name>", "user:<username>") is what `created_by` shows. `user_id` is the end user that a key
    is bound to, or a member's own name: such a caller sees that user's sessions only. `limits` are those of the key and
    of the workspace, where they have any.
    """

    workspace_id: UUID
    scopes: frozenset[str]
    actor: str
    user_id: str | None = None
    api_key_id: UUID | None = None
    login_id: UUID | None = None
    # Of the session that a login's cookie names, to see when that has ended.
    login_key: str | None = field(default=None, repr=False)
    limits: tuple[Holder, ...] = ()
    # In Unix seconds, where somebody else vouches for the caller and has said until when.
    expires_at: float | None = None
    # Who asks as a LangGraph deployment's own authentication tells it: its `Auth` handlers and its graphs see this.
    user: dict[str, Any] | None = field(default=None, repr=False, hash=False)

    @property
    def actor_id(self) -> UUID | None:
        """The key or the person behind the name `actor`, which others may share."""
        return self.api_key_id or self.login_id

    def allows(self, scope: str) -> bool:
        """Whether `scope` ("runs:read") is held; a family's write includes its read."""
        if scope in self.scopes or EVERYTHING in self.scopes:
            return True
        family, _, verb = scope.partition(":")
        return verb == "read" and f"{family}:write" in self.scopes

    def require(self, scope: str) -> None:
        """Raise `Forbidden` unless `scope` is held."""
        if not self.allows(scope):
            raise Forbidden(f"This needs the scope {scope}.")

    def require_unbound(self, refused: str) -> None:
        """Raise `Forbidden` for a caller who is bound to a user, where something concerns the whole workspace.

        `refused` says what such a caller does not, as the sentence ends: "no secrets", "manages no members".
        """
        if self.user_id is not None:
            raise Forbidden(f"Who is bound to a user sees that user's part only, and {refused}.")

    def hands_on(self, scopes: Iterable[str]) -> None:
        """Raise `Forbidden` unless all of these scopes are held, so that a key or a role may be given them."""
        for scope in sorted(SCOPES & set(scopes)):
            if not (EVERYTHING in self.scopes if scope == EVERYTHING else self.allows(scope)):
                raise Forbidden(f"You do not hold the scope {scope} yourself.")

    def hands_on_limits(self, limits: Limits) -> None:
        """Raise `Forbidden` unless these are within those of the caller's key, so that a key may be given them."""
        for holder in self.limits:
            if holder.kind == "key" and (name := limits.beyond(holder.limits)):
                bound = holder.limits.document()[name]
                raise Forbidden(f"Your key's limit of {name} is {bound}; keys that it makes must have one within it.")

    def document(self) -> dict[str, Any]:
        """As JSON, for a ticket that stands for this caller for some seconds."""
        ids = {"api_key_id": self.api_key_id, "login_id": self.login_id}
        return {
            "workspace_id": str(self.workspace_id),
            "scopes": sorted(self.scopes),
            "actor": self.actor,
            "user_id": self.user_id,
            "login_key": self.login_key,
            "expires_at": self.expires_at,
            "user": self.user,
            "limits": [holder_document(holder) for holder in self.limits],
            **{name: str(value) if value else None for name, value in ids.items()},
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Identity":
        """What `document` made."""
        ids = {name: UUID(document[name]) if document[name] else None for name in ("api_key_id", "login_id")}
        return cls(
            workspace_id=UUID(document["workspace_id"]),
            scopes=frozenset(document["scopes"]),
            actor=document["actor"],
            user_id=document["user_id"],
            login_key=document.get("login_key"),
            expires_at=document.get("expires_at"),
            user=document.get("user"),
            limits=tuple(holder_from(holder) for holder in document.get("limits", ())),
            **ids,
        )
