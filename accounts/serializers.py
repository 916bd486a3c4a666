"""The answers, as `/openapi.json` describes them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from accounts.models import Role


class ApiKeyDocument(BaseModel):
    """A key as it may be shown."""

    id: UUID
    name: str
    prefix: str = Field(description="The key's first 12 characters.")
    scopes: list[str]
    user_id: str | None = Field(description="The end user that the key is bound to.")
    limits: dict[str, int] = Field(description="What the key may take at most, by the names of limits.")
    rotated_from: UUID | None = Field(description="The key whose place it takes.")
    created_by: str | None = Field(description="`key:<name>`, `user:<username>` or `command:<name>`.")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewApiKeyDocument(ApiKeyDocument):
    """A key in the answer that makes it."""

    key: str | None = Field(description="Shown here and never again: null where the request is a repeated one.")


class MemberDocument(BaseModel):
    """A person's place in the workspace."""

    id: UUID
    username: str
    email: str | None
    role: Role
    pending: bool = Field(description="Invited, and without a password so far.")
    created_by: str | None
    created_at: datetime


class NewMemberDocument(MemberDocument):
    """A member in the answer that adds them."""

    invitation: str | None = Field(
        description="The path of a page where a new person chooses their password: shown here and never again, null "
        "for a person who is known already, and where the request is a repeated one."
    )


class InvitationDocument(BaseModel):
    """A link for a person who has no password yet."""

    invitation: str = Field(description="Works once, for 7 days; earlier ones end.")


class WorkspaceDocument(BaseModel):
    """A tenant."""

    id: UUID
    name: str
    slug: str


class MyWorkspaceDocument(WorkspaceDocument):
    """A workspace that the caller may act in."""

    role: Role | None = Field(description="The person's; null for keys, and where a superuser is no member.")
    current: bool = Field(description="Whether this request acts in it.")


class MeDocument(BaseModel):
    """Who asks, and what they may do."""

    workspace: WorkspaceDocument
    actor: str = Field(description="`key:<name>` or `user:<username>`.")
    user_id: str | None = Field(description="The end user that the caller is bound to.")
    role: Role | None = Field(description="The person's; null for keys.")
    scopes: list[str]
    expires_at: datetime | None = Field(description="When the key ends.")


class AuditEntryDocument(BaseModel):
    """One act."""

    id: UUID
    action: str = Field(description="`created`, `updated`, `revoked`, `cancelled`, `signed_in`, ...")
    actor: str = Field(description="`key:<name>`, `user:<username>`, `command:<name>` or `anonymous`.")
    actor_id: UUID | None = Field(description="The key's or the person's id.")
    subject_type: str = Field(description="`assistant`, `session`, `run`, `api_key`, `membership`, `user`, ...")
    subject_id: UUID
    details: dict[str, Any] = Field(description="What else there is to tell, by the action.")
    created_at: datetime


class SecretDocument(BaseModel):
    """A secret as it may be shown."""

    name: str
    hosts: list[str] = Field(description="It is sent to these only.")
    created_by: str
    created_at: datetime
    updated_at: datetime


class WsTicketDocument(BaseModel):
    """A credential that works once, for one websocket."""

    ticket: str
    expires_at: datetime
