"""What is wrong stands at the top of the console's pages, for who may read of it."""

import pytest

from accounts.models import Role, Workspace
from accounts.services import create_workspace
from tests.console.conftest import Person
from webhooks.kinds import Kind
from webhooks.models import Alert

BAR = 'aria-label="Open alerts"'


def alert(workspace: Workspace | None, message: str) -> None:
    kind = Kind.QUEUE_STUCK if workspace else Kind.WORKERS_MISSING
    Alert.objects.create(workspace=workspace, kind=kind, subject=message, message=message)


def page_of(person: Person) -> str:
    page = person.get("/console/chat")
    assert page.status_code == 200
    return str(page.text)


def test_what_is_wrong_here_and_on_the_server_is_said(workspace: Workspace) -> None:
    alert(workspace, "A run waits.")
    alert(None, "No worker is alive.")
    alert(create_workspace("Elsewhere", "elsewhere"), "Theirs waits.")
    page = page_of(Person(workspace, "root", Role.ADMIN))
    assert "A run waits." in page
    assert "No worker is alive." in page
    assert "Theirs waits." not in page


def test_more_than_three_are_counted(workspace: Workspace) -> None:
    for number in range(5):
        alert(workspace, f"Wrong {number}.")
    page = page_of(Person(workspace, "root", Role.OPERATOR))
    assert "Wrong 1." not in page
    assert "and 2 more" in page


@pytest.mark.parametrize("role", [Role.MEMBER, Role.EDITOR])
def test_a_member_is_told_nothing(workspace: Workspace, role: Role) -> None:
    alert(workspace, "A run waits.")
    assert (BAR in page_of(Person(workspace, "eve", role))) == (role != Role.MEMBER)


def test_only_staff_is_led_to_the_admin(workspace: Workspace) -> None:
    alert(workspace, "A run waits.")
    person = Person(workspace, "eve", Role.EDITOR)
    assert "/admin/" not in page_of(person)
    person.user.is_staff = True
    person.user.save()
    assert 'href="/admin/runs/run/?status__exact=pending' in page_of(person)


def test_where_all_is_well_there_is_no_bar(workspace: Workspace) -> None:
    assert BAR not in page_of(Person(workspace, "root", Role.ADMIN))
