"""Workspaces, people, keys, secrets and the audit trail for operators."""

from accounts.admin.audit import AuditEntryAdmin
from accounts.admin.keys import ApiKeyAdmin, SecretAdmin
from accounts.admin.people import GroupAdmin, MembershipAdmin, UserAdmin, WorkspaceAdmin

__all__ = [
    "ApiKeyAdmin",
    "AuditEntryAdmin",
    "GroupAdmin",
    "MembershipAdmin",
    "SecretAdmin",
    "UserAdmin",
    "WorkspaceAdmin",
]
