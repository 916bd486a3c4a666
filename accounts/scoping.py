"""Which rows a caller sees: those of its workspace, and, bound to a user, those of that user's sessions among them.

The one place that says so, for query sets and for SQL. What goes without it (workers, sweeps, limits) is listed in
`tests/doors/test_scoping.py`, with the reason.

    of_workspace(identity, Assistant.objects.all())
    Query(f"SELECT * FROM sessions s WHERE s.id = %(id)s AND {visible('s')}", {"id": id, **parameters_of(identity)})
"""

from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from accounts.identity import Identity

M = TypeVar("M", bound=Model)
Row = TypeVar("Row")


def of_workspace(identity: Identity, rows: QuerySet[M, Row]) -> QuerySet[M, Row]:
    """Those of the rows that belong to the caller's workspace; their model has a `workspace`."""
    return rows.filter(workspace_id=identity.workspace_id)


def of_workspace_or_server(identity: Identity, rows: QuerySet[M, Row]) -> QuerySet[M, Row]:
    """Those of them, and those without a workspace: the server's, which concern everybody."""
    return rows.filter(Q(workspace_id=identity.workspace_id) | Q(workspace_id=None))


def of_user(identity: Identity, rows: QuerySet[M, Row], user: str = "user_id") -> QuerySet[M, Row]:
    """Those of them, too, that belong to the user whom the caller is bound to: all for who is bound to none.

    `user` is the lookup of whose a row is; a run is whose its session is (`session__user_id`).
    """
    found = of_workspace(identity, rows)
    return found if identity.user_id is None else found.filter(**{user: identity.user_id})


def parameters_of(identity: Identity) -> dict[str, UUID | str | None]:
    """The parameters of the conditions below."""
    return {"workspace": identity.workspace_id, "user": identity.user_id}


def in_workspace(alias: str) -> str:
    """The condition for a row of any table that has a `workspace_id`."""
    return f"{alias}.workspace_id = %(workspace)s"


def of_bound_user(alias: str) -> str:
    """The second half of `visible`, for a session that is known to be in the workspace."""
    return f"(%(user)s::text IS NULL OR {alias}.user_id = %(user)s)"


def visible(alias: str) -> str:
    """The condition for a row of `sessions`."""
    return f"{in_workspace(alias)} AND {of_bound_user(alias)}"


def visible_run(alias: str) -> str:
    """The condition for a row of `runs`: a run is whose its session is."""
    return (
        f"{in_workspace(alias)} AND (%(user)s::text IS NULL OR EXISTS ("
        f"SELECT FROM sessions mine WHERE mine.id = {alias}.session_id AND mine.user_id = %(user)s))"
    )


def only_own(identity: Identity, rows: QuerySet[Any, Row]) -> QuerySet[Any, Row]:
    """Those of the workspace's audit entries that a bound caller made itself; all for who is bound to none."""
    found = of_workspace(identity, rows)
    if identity.user_id is None:
        return found
    # By the id as well: nothing keeps two keys from having one name.
    return found.filter(actor=identity.actor, actor_id=identity.actor_id)
