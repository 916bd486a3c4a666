"""Sessions that no assistant serves yet, as the native product shows them."""

from uuid import UUID

import pytest

from core.errors import AlreadyExists
from core.ids import new_id
from runs.services import close_session
from sessions.threads import open_thread
from tests.api import HELLO, Api, assert_refused


@pytest.fixture
def thread(api: Api) -> str:
    return str(open_thread(api.identity, new_id(), {"a": 1}, None).run()["id"])


def test_it_is_listed_and_read_as_any_other(api: Api, thread: str) -> None:
    (listed,) = api.items("/sessions")
    assert listed == api.get(f"/sessions/{thread}").json()
    assert (listed["id"], listed["assistant_id"], listed["assistant_version"]) == (thread, None, None)
    assert api.get(f"/sessions/{thread}/state").json()["messages"] == []
    assert api.items(f"/sessions/{thread}/messages") == api.items(f"/sessions/{thread}/checkpoints") == []


def test_it_takes_no_native_run(api: Api, thread: str) -> None:
    answer = api.post(f"/sessions/{thread}/runs", HELLO)
    assert_refused(answer, 409, "assistant_not_active")
    assert "has no assistant yet" in answer.json()["detail"]
    batch = api.post("/runs/batch", {"runs": [{"session_id": thread, **HELLO}]})
    assert_refused(batch, 409, "assistant_not_active")


def test_it_can_be_renamed_but_not_pinned(api: Api, thread: str) -> None:
    changed = api.patch(f"/sessions/{thread}", {"title": "Trip", "metadata": {"b": 2}}).json()
    assert (changed["title"], changed["metadata"], changed["assistant_version"]) == ("Trip", {"a": 1, "b": 2}, None)
    assert_refused(api.patch(f"/sessions/{thread}", {"assistant_version": 1}), 422, "invalid", "assistant_version")
    assert_refused(api.patch(f"/sessions/{thread}", {"tag": "stable"}), 422, "invalid", "tag")


def test_it_has_no_files(api: Api, thread: str) -> None:
    assert_refused(api.get(f"/sessions/{thread}/files"), 404, "not_found")


def test_its_fork_has_no_assistant_either(api: Api, thread: str) -> None:
    fork = api.post(f"/sessions/{thread}/fork").json()
    assert (fork["assistant_id"], fork["metadata"]) == (None, {"a": 1})


def test_it_can_be_closed(api: Api, thread: str) -> None:
    assert close_session(api.identity, UUID(thread)).run().session["status"] == "closed"


def test_its_id_is_taken_in_every_workspace(api: Api, stranger: Api, thread: str) -> None:
    with pytest.raises(AlreadyExists):
        open_thread(stranger.identity, UUID(thread), {}, None).run()
