"""`manage.py create_workspace`."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from accounts.models import AuditEntry, Workspace

pytestmark = pytest.mark.django_db


def make(*arguments: str) -> str:
    out = StringIO()
    call_command("create_workspace", *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_a_key_that_works() -> None:
    line = make("acme", "--name", "Acme Inc", "--key-name", "ci")
    assert line.count("\n") == 1
    made = json.loads(line)
    told = APIClient(headers={"X-Api-Key": made["api_key"]}).get("/me").json()
    assert told["workspace"] == made["workspace"] == {
        "id": str(Workspace.objects.get().id), "name": "Acme Inc", "slug": "acme"
    }  # fmt: skip
    assert (told["actor"], told["scopes"]) == ("key:ci", ["*"])


def test_it_is_kept_in_the_trail() -> None:
    make("acme")
    told = AuditEntry.objects.order_by("id").values_list("actor", "subject_type", "action")
    assert list(told) == [("command:create_workspace", kind, "created") for kind in ("workspace", "api_key")]


@pytest.mark.parametrize(("slug", "said"), [("acme", "already"), ("a b", "A slug is"), ("a" * 65, "A slug is")])
def test_what_cannot_be_made_is_said_in_a_line(slug: str, said: str) -> None:
    make("acme")
    with pytest.raises(CommandError, match=said):
        make(slug)
    assert Workspace.objects.count() == 1
