"""The answers, as `/openapi.json` describes them."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field


class ApiKeyDocument(BaseModel):
    """A key as it may be shown."""

    id: UUID
    name: str
    prefix: str = Field(description="The key's first 12 characters.")
    scopes: list[str]
    user_id: str | None = Field(description="The end user that the key is bound to.")
    limits: dict[str, int] = Field(description="What the key may take at most, by the names of limits.")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewApiKeyDocument(ApiKeyDocument):
    """A key in the answer that makes it."""

    key: str | None = Field(description="Shown here and never again: null where the request is a repeated one.")


class WsTicketDocument(BaseModel):
    """A credential that works once, for one websocket."""

    ticket: str
    expires_at: datetime
