"""Limits of keys and workspaces: how they are set, and to whom they apply."""

import re
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks
from rest_framework.test import APIClient

from accounts.authentication import login_identity
from accounts.credentials import MEMORY, digest_of, find_identity
from accounts.external import Vouched
from accounts.external import identity_of as identity_of_caller
from accounts.identity import Identity
from accounts.limits import Holder, Limits, holders, read_limits
from accounts.models import ApiKey, AuditEntry, Membership, Role, User, Workspace
from accounts.services import create_api_key, limit_workspace
from core.ids import new_id
from tests.accounts.conftest import PASSWORD, ApiFor

ALL = {"requests_per_minute": 5, "concurrent_runs": 4, "streams": 3, "runs_per_day": 2, "tokens_per_day": 1}
BODY = {"name": "ci", "scopes": ["runs:write"]}


def identity_of(key: str) -> Identity:
    identity = find_identity(digest_of(key)).run()
    assert identity
    return identity


def make(api: APIClient, **body: Any) -> Any:
    return api.post("/api-keys", BODY | body, format="json")


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_key_is_made_with_limits_and_shows_them(api_for: ApiFor) -> None:
    api = api_for("*")
    made = make(api, limits=ALL).json()
    assert made["limits"] == ALL
    assert api.get(f"/api-keys/{made['id']}").json()["limits"] == ALL
    [holder] = identity_of(made["key"]).limits
    assert (holder.kind, str(holder.id), holder.limits) == ("key", made["id"], Limits(**ALL))


def test_a_key_without_limits_has_none(api_for: ApiFor, key: str) -> None:
    assert make(api_for("*")).json()["limits"] == {}
    assert identity_of(key).limits == ()


@pytest.mark.parametrize(
    ("limits", "loc"),
    [
        ({"requests_per_second": 1}, ["limits", "requests_per_second"]),
        *(({"streams": value}, ["limits", "streams"]) for value in (0, -1, None, True, "5", 1.5, 2**53)),
        (None, ["limits"]),
        ([], ["limits"]),
    ],
)
def test_a_limit_that_cannot_be_meant_is_invalid(api_for: ApiFor, limits: Any, loc: list[str]) -> None:
    answer = make(api_for("*"), limits=limits)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, loc)
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("limits", "status"),
    [({"streams": 3}, 201), ({"streams": 1, "runs_per_day": 9}, 201), ({"streams": 4}, 403), ({}, 403)],
)
def test_nobody_gives_a_key_more_than_its_own_has(
    api_for: ApiFor, limits: dict[str, int], status: int, workspace: Workspace
) -> None:
    api = api_for("*", limits=Limits(streams=3))
    answer = make(api, limits=limits)
    assert answer.status_code == status
    if status == 403:
        assert (
            answer.json()["detail"] == "Your key's limit of streams is 3; keys that it makes must have one within it."
        )


def test_the_limits_of_the_workspace_do_not_keep_a_key_from_having_none(workspace: Workspace, api_for: ApiFor) -> None:
    limit_workspace(Identity(workspace.id, frozenset("*"), "user:root"), Limits(streams=3))
    assert make(api_for("*")).status_code == 201


def test_a_key_that_takes_anothers_place_has_its_limits(api_for: ApiFor) -> None:
    api, limited = api_for("*"), api_for("*", limits=Limits(streams=1))
    made = make(api, limits={"streams": 2}).json()
    assert limited.post(f"/api-keys/{made['id']}/rotate", {}, format="json").status_code == 403
    assert api.post(f"/api-keys/{made['id']}/rotate", {}, format="json").json()["limits"] == {"streams": 2}


# -- workspaces --------------------------------------------------------------------------------------------------------


def test_a_caller_has_the_limits_of_its_key_and_of_its_workspace(workspace: Workspace, person: User) -> None:
    limit_workspace(Identity(workspace.id, frozenset("*"), "user:root"), Limits(streams=7))
    of_workspace = Holder("workspace", workspace.id, Limits(streams=7))
    stored, key = create_api_key(workspace, "limited", ["*"], limits=Limits(runs_per_day=1))
    assert identity_of(key).limits == (Holder("key", stored.id, Limits(runs_per_day=1)), of_workspace)
    person_identity = login_identity(person, Client().session)
    assert person_identity
    assert person_identity.limits == (of_workspace,)


def test_whom_somebody_else_vouches_for_has_the_limits_of_the_workspace(workspace: Workspace) -> None:
    vouched = Vouched(workspace.slug, frozenset({"*"}), "hook:ada", None)
    for limits in ({"streams": 7}, {"streams": 8}, {}):
        limit_workspace(Identity(workspace.id, frozenset("*"), "user:root"), Limits(**limits))
        assert [holder.limits.document() for holder in identity_of_caller(vouched).run().limits] == [limits][
            : len(limits)
        ]


