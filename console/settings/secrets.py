"""`/console/settings/secrets`: values that assistants use by name. They are written here, and never shown."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods

from accounts import queries, services
from accounts.identity import Identity
from console.access import admin_page
from console.settings.forms import act_once, confirm, draw, page_of, rows_of
from core.errors import AlreadyExists, AppError
from core.ids import new_id
from core.pagination import BY_AGE, Listing, paginate

SECRETS = Listing({"created_at": BY_AGE}, "-created_at")


@require_GET
@admin_page
def index(request: HttpRequest, identity: Identity) -> HttpResponse:
    """Names, hosts, and when each was last set."""
    page = paginate(queries.secrets(identity), page_of(request, SECRETS), lambda secret: secret)
    return draw(request, identity, "secrets/index", rows_of(request, page))


@sensitive_post_parameters("value")
@require_http_methods(["GET", "HEAD", "POST"])
@admin_page
@sensitive_variables("value")
def put(request: HttpRequest, identity: Identity, name: str = "") -> HttpResponse:
    """Set a new secret, or replace the value and the hosts of the one named in the address."""
    kept = queries.get_secret(identity, name) if name else None
    typed = {
        "name": name or request.POST.get("name", "").strip(),
        "hosts": request.POST.get("hosts", " ".join(kept.hosts) if kept else ""),
    }
    context = {"kept": kept, "typed": typed}
    if request.method != "POST":
        return draw(request, identity, "secrets/put", context)
    value, hosts = request.POST.get("value", ""), typed["hosts"].replace(",", " ").split()
    try:
        act_once(request, identity, new_id(), lambda: _put(identity, typed["name"], value, hosts, is_new=not kept))
    except AppError as fault:
        return draw(request, identity, "secrets/put", context, fault=fault)
    messages.success(request, f"{typed['name']} is set. Runs that begin from now on use it.")
    return redirect("console:secrets")


@sensitive_variables("value")
def _put(identity: Identity, name: str, value: str, hosts: list[str], *, is_new: bool) -> None:
    if is_new and queries.secrets(identity).filter(name=name).exists():
        raise AlreadyExists(f"There is a secret {name} already; replace it from the list.")
    services.put_secret(identity, name, value, hosts)


@require_http_methods(["GET", "HEAD", "POST"])
@admin_page
def delete(request: HttpRequest, identity: Identity, name: str) -> HttpResponse:
    """Ask for the name, and then forget the secret."""
    if request.method == "POST" and not queries.secrets(identity).filter(name=name).exists():
        # The second click of two.
        return redirect("console:secrets")
    secret = queries.get_secret(identity, name)
    if request.method != "POST":
        return draw(request, identity, "secrets/delete", {"secret": secret})
    try:
        confirm(request, name)
        act_once(request, identity, secret.id, lambda: services.delete_secret(identity, name))
    except AppError as fault:
        return draw(request, identity, "secrets/delete", {"secret": secret}, fault=fault)
    messages.success(request, f"{name} is deleted.")
    return redirect("console:secrets")
