"""Who opens a websocket: browsers cannot set its headers, so there are more ways than for a request."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from django.conf import settings

from accounts.authentication import Describe, aidentify_request, authenticate
from accounts.identity import Identity
from accounts.models import TicketPurpose
from accounts.services import redeem_ticket
from core.errors import Forbidden, Unauthenticated

BEARER = "bearer."


async def authenticate_websocket(
    headers: Mapping[str, str],
    subprotocols: Sequence[str],
    ticket: str | None,
    path: str,
    describe: Describe | None = None,
) -> Identity:
    """The identity behind a websocket's handshake, which `describe` gives to the hook.

    In this order: what a request's headers show; the same in the subprotocol `bearer.<key>`; a single-use ticket for
    this path; the cookie of a login, from a page of this site only. Raises `Unauthenticated`, `BadRequest`,
    `Forbidden` and `Unavailable`.
    """
    identity = await aidentify_request(headers, describe)
    if identity is not None:
        return identity
    for offered in subprotocols:
        if offered.startswith(BEARER):
            return await authenticate({"authorization": f"Bearer {offered.removeprefix(BEARER)}"})
    if ticket is not None:
        redeemed = await redeem_ticket(ticket, TicketPurpose.WEBSOCKET, path).arun()
        if redeemed.identity is None:
            raise Unauthenticated
        return redeemed.identity
    if "cookie" not in headers:
        raise Unauthenticated
    if not _is_own_page(headers.get("origin", ""), headers.get("host", "")):
        raise Forbidden("A websocket with a login's cookie must come from a page of this site.")
    return await authenticate({"cookie": headers["cookie"]})


def is_a_try(headers: Mapping[str, str], subprotocols: Sequence[str], ticket: str | None) -> bool:
    """Whether the handshake has a key or a ticket, right or wrong."""
    has_key = "authorization" in headers or "x-api-key" in headers
    return has_key or ticket is not None or any(offered.startswith(BEARER) for offered in subprotocols)


def _is_own_page(origin: str, host: str) -> bool:
    """Whether a page of this site opens the socket: of the public address, or of the host that it is opened at."""
    page = urlsplit(origin.lower())
    public = urlsplit(settings.PUBLIC_URL)
    if page.scheme not in {"http", "https"} or not page.netloc:
        return False
    if public.netloc == page.netloc:
        return public.scheme == page.scheme
    return page.netloc == host.lower()
