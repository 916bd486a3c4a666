"""The pages where an admin manages who gets in: keys, members, secrets, and the audit trail."""
