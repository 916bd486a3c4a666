"""The admin's walls: staff see and do what their roles in workspaces allow, and nothing of other workspaces."""

from typing import Any
from uuid import UUID

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.models import Membership, Role, Secret, User, Workspace
from accounts.services import put_secret
from accounts.wall import ServerAdmin, WalledAdmin
from assistants.models import Assistant
from memory.models import StoreItem
from runs.models import Run, RunEvent, RunStep
from scheduling.models import Firing, Schedule, Trigger, TriggerCall
from sessions.models import Session, SharedFile
from tests.api import Api
from tests.staff import act_on, list_of, staff
from webhooks.models import Alert, Delivery, Endpoint, Event

NOW = "2026-01-31T12:00:00Z"
STAFF = [Role.OPERATOR, Role.EDITOR, Role.ADMIN]
REGISTERED = dict(admin.site._registry)
WALLED = {model._meta.label_lower: model for model, found in REGISTERED.items() if isinstance(found, WalledAdmin)}
SERVERWIDE = {model._meta.label_lower: model for model, found in REGISTERED.items() if isinstance(found, ServerAdmin)}
FOR_ADMINS = {"accounts.membership", "accounts.apikey", "accounts.secret", "accounts.auditentry"}


def fill(api: Api) -> None:
    """One row at least of all that belongs to a workspace."""
    session = api.session(title=api.workspace.name, initial_state={"messages": [{"role": "user", "content": "Hi"}]})
    run = Run.objects.get(id=api.run(session))
    RunStep.objects.create(
        run=run, index=1, kind="model", status="ok", attempt=1, started_at=NOW, duration_ms=1.5, tool_calls=[]
    )
    RunEvent.objects.create(run=run, seq=1, event="metadata", data={}, ts=NOW)
    Run.objects.filter(id=run.id).update(last_seq=1)
    shared = {"path": f"/{api.workspace.name}", "content": api.workspace.name, "size": 1}
    SharedFile.objects.create(workspace=api.workspace, assistant_id=run.assistant_id, **shared)
    StoreItem.objects.create(workspace=api.workspace, namespace=["a"], key=api.workspace.name, value={})
    _fill_schedules(api, run)
    _fill_webhooks(api)
    put_secret(api.identity, "crm", "a value", ["crm.example.com"])
    person = User.objects.create_user(f"{api.workspace.slug} person")
    Membership.objects.create(workspace=api.workspace, user=person)


def _fill_schedules(api: Api, run: Run) -> None:
    schedule = Schedule.objects.create(
        workspace=api.workspace, assistant_id=run.assistant_id, name=api.workspace.name, interval_s=60, anchor=NOW
    )
    Firing.objects.create(schedule=schedule, slot=NOW, outcome="started", run_id=run.id)
    trigger = Trigger.objects.create(
        workspace=api.workspace,
        assistant_id=run.assistant_id,
        name=api.workspace.name,
        token=api.workspace.slug,
        sealed_secret=b"x",
    )
    TriggerCall.objects.create(trigger=trigger, delivery_id=api.workspace.name, outcome="started")


def _fill_webhooks(api: Api) -> None:
    sent = {"workspace": api.workspace, "url": f"https://{api.workspace.slug}.example/hook"}
    endpoint = Endpoint.objects.create(name=api.workspace.name, events=["run.failed"], sealed_secret=b"x", **sent)
    event = Event.objects.create(workspace=api.workspace, kind="run.failed", data={})
    Delivery.objects.create(event=event, endpoint=endpoint, kind=event.kind, max_attempts=1, **sent)
    Alert.objects.create(workspace=api.workspace, kind="queue.stuck", subject="x", message=api.workspace.name)


@pytest.fixture
def ours(api: Api) -> Workspace:
    fill(api)
    return api.workspace


@pytest.fixture
def theirs(stranger: Api) -> Workspace:
    fill(stranger)
    return stranger.workspace


