"""Two workspaces with everything in them, for all tests of a file: what is refused leaves nothing behind."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from pytest_django import DjangoDbBlocker

from accounts.credentials import MEMORY
from accounts.models import Workspace
from accounts.services import create_api_key
from core.redis import client as redis_client
from tests.bad_input.door import Door
from tests.quick import empty_the_tables
from tests.runs.hand import Hand
from webhooks.kinds import Kind
from webhooks.models import Alert

Ids = dict[str, str]
LLM = {"provider": "fake", "model": "echo"}
# Shared, so that they can be changed while a run waits.
FILES = {"name": "files", "settings": {"directories": [{"path": "/", "scope": "assistant"}]}}


@dataclass(eq=False)
class World:
    """A door, and what is behind it."""

    door: Door
    strangers: Ids
    _ours: Ids = field(default_factory=dict)

    @property
    def ours(self) -> Ids:
        """Our things, for what changes nothing."""
        self._ours = self._ours or self.ids("{interrupted_id}")
        return self._ours

    def ids(self, path: str = "") -> Ids:
        """New things of our own, and what the address asks for."""
        door, unique = self.door, uuid4().hex
        created = door.good("POST", "/assistants", {"name": f"c {unique}", "llm": LLM, "status": "created"})["id"]
        archived = door.good("POST", "/assistants", {"name": f"a {unique}", "llm": LLM})["id"]
        door.good("DELETE", f"/assistants/{archived}")
        # First, since it cancels what waits.
        asks = {"interrupted_id": self.interrupted()} if "interrupted_id" in path else {}
        return {"unique": uuid4().hex, "created_id": created, "archived_id": archived} | asks | things(door)

    def interrupted(self) -> str:
        """A run that has asked a person, by the hand of a worker. No other may wait to be claimed."""
        door = self.door
        door.good("POST", "/runs/cancel", {"status": "all"})
        assistant = door.good("POST", "/assistants", {"name": f"i {uuid4()}", "llm": LLM})["id"]
        run_id: str = door.good("POST", "/runs", {"assistant_id": assistant, "input": {"message": "Hello"}})["id"]
        # In a thread, since what a test writes on its own connection is not seen by others.
        hand = door.wait(sync_to_async(Hand)())

        async def ask() -> None:
            await (await hand.claim()).asks(type="custom", value="Go on?")

        door.wait(ask())
        return run_id


def things(door: Door) -> Ids:
    """An assistant, and what belongs to it."""
    assistant = door.good("POST", "/assistants", {"name": f"n {uuid4()}", "llm": LLM, "middleware": [FILES]})["id"]
    door.good("PUT", f"/assistants/{assistant}/versions/1/tags/tagged")
    door.good("PUT", "/secrets/KEPT", {"value": "a secret text", "hosts": ["example.com"]})
    said = {"initial_state": {"messages": [{"role": "user", "content": "Hello"}]}}
    session = door.good("POST", f"/assistants/{assistant}/sessions", said)["id"]
    door.good("PUT", f"/sessions/{session}/files/kept.txt", {"content": "Hello"})
    daily = {"name": "Daily", "cron": "0 9 * * *", "input": {"message": "Hello"}}
    return {
        "assistant_id": assistant,
        "trigger_id": door.good("POST", f"/assistants/{assistant}/triggers", {"name": "ci"})["id"],
        "schedule_id": door.good("POST", f"/assistants/{assistant}/schedules", daily)["id"],
        "session_id": session,
        "checkpoint_id": door.good("GET", f"/sessions/{session}/checkpoints")["items"][0]["id"],
        "run_id": door.good("POST", f"/sessions/{session}/runs", {"input": {"message": "Hello"}})["id"],
        "member_id": door.good("POST", "/members", {"username": uuid4().hex})["id"],
        "api_key_id": door.good("POST", "/api-keys", {"name": "spare", "scopes": ["runs:read"]})["id"],
        **webhook(door),
    }


def webhook(door: Door) -> Ids:
    """One with a delivery, and an alert. A workspace may have so many: what there is is taken."""
    made = door.good("GET", "/webhooks")["items"] or [
        door.good("POST", "/webhooks", {"name": "kept", "url": "https://example.com/", "events": ["queue.stuck"]})
    ]
    workspace = door.good("GET", "/me")["workspace"]["id"]
    wrong = Alert(workspace_id=workspace, kind=Kind.QUEUE_STUCK, subject=uuid4().hex, message="Stuck.")
    # In a thread, as above.
    door.wait(sync_to_async(wrong.save)())
    delivery = door.good("POST", f"/webhooks/{made[0]['id']}/test")
    return {"webhook_id": made[0]["id"], "delivery_id": delivery["id"], "alert_id": str(wrong.pk)}


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    with django_db_blocker.unblock():
        ours, theirs = (Workspace.objects.create(name=name, slug=name.lower()) for name in ("Ours", "Theirs"))
        (_, key), (_, other_key) = (create_api_key(workspace, "tests", ["*"]) for workspace in (ours, theirs))
        door = Door(other_key)
        try:
            strangers = things(door)
            door.good("POST", "/runs/cancel", {"status": "all"})
            door.become(key)
            yield World(door, strangers)
        finally:
            door.close()
            connection.close()
            empty_the_tables()
            MEMORY.clear()
            redis_client().flushdb()
