"""What looks like a template, a marker of some library or a path is data: it comes back as it went in, everywhere."""

import html
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from accounts.models import User
from tests.bad_input.conftest import World
from tests.runs.hand import Hand

pytestmark = pytest.mark.django_db

TEXTS = [
    "{{7*7}}",
    "{% debug %}",
    "{0.__class__.__mro__}",
    "%s%n%x %(key)s",
    "${jndi:ldap://x/a} $(id) `id`",
    "#{7*7} <%= 7*7 %>",
    "../../etc/passwd",
    "file:///etc/passwd",
    "C:\\..\\boot.ini",
    "' OR '1'='1'; DROP TABLE runs; --",
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "javascript:alert(1)",
    "]]><!--",
    "\u202eelif.exe\u200b\ufeff\u2028\u2029",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u0301\u0489",
    "data: x\n\nevent: end\n\n",
    "a\r\nb\tc\x07\x1b[31m\x7f",
    "null",
    "NaN",
    "__import__('os').system('id')",
    " leading and trailing ",
]
DOCUMENTS: list[Any] = [
    {"lc": 1, "type": "constructor", "id": ["langchain", "llms", "OpenAI"], "kwargs": {"openai_api_key": "x"}},
    {"lc": 1, "type": "secret", "id": ["OPENAI_API_KEY"]},
    {"lc": 2, "type": "not_implemented", "id": ["os", "system"]},
    {"__type__": "x", "py/object": "os.system", "$ref": "#/", "$type": "System.Object", "__class__": "x"},
    {"__proto__": {"admin": True}, "constructor": {"prototype": {}}},
    {"!!python/object/apply:os.system": ["id"], "": "", " ": [], "a.b": 1, "a'b\"": None},
    {"numbers": [0, -0.0, 1e-308, 1e308, 2**64 - 1, -(2**63), 0.1, 1e-400], "deep": [[[[[{"a": [None]}]]]]]},
    *TEXTS,
]
METADATA = {str(index): document for index, document in enumerate(DOCUMENTS)}
SAID = "\n".join(TEXTS)


def test_an_assistant_keeps_what_it_was_given(world: World) -> None:
    door = world.door
    given = {
        "name": f"{TEXTS[0]} {TEXTS[10]} {world.ours['unique']}",
        "llm": {"provider": "fake", "model": "echo", "settings": {}},
        "description": SAID,
        "system_prompt": SAID,
        "metadata": METADATA,
        "input_schema": {"title": TEXTS[0], "default": DOCUMENTS[0], "examples": DOCUMENTS},
        "status": "created",
    }
    made = door.good("POST", "/assistants", given)
    address = f"/assistants/{made['id']}"
    names = given.keys() - {"status", "llm"}
    read = door.good("GET", address)
    changed = door.good("PATCH", address, {"description": SAID + "!", "metadata": {"0": None, "new": DOCUMENTS[1]}})
    version = door.good("GET", f"{address}/versions/1")["config"]
    for seen in (made, read, version):
        assert {name: seen[name] for name in names} == {name: given[name] for name in names}
    assert changed["metadata"] == {**{key: METADATA[key] for key in METADATA if key != "0"}, "new": DOCUMENTS[1]}
    told = door.good("GET", f"{address}/versions/diff?from=1&to=2")["changes"]
    assert {"path": "metadata.0", "op": "remove", "from": DOCUMENTS[0], "to": None} in told
    assert door.good("POST", f"{address}/versions/1/rollback", {"change_note": SAID})["metadata"] == METADATA
    assert door.good("GET", f"{address}/versions/3")["change_note"] == SAID
    noted = door.good("GET", f"{address}/audit")["items"]
    assert given["name"] in [entry["details"].get("name") for entry in noted]


def test_a_session_and_its_runs_keep_what_they_were_given(world: World) -> None:
    door = world.door
    # The worker's hand takes what waits.
    door.good("POST", "/runs/cancel", {"status": "all"})
    assistant = world.ids()["assistant_id"]
    door.good("POST", "/runs/cancel", {"status": "all"})
    parts = [{"type": "text", "text": text} for text in TEXTS]
    initial = {"messages": [{"role": "user", "content": SAID}, {"role": "assistant", "content": parts}]}
    opened = {"metadata": METADATA, "title": TEXTS[10], "user_id": TEXTS[9], "initial_state": initial}
    session = door.good("POST", f"/assistants/{assistant}/sessions", opened)
    address = f"/sessions/{session['id']}"
    assert {name: session[name] for name in ("metadata", "title", "user_id")} == {
        name: opened[name] for name in ("metadata", "title", "user_id")
    }
    given = {"input": {"message": SAID}, "metadata": METADATA}
    run = door.good("POST", f"{address}/runs", given)
    hand = door.wait(sync_to_async(Hand)())

    async def answer() -> None:
        held = await hand.claim()
        await held.says(SAID, done=True, todos=DOCUMENTS)

    door.wait(answer())
    read = door.good("GET", f"/runs/{run['id']}")
    assert (read["status"], read["input"], read["metadata"]) == ("success", given["input"], METADATA)
    assert read["output"]["text"] == SAID
    said = [message["content"] for message in door.good("GET", f"{address}/messages")["items"]]
    assert said == [SAID, parts, SAID, SAID]
    state = door.good("GET", f"{address}/state")
    assert ([message["content"] for message in state["messages"]], state["todos"]) == (said, DOCUMENTS)
    events = door.good("GET", f"/runs/{run['id']}/events?limit=100")["items"]
    told = [event["data"]["content"] for event in events if event["event"] == "message"]
    assert told == [SAID, SAID]
    assert events[-1]["data"]["output"]["text"] == SAID
    # As a stream, each event is one, whatever line breaks are in it.
    frames = door.ask("GET", f"/runs/{run['id']}/stream?after={events[0]['id'].split('-')[0]}-0").text
    streamed = [frame.split("\n") for frame in frames.strip().split("\n\n")]
    assert [[line.partition(": ")[0] for line in lines] for lines in streamed] == [["id", "event", "data"]] * len(
        events
    )
    assert json.loads(streamed[-1][2].removeprefix("data: "))["output"]["text"] == SAID
    forked = door.good("POST", f"{address}/fork", {})
    assert forked["metadata"] == METADATA
    _the_pages_show_it_as_text(session["id"], run["id"], assistant)


def _the_pages_show_it_as_text(session_id: str, run_id: str, assistant_id: str) -> None:
    browser = Client()
    browser.force_login(User.objects.create_superuser("root", password="a long password"))
    for address in (
        f"/console/chat/{session_id}",
        "/console/chat/conversations",
        f"/admin/agent_sessions/session/{session_id}/change/",
        "/admin/agent_sessions/session/",
        f"/admin/runs/run/{run_id}/change/",
        f"/admin/assistants/assistant/{assistant_id}/change/",
        "/admin/assistants/assistant/",
    ):
        page = browser.get(address)
        assert page.status_code == 200, address
        shown = page.content.decode()
        assert "<script>alert(1)" not in shown, address
        assert "<img src=x" not in shown, address
        if address.endswith(session_id):
            text = html.unescape(shown)
            assert TEXTS[0] in text
            assert "49" not in text.partition(TEXTS[0])[2][:50]
            assert TEXTS[10] in text
