"""The pages where people sign in and out. They work without JavaScript."""

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounts.authentication import WORKSPACE_CHOICE
from accounts.models import TicketPurpose, User
from accounts.services import Redeemed, redeem_ticket
from accounts.throttle import try_to_get_in, was_right
from core.errors import RateLimited, Unauthenticated

WRONG = "This name and password do not match."
# As long as any sensible one; hashing megabytes would be a gift to whoever sends them.
MAX_PASSWORD = 1_000
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
        return _refuse(request, target, name, WRONG)
    was_right(address, name)
    login(request, user)
    return redirect(target)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponseBase:
    """`/logout`."""
    logout(request)
    return redirect(settings.LOGIN_URL)


@never_cache
@require_http_methods(["GET", "POST"])
def sign_in_by_link(request: HttpRequest, token: str) -> HttpResponseBase:
    """`/sign-in/<token>`: the link that `serve` prints. It is used up by the button, so that a preview does not."""
    if request.method == "GET":
        return _page(request, "sign_in_link", {"next": _target(request, request.GET.get("next"))})
    address = request.META.get("REMOTE_ADDR", "")
    if wait_s := try_to_get_in(address):
        raise RateLimited(f"Too many tries. Try again in {wait_s} s.", retry_after=wait_s)
    try:
        redeemed = redeem_ticket(token, TicketPurpose.SIGN_IN).run()
        login(request, _person(redeemed))
    except Unauthenticated:
        return _page(request, "sign_in_link", {"used": True}, 410)
    was_right(address)
    if redeemed.workspace_id:
        request.session[WORKSPACE_CHOICE] = str(redeemed.workspace_id)
    return redirect(_target(request, request.POST.get("next") or redeemed.path))


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