def rows_in(model: type[Model], workspace: Workspace) -> list[Any]:
    found: Any = REGISTERED[model]
    rows = list(model._default_manager.filter(**{found.workspace_path: workspace}))
    assert rows, f"the test makes no {model._meta.label}"
    return rows


def listed(client: Client, model: type[Model], **query: Any) -> set[Any]:
    answer = client.get(list_of(model), query)
    assert answer.status_code == 200, answer.status_code
    return {row.pk for row in answer.context["cl"].result_list}


# -- every class -----------------------------------------------------------------------------------------------------


def test_every_class_of_the_admin_has_a_wall() -> None:
    assert set(REGISTERED) == {*WALLED.values(), *SERVERWIDE.values()}
    for model in WALLED.values():
        found: Any = REGISTERED[model]
        model._default_manager.filter(**{f"{found.workspace_path}__slug": "x"})


def test_what_has_a_workspace_is_not_called_the_servers() -> None:
    for model in SERVERWIDE.values():
        assert "workspace" not in {field.name for field in model._meta.get_fields() if field.concrete}


@pytest.mark.parametrize("label", WALLED)
def test_an_admin_sees_their_own_workspaces_rows_alone(ours: Workspace, theirs: Workspace, label: str) -> None:
    client, model = staff(Role.ADMIN, ours), WALLED[label]
    assert listed(client, model) == {row.pk for row in rows_in(model, ours)}
    both = staff(Role.ADMIN, ours, theirs)
    assert listed(both, model) > {row.pk for row in rows_in(model, theirs)}


@pytest.mark.parametrize("label", WALLED)
def test_a_strangers_row_is_not_found_and_cannot_be_told_from_none(
    ours: Workspace, theirs: Workspace, label: str
) -> None:
    client, model = staff(Role.ADMIN, ours), WALLED[label]
    row, mine, number = rows_in(model, theirs)[0], rows_in(model, ours)[0], ContentType.objects.get_for_model(model).pk
    for page in ("change/", "history/"):
        assert client.get(f"{list_of(model)}{mine.pk}/{page}").status_code == 200
        stranger, nothing = (client.get(f"{list_of(model)}{pk}/{page}") for pk in (row.pk, UUID(int=7)))
        assert stranger.status_code == nothing.status_code == 404
        assert stranger.json().keys() == nothing.json().keys()
        assert stranger.json()["detail"] == nothing.json()["detail"]
    assert client.post(f"{list_of(model)}{row.pk}/change/", {}).status_code in {403, 404}
    assert client.post(f"{list_of(model)}{row.pk}/delete/", {"post": "yes"}).status_code in {403, 404}
    assert client.get(f"/admin/r/{number}/{row.pk}/").status_code == 404
    assert model._default_manager.filter(pk=row.pk).exists()


@pytest.mark.parametrize("label", WALLED)
def test_filters_and_searches_stay_within_the_wall(ours: Workspace, theirs: Workspace, label: str) -> None:
    client, model = staff(Role.ADMIN, ours), WALLED[label]
    assert "Theirs" not in client.get(list_of(model)).text.replace("theirs person", "")
    if "workspace" in REGISTERED[model].list_filter:
        assert listed(client, model, workspace__id__exact=theirs.pk) <= {row.pk for row in rows_in(model, ours)}
        both = staff(Role.ADMIN, ours, theirs)
        assert "Theirs" in both.get(list_of(model)).text
        assert listed(both, model, workspace__id__exact=theirs.pk) == {row.pk for row in rows_in(model, theirs)}
    if REGISTERED[model].search_fields:
        for row in rows_in(model, theirs):
            assert listed(client, model, q=str(row.pk)) == set()


@pytest.mark.parametrize("label", WALLED)
@pytest.mark.parametrize("role", [*STAFF, Role.MEMBER])
def test_who_may_look_at_what(ours: Workspace, label: str, role: Role) -> None:
    may = role == Role.ADMIN or (role != Role.MEMBER and label not in FOR_ADMINS)
    client = staff(role, ours)
    assert client.get(list_of(WALLED[label])).status_code == (200 if may else 403)
    assert (f'href="{list_of(WALLED[label])}"' in client.get("/admin/").text) == may


