"""Scopes and roles."""

from uuid import uuid4

import pytest

from accounts.identity import FAMILIES, ROLE_SCOPES, SCOPES, Identity
from accounts.models import Role
from core.errors import Forbidden


def identity(*scopes: str) -> Identity:
    return Identity(uuid4(), frozenset(scopes), "key:test", user_id="u1", api_key_id=uuid4())


def test_write_includes_read() -> None:
    assert identity("runs:write").allows("runs:read")
    assert not identity("runs:read").allows("runs:write")
    assert not identity("runs:write").allows("sessions:read")


def test_a_star_is_everything() -> None:
    assert all(identity("*").allows(scope) for scope in SCOPES)


def test_what_is_not_held_is_forbidden() -> None:
    with pytest.raises(Forbidden, match="keys:write"):
        identity("keys:read").require("keys:write")


@pytest.mark.parametrize(
    ("role", "writes"),
    [
        (Role.MEMBER, {"sessions", "runs"}),
        (Role.EDITOR, {"sessions", "runs", "assistants", "schedules", "knowledge", "memory", "webhooks"}),
        (Role.OPERATOR, {"runs"}),
        (Role.ADMIN, set(FAMILIES)),
    ],
)
def test_a_role_reads_all_and_writes_its_own(role: Role, writes: set[str]) -> None:
    holder = identity(*ROLE_SCOPES[role])
    assert all(holder.allows(f"{family}:read") for family in FAMILIES)
    assert {family for family in FAMILIES if holder.allows(f"{family}:write")} == writes


def test_an_identity_survives_a_ticket() -> None:
    caller = identity("runs:write", "sessions:read")
    assert Identity.from_document(caller.document()) == caller
