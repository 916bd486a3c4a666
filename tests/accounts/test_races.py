"""Two who do the same at once: the second waits for the first, and finds it done."""

import pytest

from accounts.identity import EVERYTHING, Identity
from accounts.members import add_member, change_role, remove_member, take_invitation
from accounts.models import ApiKey, Membership, Role, User, Workspace
from accounts.services import create_api_key, rotate_api_key
from core.errors import Conflict, Unauthenticated
from tests.races import meanwhile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def boss(transactional_db: None) -> Identity:
    workspace = Workspace.objects.create(name="Acme", slug="acme")
    return Identity(workspace.id, frozenset({EVERYTHING}), "key:tests")


def test_a_key_that_ends_at_once_has_one_successor(boss: Identity) -> None:
    key, _ = create_api_key(boss.workspace_id, "ci", ["*"])
    second = meanwhile(*[lambda: rotate_api_key(boss, key.id, overlap_s=0)] * 2)
    assert isinstance(second.exception(), Conflict)
    assert ApiKey.objects.count() == 2


def test_two_admins_do_not_lower_each_other(boss: Identity) -> None:
    one, other = (
        Membership.objects.create(
            workspace_id=boss.workspace_id, user=User.objects.create_user(name), role=Role.ADMIN
        ).id
        for name in ("ada", "bob")
    )
    second = meanwhile(lambda: change_role(boss, one, "member"), lambda: remove_member(boss, other))
    assert isinstance(second.exception(), Conflict)
    assert Membership.objects.filter(role=Role.ADMIN).count() == 1


def test_an_invitation_has_one_password(boss: Identity) -> None:
    path = add_member(boss, "grace", "member")[1]
    assert path is not None
    token = path.rsplit("/")[-1]
    second = meanwhile(
        lambda: take_invitation(token, "the first of them"), lambda: take_invitation(token, "the second of them")
    )
    assert isinstance(second.exception(), Unauthenticated)
    assert User.objects.get().check_password("the first of them")
