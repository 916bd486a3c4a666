"""`/console/settings/keys`: access for programs, given and taken away."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from accounts import queries, services
from accounts.api import API_KEYS
from accounts.bodies import DEFAULT_OVERLAP_S, MAX_OVERLAP_S, CreateApiKey, RotateApiKey
from accounts.identity import EVERYTHING, FAMILIES, Identity
from accounts.limits import NAMES
from accounts.models import ApiKey
from console.access import admin_page
from console.settings.forms import act_once, confirm, draw, page_of, rows_of
from core.clock import ClockTimestamp
from core.errors import AppError, Invalid
from core.ids import new_id
from core.pagination import paginate
from core.validation import validate

LIVES = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "a year", "": "no end"}
DEFAULT_LIFE = "90"
UNUSED_AFTER, SOON, LATELY = timedelta(days=30), timedelta(days=7), timedelta(days=1)
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Row:
    """A key as the list shows it."""

    key: ApiKey
    may: str
    limits: str
    ended: str
    warnings: list[str]
    successors: list[ApiKey]


@require_GET
@admin_page
def index(request: HttpRequest, identity: Identity) -> HttpResponse:
    """The keys that work, the newest first; `?show=ended` those that do not."""
    ended = request.GET.get("show") == "ended"
    over = Q(revoked_at__isnull=False) | Q(expires_at__lte=ClockTimestamp())
    keys = queries.api_keys(identity).filter(over if ended else ~over | Q(expires_at=None, revoked_at=None))
    rows = keys.select_related("rotated_from").prefetch_related("apikey_set").annotate(now=ClockTimestamp())
    page = paginate(rows, page_of(request, API_KEYS, "show"), _row)
    return draw(request, identity, "keys/index", {**rows_of(request, page), "ended": ended})


def _row(key: ApiKey) -> Row:
    now: datetime = vars(key)["now"]
    ended = "Revoked" if key.revoked_at else "Expired" if key.expires_at and key.expires_at <= now else ""
    limits = ", ".join(f"{name.replace('_', ' ')}: {key.limits[name]:,}" for name in NAMES if name in key.limits)
    return Row(
        key, in_words(key.scopes), limits, ended, [] if ended else _warnings(key, now), list(key.apikey_set.all())
    )


def _warnings(key: ApiKey, now: datetime) -> list[str]:
    found = []
    if key.last_used_at is None and key.created_at < now - UNUSED_AFTER:
        found.append(f"Never used in {(now - key.created_at).days} days")
    if key.expires_at is None:
        found.append("No expiry")
    elif key.expires_at < now + SOON:
        left = key.expires_at - now
        found.append(f"Expires in {left.days} d" if left.days else f"Expires in {left.seconds // HOUR_S} h")
    return found


def in_words(scopes: Collection[str]) -> str:
    """What a key may do: `write runs, read sessions`."""
    if EVERYTHING in scopes:
        return "everything"
    verbs = {verb: [family for family in FAMILIES if f"{family}:{verb}" in scopes] for verb in ("write", "read")}
    return "; ".join(f"{verb} {', '.join(families)}" for verb, families in verbs.items() if families)


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@admin_page
def create(request: HttpRequest, identity: Identity) -> HttpResponse:
    """A form for a new key; posting it shows the key, this once."""
    if request.method != "POST":
        return _form(request, identity, {"life": DEFAULT_LIFE})
    typed: dict[str, Any] = {
        "name": request.POST.get("name", "").strip(),
        "user_id": request.POST.get("user_id", "").strip(),
        "scopes": request.POST.getlist("scopes"),
        "life": request.POST.get("life", ""),
    }
    try:
        if not typed["scopes"]:
            raise Invalid.at("scopes", message="Tick what the key may do.")
        asked = {"name": typed["name"], "scopes": typed["scopes"], "user_id": typed["user_id"] or None}
        body = validate(CreateApiKey, {**asked, **_ends(typed["life"])})
        key_id = new_id()
        made = act_once(
            request,
            identity,
            key_id,
            lambda: services.grant_api_key(
                identity,
                body.name,
                body.scopes,
                key_id=key_id,
                user_id=body.user_id,
                expires_at=body.expires_at,
            ),
        )
    except AppError as fault:
        return _form(request, identity, typed, fault)
    return draw(request, identity, "keys/shown", {"made": made})


def _form(
    request: HttpRequest, identity: Identity, typed: dict[str, Any], fault: AppError | None = None
) -> HttpResponse:
    scopes = typed.get("scopes", [])
    families = [
        (family, [(f"{family}:{verb}", verb, f"{family}:{verb}" in scopes) for verb in ("read", "write")])
        for family in FAMILIES
    ]
    context = {"typed": typed, "families": families, "everything": EVERYTHING in scopes, "lives": LIVES.items()}
    return draw(request, identity, "keys/new", context, fault=fault)


def _ends(life: str) -> dict[str, Any]:
    if life not in LIVES:
        raise Invalid.at("expires_at", message="Choose when the key ends.")
    return {"expires_at": (timezone.now() + timedelta(days=int(life))).isoformat() if life else None}


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@admin_page
def rotate(request: HttpRequest, identity: Identity, key_id: UUID) -> HttpResponse:
    """Ask how long the old key goes on; posting that makes its successor and shows it, this once."""
    former = queries.get_api_key(identity, key_id)
    hours = request.POST.get("hours", f"{DEFAULT_OVERLAP_S / HOUR_S:.0f}").strip()
    context = {"key": former, "may": in_words(former.scopes), "hours": hours, "most": f"{MAX_OVERLAP_S / HOUR_S:.0f}"}
    if request.method != "POST":
        return draw(request, identity, "keys/rotate", context)
    try:
        if not (hours.isascii() and hours.isdigit() and len(hours) < 6 and int(hours) * HOUR_S <= MAX_OVERLAP_S):
            raise Invalid.at("hours", message=f"A whole number of hours, {context['most']} at most.")
        body, successor = validate(RotateApiKey, {"overlap_s": float(hours) * HOUR_S}), new_id()
        made = act_once(
            request,
            identity,
            successor,
            lambda: services.rotate_api_key(identity, key_id, overlap_s=body.overlap_s, key_id=successor),
        )
    except AppError as fault:
        return draw(request, identity, "keys/rotate", context, fault=fault)
    return draw(request, identity, "keys/shown", {"made": made, "former": queries.get_api_key(identity, key_id)})


@require_http_methods(["GET", "HEAD", "POST"])
@admin_page
def revoke(request: HttpRequest, identity: Identity, key_id: UUID) -> HttpResponse:
    """Ask, and then refuse the key from now on; of one that is in use the name is typed."""
    key = queries.get_api_key(identity, key_id)
    lately = queries.api_keys(identity).filter(revoked_at=None, last_used_at__gt=ClockTimestamp() - LATELY)
    in_use = lately.filter(id=key_id).exists()
    context = {"key": key, "in_use": in_use}
    if request.method != "POST":
        return draw(request, identity, "keys/revoke", context)
    try:
        if in_use:
            confirm(request, key.name)
    except AppError as fault:
        return draw(request, identity, "keys/revoke", context, fault=fault)
    act_once(request, identity, key_id, lambda: services.revoke_api_key(identity, key_id))
    messages.success(request, f"{key.name} ({key.prefix}…) is revoked. Requests with it are refused from now on.")
    return redirect("console:keys")
