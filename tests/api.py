"""The API as a client with a key meets it, on the test's own database: no server, no worker."""

from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from accounts.identity import Identity
from accounts.limits import Limits
from accounts.models import Workspace
from accounts.services import NO_LIMITS, create_api_key, limit_workspace
from assistants.services import create_assistant

ECHO = {"provider": "fake", "model": "echo"}
HELLO = {"input": {"message": "Hello"}}
# The id of nothing. Tests with it in their names are the same in each process that runs them.
UNKNOWN = "01a1b2c3-d4e5-7f60-8abc-0123456789ab"


class Api:
    """A key of a workspace, and requests that carry it. Methods give the answer; `ok` gives its document."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        scopes: tuple[str, ...] = ("*",),
        user_id: str | None = None,
        limits: Limits = NO_LIMITS,
    ):
        self.workspace = workspace
        _, self.key = create_api_key(workspace, f"key {uuid4()}", scopes, user_id=user_id, limits=limits)
        self.identity = Identity(workspace.id, frozenset(scopes), "key:tests", user_id=user_id)
        self.client = APIClient(headers={"authorization": f"Bearer {self.key}"})

    def limit(self, **limits: int) -> None:
        """Limit the workspace."""
        limit_workspace(self.identity, Limits(**limits))

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(path, query)

    def post(self, path: str, body: Any = None) -> Any:
        return self.client.post(path, body, format="json")

    def patch(self, path: str, body: Any = None) -> Any:
        return self.client.patch(path, body, format="json")

    def delete(self, path: str) -> Any:
        return self.client.delete(path)

    def items(self, path: str, **query: Any) -> list[Any]:
        """What a list holds."""
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.content
        items: list[Any] = answer.json()["items"]
        return items

    def assistant(self, **config: Any) -> str:
        """An active assistant; gives its id."""
        made = create_assistant(self.identity, {"name": f"a {uuid4()}", "llm": dict(ECHO), **config})
        assert made.status == "active"
        return str(made.id)

    def session(self, assistant_id: str | None = None, **body: Any) -> str:
        """A session; gives its id."""
        answer = self.post(f"/assistants/{assistant_id or self.assistant()}/sessions", body)
        assert answer.status_code == 201, answer.content
        return str(answer.json()["id"])

    def run(self, session_id: str | None = None, **body: Any) -> str:
        """A pending run; gives its id."""
        answer = self.post(f"/sessions/{session_id or self.session()}/runs", {**HELLO, **body})
        assert answer.status_code == 202, answer.content
        return str(answer.json()["id"])


def assert_refused(answer: Any, status: int, code: str, *loc: str | int) -> None:
    """The one error body; with `loc`, one of its faults is there."""
    assert answer.status_code == status, answer.content
    document = answer.json()
    assert set(document) == {"detail", "code", "request_id", "errors"}
    assert document["code"] == code
    if loc:
        assert list(loc) in [error["loc"] for error in document["errors"]]
    elif status != 422:
        assert document["errors"] == []


@pytest.fixture
def api(db: None) -> Api:
    return Api(Workspace.objects.create(name="Ours", slug="ours"))


@pytest.fixture
def stranger(db: None) -> Api:
    return Api(Workspace.objects.create(name="Theirs", slug="theirs"))
