"""The files of a session over HTTP: its own, which are a part of its state, and those that it shares."""

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from runs.models import Run
from runtime.middleware.files import rules
from sessions.models import Checkpoint, Session, SharedFile
from sessions.queries import values_at
from sessions.serializers import FileDocument, FileSummaryDocument
from tests.api import Api, assert_refused

DIRECTORIES = [
    {"path": "/ours", "scope": "assistant"},
    {"path": "/mine", "scope": "user"},
    {"path": "/fixed", "scope": "assistant", "read_only": True},
]


def listing(*directories: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "files", "settings": {"directories": list(directories)}}]


@pytest.fixture
def assistant(api: Api) -> str:
    return api.assistant(middleware=listing(*DIRECTORIES))


@pytest.fixture
def session(api: Api, assistant: str) -> str:
    return api.session(assistant, user_id="ann")


def put(api: Api, session: str, path: str, content: str = "Hello", status: int = 201) -> dict[str, Any]:
    answer = api.client.put(f"/sessions/{session}/files{path}", {"content": content}, format="json")
    assert answer.status_code == status, answer.content
    document: dict[str, Any] = answer.json()
    return document


def read(api: Api, session: str, path: str) -> str | None:
    answer = api.get(f"/sessions/{session}/files{path}")
    return answer.json()["content"] if answer.status_code == 200 else None


def paths(api: Api, session: str, **query: Any) -> list[str]:
    return [file["path"] for file in api.items(f"/sessions/{session}/files", **query)]


def test_a_file_is_written_read_and_listed_with_every_key(api: Api, session: str) -> None:
    made = put(api, session, "/notes/plan.md", "grün")
    assert made.keys() == FileDocument.model_fields.keys()
    assert (made["path"], made["content"], made["size"], made["scope"]) == ("/notes/plan.md", "grün", 5, "session")
    assert api.get(f"/sessions/{session}/files/notes/plan.md").json() == made
    (file,) = api.items(f"/sessions/{session}/files")
    assert file == {name: made[name] for name in FileSummaryDocument.model_fields}


def test_a_second_write_replaces_the_content(api: Api, session: str) -> None:
    first, second = put(api, session, "/a"), put(api, session, "/a", "Bye", status=200)
    assert (second["content"], second["created_at"]) == ("Bye", first["created_at"])
    assert second["updated_at"] > first["updated_at"]


def test_each_change_is_a_checkpoint_so_that_the_history_holds_it(api: Api, session: str) -> None:
    put(api, session, "/a", "one")
    api.post(f"/sessions/{session}/files/move", {"from": "/a", "to": "/b"})
    api.delete(f"/sessions/{session}/files/b")
    made = list(Checkpoint.objects.filter(session_id=session).order_by("step"))
    assert [(point.step, point.source, point.parent_id) for point in made] == [
        (1, "update", None),
        (2, "update", made[0].id),
        (3, "update", made[1].id),
    ]
    assert [list(values_at(point.id).run()) for point in made] == [["files:/a"], ["files:/b"], []]
    assert Session.objects.get(id=session).checkpoint_id == made[2].id


def test_a_fork_has_the_files_of_its_checkpoint(api: Api, session: str) -> None:
    put(api, session, "/a", "one")
    point = Checkpoint.objects.get(session_id=session).id
    put(api, session, "/a", "two", status=200)
    fork = api.post(f"/sessions/{session}/fork", {"checkpoint_id": str(point)}).json()["id"]
    assert (read(api, fork, "/a"), read(api, session, "/a")) == ("one", "two")


def test_a_file_is_moved_to_where_there_is_none(api: Api, session: str) -> None:
    put(api, session, "/a", "one")
    moved = api.post(f"/sessions/{session}/files/move", {"from": "/a", "to": "/ours/b"})
    assert (moved.status_code, moved.json()["path"], moved.json()["scope"]) == (200, "/ours/b", "assistant")
    assert paths(api, session) == ["/ours/b"]
    put(api, session, "/a", "two")
    taken = api.post(f"/sessions/{session}/files/move", {"from": "/a", "to": "/ours/b"})
    assert_refused(taken, 409, "already_exists")
    assert_refused(api.post(f"/sessions/{session}/files/move", {"from": "/none", "to": "/c"}), 404, "not_found")


def test_shared_files_are_those_of_the_assistant_and_the_user(api: Api, assistant: str, session: str) -> None:
    for path in ("/ours/a", "/mine/a", "/a"):
        put(api, session, path, path)
    same, other, nobodys = (api.session(assistant, user_id=user) for user in ("ann", "bob", None))
    assert paths(api, same) == ["/mine/a", "/ours/a"]
    assert paths(api, other) == paths(api, nobodys) == ["/ours/a"]
    assert paths(api, api.session(api.assistant(middleware=listing(*DIRECTORIES)), user_id="ann")) == []
    refused = api.client.put(f"/sessions/{nobodys}/files/mine/b", {"content": ""}, format="json")
    assert_refused(refused, 409, "conflict")
    api.delete(f"/sessions/{other}/files/ours/a")
    assert paths(api, session) == ["/a", "/mine/a"]
    assert not SharedFile.objects.filter(content=None).exists()


