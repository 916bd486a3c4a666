"""One creation per `Idempotency-Key`: a request that is sent again gets what its first sending made.

The key is stored in the transaction that creates: a creation that fails leaves no key behind, and of requests that come
at once the others wait for the first one's commit. A key means the same for 24 hours, and only to its caller, for the
same method and path.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from rest_framework.request import Request

from accounts.identity import Identity
from core.db import BEGIN, Operation, Query, operation
from core.errors import BadRequest, IdempotencyMismatch
from core.ids import new_id

HEADER = "Idempotency-Key"
REPLAYED = {"Idempotency-Replayed": "true"}
HOURS = 24
_FORM = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")

# One that is older is taken over as if it had never been.
_CLAIM = """
INSERT INTO idempotency_keys AS k (id, workspace_id, caller, method, path, key, digest, resource_id, further_ids)
VALUES (%(id)s, %(workspace)s, %(caller)s, %(method)s, %(path)s, %(key)s, %(digest)s, %(resource)s,
    %(further)s::uuid[])
ON CONFLICT (workspace_id, caller, method, path, key) DO UPDATE
    SET digest = excluded.digest, resource_id = excluded.resource_id, further_ids = excluded.further_ids,
        created_at = clock_timestamp()
    WHERE k.created_at < clock_timestamp() - make_interval(hours => %(hours)s)
RETURNING k.id
"""

_EARLIER = """
SELECT digest, resource_id, further_ids FROM idempotency_keys
WHERE workspace_id = %(workspace)s AND caller = %(caller)s AND method = %(method)s AND path = %(path)s AND key = %(key)s
"""


class Replayed(Exception):
    """This request was carried out before and made `resource_id`; nothing is made again.

    `resource_ids`: all that it made, in order, where that was several.
    """

    def __init__(self, resource_id: UUID, *further: UUID):
        super().__init__(f"The request made {resource_id} before.")
        self.resource_id = resource_id
        self.resource_ids = [resource_id, *further]


@dataclass(frozen=True, slots=True)
class Once:
    """A request that carries a key. `digest` stands for its body."""

    workspace_id: UUID
    caller: str
    method: str
    path: str
    key: str
    digest: str


def once(
    identity: Identity, headers: Mapping[str, str], method: str, path: str, read_body: Callable[[], Any]
) -> Once | None:
    """What makes the request one that is carried out once; None without the header. Raises BadRequest for its form.

    `headers` are found by names in lower case. `read_body` gives the document; without the header it is not asked.
    """
    key = headers.get(HEADER.lower())
    if key is None:
        return None
    if not _FORM.fullmatch(key):
        raise BadRequest(f"{HEADER} has 1 to 255 printable ASCII characters.")
    digest = hashlib.sha256(orjson.dumps(read_body() or None, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return Once(identity.workspace_id, identity.user_id or "", method, path, key, digest)


def once_of(request: Request, identity: Identity) -> Once | None:
    """`once` for a request of DRF."""
    return once(identity, request.headers, str(request.method), request.path_info, lambda: request.data)


@operation()
def claim(request: Once | None, resource_id: UUID, *further: UUID) -> Operation[None]:
    """Let this operation make these, in one transaction with what follows; the first statement of a creation.

    Raises Replayed where the key has made something already, IdempotencyMismatch where that was another body.
    """
    if request is None:
        return
    yield BEGIN
    scope = {
        "workspace": request.workspace_id,
        "caller": request.caller,
        "method": request.method,
        "path": request.path,
        "key": request.key,
    }
    new = {"id": new_id(), "digest": request.digest, "resource": resource_id, "further": list(further)}
    if (yield Query(_CLAIM, {**scope, **new, "hours": HOURS})):
        return
    (earlier,) = yield Query(_EARLIER, scope)
    if earlier["digest"] != request.digest:
        raise IdempotencyMismatch
    raise Replayed(earlier["resource_id"], *earlier["further_ids"])


@operation()
def forget_old_keys() -> Operation[None]:
    """Delete the keys that mean nothing any more."""
    yield Query(
        "DELETE FROM idempotency_keys WHERE created_at < clock_timestamp() - make_interval(hours => %(hours)s)",
        {"hours": HOURS},
    )
