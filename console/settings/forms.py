"""What these pages share: forms that act once, lists in pages, and what was wrong with what was typed."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.idempotency import HEADER, Once, Replayed, claim, once
from accounts.identity import Identity
from console.frame import frame
from core.errors import AppError, Invalid
from core.ids import new_id, parse_id
from core.pagination import Listing, ListQuery

T = TypeVar("T")
ROWS = 50


def act_once(request: HttpRequest, identity: Identity, subject_id: UUID, act: Callable[[], T]) -> T | None:
    """Carry a form out, in one transaction; None where this very form was carried out before.

    The form carries a token that was made when it was drawn, so that of two clicks one acts. `subject_id` is what is
    made or changed. What `act` raises leaves the token unused.
    """
    try:
        with transaction.atomic():
            claim(_once(request, identity), subject_id).run()
            return act()
    except Replayed:
        return None


def _once(request: HttpRequest, identity: Identity) -> Once | None:
    token = parse_id(request.POST.get("once", ""))
    if token is None:
        raise Invalid.at("once", message="This form is not whole; reload the page.")
    # The digest of a secret would be a way to guess it.
    fields = {name: values for name, values in request.POST.lists() if name not in {"csrfmiddlewaretoken", "value"}}
    return once(identity, {HEADER.lower(): str(token)}, "POST", request.path_info, lambda: fields)


def page_of(request: HttpRequest, listing: Listing, *own: str) -> ListQuery:
    """The page of a list that the address asks for. `own` are query keys of the page that are no filters.

    A filter that is left empty is none. Raises `Invalid`.
    """
    query = request.GET.copy()
    for name in (*own, *(name for name in request.GET if not request.GET[name])):
        query.pop(name, None)
    query["limit"] = str(ROWS)
    return listing.read(query)


def _older(request: HttpRequest, cursor: str | None) -> str:
    """The query string of the next page of this list; empty at its end."""
    if cursor is None:
        return ""
    query = request.GET.copy()
    query["cursor"] = cursor
    return f"?{query.urlencode()}"


def _newest(request: HttpRequest) -> str:
    """The address of the first page of this list; empty on it."""
    if "cursor" not in request.GET:
        return ""
    query = request.GET.copy()
    query.pop("cursor")
    return f"{request.path}?{query.urlencode()}"


def rows_of(request: HttpRequest, page: dict[str, Any]) -> dict[str, Any]:
    """What a template shows of a page of a list, and where its neighbours are."""
    return {"rows": page["items"], "newest": _newest(request), "older": _older(request, page["next_cursor"])}


def confirm(request: HttpRequest, name: str) -> None:
    """Raise `Invalid` unless the name was typed: what cannot be undone is asked for twice."""
    if request.POST.get("name", "").strip() != name:
        raise Invalid.at("name", message="This is another name. Nothing was changed.")


def _faults(fault: AppError) -> list[str]:
    places = [(str(error.loc[0]).replace("_", " ").capitalize() if error.loc else "", error) for error in fault.errors]
    return [f"{place}: {error.message}" if place else error.message for place, error in places] or [fault.detail]


def draw(
    request: HttpRequest,
    identity: Identity,
    template: str,
    context: dict[str, Any],
    *,
    fault: AppError | None = None,
) -> HttpResponse:
    """A settings page; `template` is named after its section. With a `fault` its form says what was wrong."""
    section = template.partition("/")[0]
    status = fault.status if fault else 200
    around = {**frame(request, identity, section), "once": new_id(), "faults": _faults(fault) if fault else []}
    return render(request, f"console/settings/{template}.html", {**around, **context}, status=status)
