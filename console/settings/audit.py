"""`/console/settings/audit`: who did what, and when."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from accounts import audit
from accounts.identity import Identity
from accounts.members_api import AUDIT
from accounts.models import AuditEntry
from console.access import admin_page
from console.settings.forms import draw, page_of, rows_of
from core.admin import facts, spoken
from core.pagination import paginate

FILTERS = tuple(AUDIT.filters)


@require_GET
@admin_page
def index(request: HttpRequest, identity: Identity) -> HttpResponse:
    """The trail, the newest first; filters and the page's cursor stand in the address."""
    page = paginate(audit.entries(identity), page_of(request, AUDIT), _row)
    chosen = {name: request.GET.get(name, "") for name in FILTERS}
    context = {
        **rows_of(request, page),
        "chosen": chosen,
        "is_filtered": any(chosen.values()),
        "total": page["total"],
        "total_exact": page["total_exact"],
    }
    return draw(request, identity, "audit/index", context)


def _row(entry: AuditEntry) -> dict[str, object]:
    kind, _, name = entry.actor.partition(":")
    details = facts({key: value for key, value in entry.details.items() if value is not None})
    return {
        "entry": entry,
        "kind": kind if name else "",
        "name": name or entry.actor,
        "action": spoken(entry.action),
        "subject": spoken(entry.subject_type),
        "details": [(spoken(key), text) for key, text in details],
    }
