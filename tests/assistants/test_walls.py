"""No route of assistants looks over a workspace's wall, or past a malformed id."""

from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Workspace
from assistants.urls import urlpatterns
from tests.api import UNKNOWN, Api, assert_refused

CASES: list[tuple[str, str, Any]] = [
    ("get", "assistants/{assistant_id}", None),
    ("patch", "assistants/{assistant_id}", {"max_steps": 3}),
    ("delete", "assistants/{assistant_id}", None),
    ("post", "assistants/{assistant_id}/activate", {}),
    ("post", "assistants/{assistant_id}/archive", {}),
    ("post", "assistants/{assistant_id}/restore", {}),
    ("get", "assistants/{assistant_id}/versions", None),
    ("get", "assistants/{assistant_id}/versions/diff?from=1&to=1", None),
    ("get", "assistants/{assistant_id}/versions/{number}", None),
    ("post", "assistants/{assistant_id}/versions/{number}/rollback", {}),
    ("put", "assistants/{assistant_id}/versions/{number}/tags/{tag}", None),
    ("delete", "assistants/{assistant_id}/versions/{number}/tags/{tag}", None),
    ("get", "assistants/{assistant_id}/audit", None),
]
VERSION = {"number": 1, "tag": "stable"}


@pytest.fixture
def stranger(db: None) -> Api:
    return Api(Workspace.objects.create(name="Theirs", slug="theirs"))


def ask(api: Api, method: str, path: str, body: Any) -> Any:
    return getattr(api.client, method)(f"/{path}", body, **({} if body is None else {"format": "json"}))


def test_every_route_with_an_id_has_a_case() -> None:
    routes = set()
    for pattern in urlpatterns:
        path = str(pattern.pattern).replace("<str:", "{").replace(">", "}")
        routes |= {(method, path) for method in pattern.callback.actions if "{" in path and method != "head"}
    assert routes <= {(method, path.partition("?")[0]) for method, path, _ in CASES}


@pytest.mark.parametrize(("method", "path", "body"), CASES)
def test_a_strangers_is_as_unknown_as_one_that_never_was(
    api: Api, stranger: Api, method: str, path: str, body: Any
) -> None:
    assistant = api.assistant()
    api.client.put(f"/assistants/{assistant}/versions/1/tags/stable")
    before = api.get(f"/assistants/{assistant}").json()
    strange = ask(stranger, method, path.format(assistant_id=assistant, **VERSION), body)
    unknown = ask(stranger, method, path.format(assistant_id=uuid4(), **VERSION), body)
    assert_refused(strange, 404, "not_found")
    assert {**strange.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    assert api.get(f"/assistants/{assistant}").json() == before
    assert stranger.items("/assistants") == []


@pytest.mark.parametrize(("method", "path", "body"), CASES)
@pytest.mark.parametrize("malformed", ["x", UNKNOWN.upper(), f"urn:uuid:{UNKNOWN}"])
def test_a_malformed_id_is_unknown(api: Api, method: str, path: str, body: Any, malformed: str) -> None:
    assert_refused(ask(api, method, path.format(assistant_id=malformed, **VERSION), body), 404, "not_found")
