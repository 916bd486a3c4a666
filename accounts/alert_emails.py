"""Who of a workspace is told of its alerts by e-mail."""

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from accounts import audit
from accounts.identity import Identity
from accounts.models import Workspace
from core.errors import Invalid

MOST_ADDRESSES = 20


def set_alert_emails(identity: Identity, addresses: Sequence[str]) -> None:
    """Set whom alerts of the caller's workspace are mailed to, with an entry in its audit trail.

    Of an address that is there twice one stays. Raises `Invalid`.
    """
    first: dict[str, str] = {}
    for address in addresses:
        first.setdefault(address.lower(), address)
    wanted = list(first.values())
    if len(wanted) > MOST_ADDRESSES:
        raise Invalid.at("alert_emails", message=f"Alerts are mailed to {MOST_ADDRESSES} addresses at most.")
    for address in wanted:
        try:
            validate_email(address)
        except ValidationError:
            raise Invalid.at("alert_emails", message=f"{address[:100]!r} is not an e-mail address.") from None
    with transaction.atomic():
        workspace = Workspace.objects.select_for_update(no_key=True).get(id=identity.workspace_id)
        if workspace.alert_emails == wanted:
            return
        Workspace.objects.filter(id=workspace.id).update(alert_emails=wanted)
        audit.record(
            identity, "alerts_addressed", "workspace", workspace.id, before=workspace.alert_emails, alert_emails=wanted
        )
