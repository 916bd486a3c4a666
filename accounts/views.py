"""The pages where people sign in and out. They work without JavaScript."""

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts import audit, members, queries
from accounts.authentication import WORKSPACE_CHOICE
from accounts.members import MAX_PASSWORD
from accounts.models import TicketPurpose, User
from accounts.services import Redeemed, redeem_ticket
from accounts.throttle import try_to_get_in, was_right
from core.errors import Invalid, RateLimited, Unauthenticated

WRONG = "This name and password do not match."
_CSP = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; frame-ancestors 'none'"


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest) -> HttpResponseBase:
    """`/login`: name and password."""
    target = _target(request, request.POST.get("next") or request.GET.get("next"))
    if request.method == "GET":
        if request.user.is_authenticated:
            return redirect(target)
        return _page(request, "login", {"next": target})
    name, password = request.POST.get("username", ""), request.POST.get("password", "")
    address = request.META.get("REMOTE_ADDR", "")
    if wait_s := try_to_get_in(address, name):
        return _refuse(request, target, name, f"Too many tries. Try again in {wait_s} s.", wait_s)
    # Django hashes for an unknown name too, so that the time it takes tells nothing.
    user = authenticate(request, username=name[:150], password=password) if len(password) <= MAX_PASSWORD else None
    if user is None:
        _record_refusal(name[:150], address)
        return _refuse(request, target, name, WRONG)
    was_right(address, name)
    _enter(request, user, "password")
    return redirect(target)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponseBase:
    """`/logout`."""
    with transaction.atomic():
        if isinstance(request.user, User):
            audit.record_of_person(request.user, "signed_out")
        logout(request)
    return redirect(settings.LOGIN_URL)


@never_cache
@require_http_methods(["GET", "POST"])
def sign_in_by_link(request: HttpRequest, token: str) -> HttpResponseBase:
    """`/sign-in/<token>`: the link that `serve` prints. It is used up by the button, so that a preview does not."""
    if request.method == "GET":
        return _page(request, "sign_in_link", {"next": _target(request, request.GET.get("next"))})
    address = _try_a_link(request)
    try:
        redeemed = redeem_ticket(token, TicketPurpose.SIGN_IN).run()
        _enter(request, _person(redeemed), "link")
    except Unauthenticated:
        return _page(request, "sign_in_link", {"used": True}, 410)
    was_right(address)
    if redeemed.workspace_id:
        request.session[WORKSPACE_CHOICE] = str(redeemed.workspace_id)
    return redirect(_target(request, request.POST.get("next") or redeemed.path))


@sensitive_post_parameters("password", "again")
@never_cache
@require_http_methods(["GET", "POST"])
def take_invitation(request: HttpRequest, token: str) -> HttpResponseBase:
    """`/invitations/<token>`: a person who was invited chooses a password, and is signed in."""
    address = _try_a_link(request)
    try:
        member = queries.invited_by(token)
        was_right(address)
        values = {"member": member, "inviter": _name_of(member.created_by)}
        if request.method == "GET":
            return _page(request, "invitation", values)
        password = request.POST.get("password", "")
        if password != request.POST.get("again", ""):
            return _page(request, "invitation", {**values, "message": "The two passwords are not the same."}, 422)
        member = members.take_invitation(token, password)
    except Invalid as fault:
        return _page(request, "invitation", {**values, "message": fault.detail}, 422)
    except Unauthenticated:
        return _page(request, "invitation", {}, 410)
    _enter(request, member.user, "invitation")
    request.session[WORKSPACE_CHOICE] = str(member.workspace_id)
    return redirect(settings.LOGIN_REDIRECT_URL)


def _try_a_link(request: HttpRequest) -> str:
    """Count a try; gives where it came from. Raises `RateLimited`."""
    address: str = request.META.get("REMOTE_ADDR", "")
    if wait_s := try_to_get_in(address):
        raise RateLimited(f"Too many tries. Try again in {wait_s} s.", retry_after=wait_s)
    return address


def _name_of(actor: str | None) -> str:
    """Who invited, in words: the person's name, or the key's."""
    kind, _, name = (actor or "").partition(":")
    return name if kind == "user" else f"The key {name}" if kind == "key" else ""


def _enter(request: HttpRequest, user: User, by: str) -> None:
    with transaction.atomic():
        login(request, user)
        audit.record_of_person(user, "signed_in", by=by, address=request.META.get("REMOTE_ADDR", ""))


def _record_refusal(name: str, address: str) -> None:
    """Keep in the workspaces of the person, if there is one, that somebody tried their name."""
    with transaction.atomic():
        if person := User.objects.filter(username=name).first():
            audit.record_of_person(person, "sign_in_refused", anonymous=True, name=name, address=address)


def _person(redeemed: Redeemed) -> User:
    user = User.objects.filter(id=redeemed.user_id).first() if redeemed.user_id else None
    if user is None or not user.is_active:
        raise Unauthenticated
    return user


def _target(request: HttpRequest, wanted: str | None) -> str:
    """Where to go afterwards: within this site, else to the console."""
    if wanted and wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None):
        return wanted
    return settings.LOGIN_REDIRECT_URL


def _refuse(request: HttpRequest, target: str, name: str, message: str, wait_s: int = 0) -> HttpResponse:
    values = {"next": target, "username": name, "message": message, "wait_s": wait_s}
    page = _page(request, "login", values, 429 if wait_s else 401)
    if wait_s:
        page["Retry-After"] = str(wait_s)
    return page


def _page(request: HttpRequest, name: str, values: dict[str, object], status: int = 200) -> HttpResponse:
    page = render(request, f"accounts/{name}.html", values, status=status)
    page["Content-Security-Policy"] = _CSP
    return page