@pytest.mark.parametrize("label", SERVERWIDE)
def test_what_is_the_whole_servers_is_for_superusers(ours: Workspace, label: str) -> None:
    client, model = staff(Role.ADMIN, ours), SERVERWIDE[label]
    for page in ("", "add/", f"{UUID(int=7)}/change/", f"{UUID(int=7)}/delete/"):
        assert client.get(list_of(model) + page).status_code == 403
    assert f'href="{list_of(model)}"' not in client.get("/admin/").text
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    assert root.get(list_of(model)).status_code == 200


def test_what_is_offered_by_autocompletion_is_within_the_wall(ours: Workspace, theirs: Workspace) -> None:
    client = staff(Role.ADMIN, ours)
    asked = {"app_label": "accounts", "model_name": "apikey"}
    assert client.get("/admin/autocomplete/", {**asked, "field_name": "workspace"}).status_code == 403
    offered = client.get("/admin/autocomplete/", {**asked, "field_name": "rotated_from"}).json()["results"]
    assert {key["id"] for key in offered} == {str(key.pk) for key in ours.api_keys.all()}


def test_djangos_own_permissions_open_nothing(ours: Workspace, client: Client) -> None:
    person = User.objects.create_user("hand made", is_staff=True)
    person.user_permissions.set(Permission.objects.all())
    client.force_login(person)
    for model in REGISTERED:
        assert client.get(list_of(model)).status_code == 403


def test_who_is_shut_out_has_no_roles(ours: Workspace) -> None:
    client = staff(Role.ADMIN, ours)
    User.objects.update(is_staff=False)
    assert client.get("/admin/runs/run/").status_code == 302


# -- what is done ----------------------------------------------------------------------------------------------------


def test_an_action_on_a_strangers_row_does_nothing(ours: Workspace, theirs: Workspace) -> None:
    mine, their = (Run.objects.get(workspace=workspace) for workspace in (ours, theirs))
    act_on(staff(Role.ADMIN, ours), "cancel", mine, their)
    assert set(Run.objects.values_list("workspace__slug", "status")) == {("ours", "cancelled"), ("theirs", "pending")}


def test_one_acts_where_ones_role_allows_it(ours: Workspace, theirs: Workspace) -> None:
    client = staff(Role.EDITOR, ours)
    person = User.objects.get(username__startswith="staff")
    Membership.objects.create(workspace=theirs, user=person, role=Role.OPERATOR)
    page = act_on(client, "archive", *Assistant.objects.all())
    assert "Your role does not allow this for all of these." in page
    form = {"action": "archive", "_selected_action": list(Assistant.objects.values_list("pk", flat=True))}
    client.post(list_of(Assistant), {**form, "confirmed": "yes"})
    assert set(Assistant.objects.values_list("workspace__slug", "status")) == {
        ("ours", "archived"),
        ("theirs", "active"),
    }
    assert (
        client.get(f"{list_of(Assistant)}{Assistant.objects.get(workspace=theirs).pk}/new-version/").status_code == 403
    )


@pytest.mark.parametrize(("role", "status"), [(Role.OPERATOR, "active"), (Role.EDITOR, "closed")])
def test_an_operator_closes_no_session(ours: Workspace, role: Role, status: str) -> None:
    session = Session.objects.get()
    act_on(staff(role, ours), "close", session)
    session.refresh_from_db()
    assert session.status == status


def test_an_operator_cancels(ours: Workspace) -> None:
    act_on(staff(Role.OPERATOR, ours), "cancel", Run.objects.get())
    assert Run.objects.get().status == "cancelled"