def test_what_agents_only_read_is_changed_by_who_may_change_assistants(api: Api, session: str) -> None:
    assert put(api, session, "/fixed/manual.md")["read_only"] is True
    scopes = ("sessions:write", "assistants:write")
    for caller in (Api(api.workspace, scopes=scopes[:1]), Api(api.workspace, scopes=scopes, user_id="ann")):
        assert read(caller, session, "/fixed/manual.md") == "Hello"
        refused = caller.client.put(f"/sessions/{session}/files/fixed/manual.md", {"content": ""}, format="json")
        assert_refused(refused, 403, "forbidden")
        assert_refused(caller.delete(f"/sessions/{session}/files/fixed/manual.md"), 403, "forbidden")
        put(caller, session, "/free")
        moved = caller.post(f"/sessions/{session}/files/move", {"from": "/free", "to": "/fixed/x"})
        assert_refused(moved, 403, "forbidden")
        caller.delete(f"/sessions/{session}/files/free")


def test_the_sessions_own_files_wait_for_its_run(api: Api, session: str) -> None:
    put(api, session, "/a", "one")
    run = api.run(session)
    refused = api.client.put(f"/sessions/{session}/files/a", {"content": ""}, format="json")
    assert_refused(refused, 409, "session_busy")
    assert_refused(api.delete(f"/sessions/{session}/files/a"), 409, "session_busy")
    put(api, session, "/ours/b")
    assert read(api, session, "/a") == "one"
    api.post(f"/runs/{run}/cancel")
    assert Run.objects.get(id=run).status == "cancelled"
    put(api, session, "/a", "two", status=200)


def test_a_closed_sessions_files_can_be_read_only(api: Api, session: str) -> None:
    put(api, session, "/a")
    api.delete(f"/sessions/{session}")
    refused = api.client.put(f"/sessions/{session}/files/ours/a", {"content": ""}, format="json")
    assert_refused(refused, 409, "session_closed")
    assert read(api, session, "/a") == "Hello"


@pytest.mark.parametrize(
    "path", ["/../x", "/a/../../etc/passwd", "/%2e%2e/x", "/~root", "//etc/passwd", "/a/", "/a%01"]
)
def test_bad_paths_are_refused(api: Api, session: str, path: str) -> None:
    address = f"/sessions/{session}/files{path}"
    body = {"content": "x"}
    for answer in (api.get(address), api.client.put(address, body, format="json"), api.delete(address)):
        assert_refused(answer, 422, "invalid", "path")
    for name, move in (("from", {"from": path, "to": "/b"}), ("to", {"from": "/b", "to": path})):
        if "%" not in path:
            assert_refused(api.post(f"/sessions/{session}/files/move", move), 422, "invalid", name)


def test_what_is_not_there_is_not_found(api: Api, session: str) -> None:
    assert_refused(api.get(f"/sessions/{session}/files/none"), 404, "not_found")
    assert_refused(api.delete(f"/sessions/{session}/files/none"), 404, "not_found")
    without = api.session()
    assert_refused(api.get(f"/sessions/{without}/files"), 404, "not_found")
    assert_refused(api.client.put(f"/sessions/{without}/files/a", {"content": ""}, format="json"), 404, "not_found")


def test_files_have_bounds(api: Api, session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str, content: str) -> None:
        answer = api.client.put(f"/sessions/{session}/files{path}", {"content": content}, format="json")
        assert_refused(answer, 422, "invalid", "content")

    refused("/a", "x" * 1_048_577)
    monkeypatch.setattr(rules, "MAX_FILES", 1)
    for directory in ("", "/ours"):
        put(api, session, f"{directory}/a")
        put(api, session, f"{directory}/a", "Bye", status=200)
        refused(f"{directory}/b", "x")
    monkeypatch.setattr(rules, "MAX_BYTES", 4)
    refused("/a", "Hello")


def test_the_list_is_by_path_by_prefix_and_in_pages(api: Api, session: str) -> None:
    for path in ("/b", "/notes/a", "/ours/c", "/notes/b"):
        put(api, session, path)
    assert paths(api, session) == ["/b", "/notes/a", "/notes/b", "/ours/c"]
    assert paths(api, session, ordering="-path", limit=2) == ["/ours/c", "/notes/b"]
    assert paths(api, session, prefix="/notes/") == ["/notes/a", "/notes/b"]
    page = api.get(f"/sessions/{session}/files", limit=3).json()
    assert (page["total"], page["total_exact"]) == (4, True)
    assert paths(api, session, limit=3, cursor=page["next_cursor"]) == ["/ours/c"]
    for query in ({"cursor": "x"}, {"limit": 0}, {"scope": "session"}):
        assert_refused(api.get(f"/sessions/{session}/files", **query), 422, "invalid")


def test_a_file_whose_directory_is_another_scopes_now_is_nowhere(api: Api, assistant: str, session: str) -> None:
    put(api, session, "/ours/a")
    put(api, session, "/b")
    changed = api.patch(f"/assistants/{assistant}", {"middleware": listing({"path": "/b", "scope": "user"})})
    assert api.patch(f"/sessions/{session}", {"assistant_version": changed.json()["version"]}).status_code == 200
    assert paths(api, session) == []


def test_listing_takes_the_same_queries_however_many_there_are(
    api: Api, session: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(3):
        put(api, session, f"/{number}")
        put(api, session, f"/ours/{number}")
    api.items(f"/sessions/{session}/files")  # the key's, which are remembered then
    with django_assert_num_queries(4):  # the session, its own, the assistant's, the user's
        assert len(paths(api, session)) == 6