def test_who_a_key_is_and_what_limits_it_has_is_one_statement(
    key: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        identity_of(key)


def test_a_workspace_has_the_default_of_what_it_does_not_say_itself() -> None:
    default, workspace_id = Limits(streams=10, runs_per_day=100), new_id()
    assert holders(workspace_id, {}, Limits()) == ()
    [holder] = holders(workspace_id, {"streams": 20}, default)
    assert holder.limits == Limits(streams=20, runs_per_day=100)


def test_the_default_is_the_environments(key: str, settings: LazySettings) -> None:
    settings.WORKSPACE_LIMITS = read_limits(" streams = 2 ,")
    [holder] = identity_of(key).limits
    assert (holder.kind, holder.limits) == ("workspace", Limits(streams=2))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("streams", "streams must be a whole number"),
        ("streams=", "not ''"),
        ("streams=0", "at least 1"),
        ("streams=-1", "not '-1'"),
        ("streams=²", "not '²'"),
        ("streams=99999999999999999999999", "whole number"),
        ("stream=1", "there is no limit 'stream'"),
        ("streams=1,streams=2", "given twice"),
    ],
)
def test_a_default_that_cannot_be_meant_says_why(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        read_limits(text)


def test_a_ticket_stands_for_a_caller_with_limits(workspace: Workspace) -> None:
    limits = (Holder("key", new_id(), Limits(streams=1)), Holder("workspace", workspace.id, Limits(runs_per_day=2)))
    identity = Identity(workspace.id, frozenset({"*"}), "key:x", limits=limits)
    assert Identity.from_document(identity.document()) == identity


# -- the admin ---------------------------------------------------------------------------------------------------------


def workspace_form(workspace: Workspace, **limits: Any) -> dict[str, Any]:
    inline = {"memberships-TOTAL_FORMS": 0, "memberships-INITIAL_FORMS": 0}
    return {"name": workspace.name, "slug": workspace.slug, **inline, **limits}


def test_a_superuser_sets_a_workspaces_limits(workspace: Workspace, client: Client, key: str) -> None:
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    page = f"/admin/accounts/workspace/{workspace.id}/change/"
    assert client.post(page, workspace_form(workspace, streams="5", runs_per_day="")).status_code == 302
    workspace.refresh_from_db()
    assert workspace.limits == {"streams": 5}
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.details) == (
        "user:root",
        "limited",
        {"before": {}, "limits": {"streams": 5}},
    )
    assert 'value="5"' in client.get(page).text
    assert client.post(page, workspace_form(workspace, streams="0")).status_code == 200
    client.post(page, workspace_form(workspace))
    workspace.refresh_from_db()
    assert workspace.limits == {}


def test_others_do_not_come_to_the_page(workspace: Workspace, client: Client) -> None:
    boss = User.objects.create_user("boss", password=PASSWORD, is_staff=True)
    Membership.objects.create(workspace=workspace, user=boss, role=Role.ADMIN)
    client.force_login(boss)
    page = f"/admin/accounts/workspace/{workspace.id}/change/"
    assert client.post(page, workspace_form(workspace, streams="5")).status_code == 403
    workspace.refresh_from_db()
    assert workspace.limits == {}


def test_the_admin_makes_keys_with_limits(workspace: Workspace, client: Client) -> None:
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    form = {"workspace": workspace.id, "name": "ci", "scopes": ["runs:read"], "streams": "5"}
    client.post("/admin/accounts/apikey/add/", form)
    assert ApiKey.objects.get().limits == {"streams": 5}


def test_what_is_remembered_before_the_commit_is_forgotten_at_it(
    workspace: Workspace, key: str, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    without = identity_of(key)
    with django_capture_on_commit_callbacks(execute=True):
        limit_workspace(Identity(workspace.id, frozenset("*"), "user:root"), Limits(streams=1))
        # As another thread does, that does not see it yet.
        MEMORY.put(digest_of(key), without)
    assert MEMORY.get(digest_of(key)) is None


def test_a_changed_limit_is_felt_at_once_in_this_process(workspace: Workspace, api_for: ApiFor) -> None:
    api = api_for("*")
    assert api.get("/api-keys").status_code == 200
    limit_workspace(Identity(workspace.id, frozenset("*"), "user:root"), Limits(requests_per_minute=1))
    assert [api.get("/api-keys").status_code for _ in range(2)] == [200, 429]
    MEMORY.clear()