def test_an_assistant_is_added_to_a_workspace_of_ones_own(ours: Workspace, theirs: Workspace) -> None:
    client, before = staff(Role.EDITOR, ours), Assistant.objects.count()
    assert "Theirs" not in client.get(f"{list_of(Assistant)}add/").text
    form = {"workspace": theirs.pk, "configuration": '{"name": "n", "llm": {"provider": "fake", "model": "echo"}}'}
    assert client.post(f"{list_of(Assistant)}add/", form).status_code == 200
    assert Assistant.objects.count() == before
    assert client.post(f"{list_of(Assistant)}add/", {**form, "workspace": ours.pk}).status_code == 302
    assert Assistant.objects.filter(workspace=ours).count() == 2


def test_a_key_is_made_for_a_workspace_of_ones_own(ours: Workspace, theirs: Workspace) -> None:
    client = staff(Role.ADMIN, ours)
    form = {"name": "mine", "scopes": ["runs:read"]}
    assert "Theirs" not in client.get("/admin/accounts/apikey/add/").text
    assert client.post("/admin/accounts/apikey/add/", {**form, "workspace": theirs.pk}).status_code == 200
    assert not theirs.api_keys.filter(name="mine").exists()
    assert client.post("/admin/accounts/apikey/add/", {**form, "workspace": ours.pk}).status_code == 302
    assert ours.api_keys.filter(name="mine").exists()


def test_a_secret_is_kept_in_a_workspace_of_ones_own(ours: Workspace, theirs: Workspace) -> None:
    client = staff(Role.ADMIN, ours)
    form = {"name": "mine", "value": "a value", "hosts": "crm.example.com"}
    for workspace, status in ((theirs, 200), (ours, 302)):
        assert client.post("/admin/accounts/secret/add/", {**form, "workspace": workspace.pk}).status_code == status
    assert list(Secret.objects.filter(name="mine").values_list("workspace", flat=True)) == [ours.pk]


def test_an_admin_manages_members_by_the_services(ours: Workspace, theirs: Workspace) -> None:
    client, members = staff(Role.ADMIN, ours), "/admin/accounts/membership/"
    assert "Theirs" not in client.get(f"{members}add/").text
    form = {"workspace": ours.pk, "username": "new", "role": "editor"}
    assert client.post(f"{members}add/", {**form, "workspace": theirs.pk}).status_code == 200
    assert not User.objects.filter(username="new").exists()
    page = client.post(f"{members}add/", form, follow=True)
    assert "/invitations/" in page.text
    assert "new is a member already" in client.post(f"{members}add/", form, follow=True).text
    added = ours.memberships.get(user__username="new")
    assert client.post(f"{members}{added.pk}/change/", {"role": "operator"}).status_code == 302
    added.refresh_from_db()
    assert (added.role, added.user.username) == ("operator", "new")
    client.post(f"{members}{added.pk}/delete/", {"post": "yes"})
    assert not ours.memberships.filter(pk=added.pk).exists()


def test_the_last_admin_stays(ours: Workspace) -> None:
    client = staff(Role.ADMIN, ours)
    member = ours.memberships.get(role=Role.ADMIN)
    address = f"/admin/accounts/membership/{member.pk}/"
    assert "the workspace&#x27;s last admin" in client.post(f"{address}change/", {"role": "member"}, follow=True).text
    assert "the workspace&#x27;s last admin" in client.post(f"{address}delete/", {"post": "yes"}, follow=True).text
    assert "the workspace&#x27;s last admin" in act_post(client, Membership, member)
    member.refresh_from_db()
    assert member.role == "admin"


def act_post(client: Client, model: type[Model], row: Model) -> str:
    form = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
    return str(client.post(list_of(model), form, follow=True).text)


def test_the_trail_links_to_nothing_behind_the_wall(ours: Workspace, theirs: Workspace) -> None:
    assert (
        str(Assistant.objects.get(workspace=theirs).pk)
        not in staff(Role.ADMIN, ours).get("/admin/accounts/auditentry/").text
    )


def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(
    api: Api, ours: Workspace, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = staff(Role.ADMIN, ours)
    for _ in range(5):
        api.run()
    # Two say who asks, one what their roles are.
    with django_assert_max_num_queries(8):
        client.get("/admin/runs/run/")
