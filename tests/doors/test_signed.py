"""Triggers at the server's edge: a sender has no key, and may post more than a stranger."""

import json
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook

from core.callers import UNASKED_BYTES
from tests.doors.world import Answer, World
from tests.scheduling.triggers import make

LONG = {"text": "x" * (UNASKED_BYTES + 1)}


def signed(secret: str, id_: str) -> dict[str, str]:
    at = datetime.now(UTC)
    signature = Webhook(secret).sign(id_, at, json.dumps(LONG))
    return {"webhook-id": id_, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def post(world: World, path: str, headers: dict[str, str]) -> Answer:
    return world.send("POST", path, LONG, headers)


def test_a_long_body_is_read_for_a_trigger_that_there_is(world: World) -> None:
    made = make(world.ours)
    told = post(world, made["path"], signed(made["secret"], "long"))
    assert told.status == 202, told.text
    wrong = post(world, made["path"], {"x-api-key": world.keys["everything"]})
    unknown = post(world, "/triggers/trg_" + "x" * 32, signed(made["secret"], "long"))
    assert wrong.status == unknown.status == 401
    assert wrong.told[2] == unknown.told[2]
    # No other address is read further for who shows no key.
    assert post(world, f"/triggers/{made['id']}", {}).status == 401
