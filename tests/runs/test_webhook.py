"""The webhook that a run names itself: at every door, checked there, and never with a secret's value."""

import json
from typing import Any, get_args

import pytest

from core.errors import Invalid
from core.validation import validate
from runs.bodies import CreateRun
from runs.models import Run
from runs.webhook import RunKind
from tests.api import HELLO, Api, assert_refused
from tests.servers import Server, wait_for
from tests.sse import events
from tests.stubs.receiver import Receiver
from webhooks.kinds import RUN_KINDS

URL = "https://example.com/hook?token=1"


def test_a_url_alone_hears_of_everything(api: Api) -> None:
    run = api.run(webhook=URL)
    document = {"url": URL, "secret_env": None, "events": list(RUN_KINDS)}
    assert api.get(f"/runs/{run}").json()["webhook"] == document
    assert api.items("/runs")[0]["webhook"] == document
    assert get_args(RunKind) == RUN_KINDS


def test_it_says_what_it_wants_to_hear_and_how_it_is_signed(api: Api) -> None:
    for reference in ("AGENT_SECRET_HOOK", "secret:hook"):
        webhook = {"url": URL, "secret_env": reference, "events": ["run.failed"]}
        assert api.get(f"/runs/{api.run(webhook=webhook)}").json()["webhook"] == webhook


def test_a_run_without_one_has_none(api: Api) -> None:
    assert api.get(f"/runs/{api.run(webhook=None)}").json()["webhook"] is None
    assert Run.objects.get().webhook is None


def test_each_door_takes_it(api: Api) -> None:
    assistant, session = api.assistant(), api.session()
    made = api.post("/runs", {**HELLO, "assistant_id": assistant, "webhook": URL})
    assert made.json()["webhook"]["url"] == URL
    many = [{"session_id": session}, {"assistant_id": assistant}]
    batch = api.post("/runs/batch", {"runs": [{**HELLO, **one, "webhook": URL} for one in many]})
    assert [run["webhook"]["url"] for run in batch.json()["items"]] == [URL, URL]


@pytest.mark.parametrize(
    ("webhook", "loc"),
    [
        ("ftp://example.com/", ("url",)),
        ("http://localhost/", ("url",)),
        ("http://127.0.0.1:8000/", ("url",)),
        ("http://0x7f.1/", ("url",)),
        ("http://[::1]/", ("url",)),
        ("https://user:password@example.com/", ("url",)),
        ("", ("url",)),
        (7, ()),
        ({}, ("url",)),
        ({"url": URL, "secret_env": "PATH"}, ("secret_env",)),
        ({"url": URL, "secret_env": "secret:"}, ("secret_env",)),
        ({"url": URL, "events": []}, ("events",)),
        ({"url": URL, "events": ["schedule.failed"]}, ("events", 0)),
        ({"url": URL, "secret": "whsec_x"}, ("secret",)),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(webhook: Any, loc: tuple[str | int, ...]) -> None:
    with pytest.raises(Invalid) as refused:
        validate(CreateRun, {**HELLO, "webhook": webhook})
    assert [error.loc for error in refused.value.errors] == [("webhook", *loc)]


def test_a_server_without_webhooks_refuses_them(api: Api, settings: Any) -> None:
    session = api.session()
    settings.WEBHOOKS = False
    assert_refused(api.post(f"/sessions/{session}/runs", {**HELLO, "webhook": URL}), 422, "invalid", "webhook")
    assert api.post(f"/sessions/{session}/runs", {**HELLO, "webhook": None}).status_code == 202


def test_polling_streaming_and_being_told_show_one_end(server: Server, echo_session: str) -> None:
    with Receiver() as receiver:
        with server.client.stream(
            "POST", f"/sessions/{echo_session}/runs/stream", json={**HELLO, "webhook": f"{receiver.url}/200/hook"}
        ) as answer:
            *_, end = events(answer)
        wait_for(lambda: receiver.arrived)
    body = json.loads(receiver.arrived[0].body)
    run = server.client.get(f"/runs/{end.data['run_id']}").json()
    assert (body["type"], body["data"]) == ("run.succeeded", run)
    assert {name: end.data[name] for name in ("status", "output", "error", "usage")} == {
        name: run[name] for name in ("status", "output", "error", "usage")
    }
