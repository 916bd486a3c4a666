"""A login's cookie alone writes nothing, at any address that Django knows."""

import re

import pytest
from django.test import Client

from accounts.models import User
from accounts.services import create_workspace
from tests.api import UNKNOWN, assert_refused
from tests.doors.routes import admin_pages, api_routes, pages

PATHS = sorted({path for _, path in api_routes()} | pages() | {*admin_pages()})

# It reads no cookie: who calls a trigger signs what is sent.
SIGNED = "/triggers/trg_{token}"


@pytest.fixture
def operator(db: None) -> Client:
    """The browser of somebody who may do everything, where another site has a form sent."""
    create_workspace("Acme", "acme")
    client = Client(enforce_csrf_checks=True, headers={"accept": "application/json"})
    client.force_login(User.objects.create_superuser("root", password=None))
    return client


def test_there_are_many() -> None:
    assert len(PATHS) > 100


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_without_the_token_every_write_is_refused(operator: Client, method: str) -> None:
    for path in PATHS:
        address = re.sub(r"{\w+}", UNKNOWN, path)
        answer = operator.generic(method, address, b"{}", content_type="application/json")
        if path == SIGNED:
            assert answer.status_code in {401, 405}, (method, answer)
            continue
        assert answer.status_code == 403, (method, path, answer)
        assert_refused(answer, 403, "forbidden")


def test_with_it_the_same_writes_get_further(operator: Client) -> None:
    operator.get("/login")
    operator.get("/admin/password_change/")
    token = operator.cookies["csrftoken"].value
    headers = {"x-csrftoken": token}
    answer = operator.post("/assistants", {}, content_type="application/json", headers=headers)
    assert_refused(answer, 422, "invalid", "name")
