"""The admin as a person with a role meets it."""

from typing import Any

from django.db.models import Model
from django.test import Client

from accounts.models import Membership, Role, User, Workspace


def staff(role: Role, *workspaces: Workspace) -> Client:
    """The browser of a staff person who has the role in the workspaces."""
    person = User.objects.create_user(f"staff {role} {len(workspaces)}", is_staff=True)
    for workspace in workspaces:
        Membership.objects.create(workspace=workspace, user=person, role=role)
    client = Client()
    client.force_login(person)
    return client


def superuser() -> Client:
    """The browser of somebody for whom there are no walls."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def list_of(model: type[Model]) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


def page_of(row: Model) -> str:
    return f"{list_of(type(row))}{row.pk}/change/"


def act(client: Client, row: Model, name: str) -> str:
    """Press a button on the row's page; gives the page that follows."""
    return str(client.post(f"{list_of(type(row))}{row.pk}/act/{name}/", follow=True).text)


def act_on(client: Client, action: str, *rows: Model) -> str:
    """Choose rows in the list, and an action; gives the page that follows."""
    form: Any = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return str(client.post(list_of(type(rows[0])), form, follow=True).text)
