"""Creating, over HTTP, what comes with something that is shown this once: a key's text, an invitation's link."""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency import REPLAYED, Replayed, claim, once_of
from accounts.identity import Identity
from accounts.permissions import identity_of
from core.ids import new_id

T = TypeVar("T")


def create_shown_once(
    request: Request,
    make: Callable[[Identity, UUID], tuple[T, str | None]],
    find: Callable[[Identity, UUID], T],
    document: Callable[[T], dict[str, Any]],
    secret: str,
) -> Response:
    """The answer 201 to a request that `make`s something, whose id is given; once for an `Idempotency-Key`.

    What is shown once stands beside the `document` under the name `secret`. It is not stored: a request that is sent
    again `find`s what it made, and null there.
    """
    identity, its_id = identity_of(request), new_id()
    try:
        with transaction.atomic():
            claim(once_of(request, identity), its_id).run()
            made, shown = make(identity, its_id)
    except Replayed as earlier:
        return Response({**document(find(identity, earlier.resource_id)), secret: None}, 201, headers=REPLAYED)
    return Response({**document(made), secret: shown}, 201)
