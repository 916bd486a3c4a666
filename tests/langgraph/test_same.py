"""One script of calls by the official SDK: our answers are those of `langgraph dev`, but for what is listed here."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client

from tests.langgraph import script
from tests.servers import Server

pytestmark = pytest.mark.servers

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())

# What differs, by the step's name, and why. A step that does not differ any more leaves the list.
LISTED: dict[str, str] = {
    "back to the first": "There the context stays that of the newest version, a defect; ours comes back.",
    "it is found as it was left": "The same assistant, as it was left.",
    "at a checkpoint": "There `checkpoint` is without `checkpoint_ns`, which its type promises.",
    "after the change": "There a change at an earlier checkpoint has that one's id among its metadata.",
    "all below": "Ours gives what was changed last first, as LangGraph's store on PostgreSQL does.",
}


@pytest.fixture(scope="module")
def told(server: Server) -> list[Any]:
    client = get_client(url=f"{server.url}/langgraph", api_key=server.key)
    answers: list[Any] = json.loads(json.dumps(script.plain(asyncio.run(script.carry_out(client)))))
    return answers


def test_the_steps_are_the_recorded_ones(told: list[Any]) -> None:
    assert [name for name, _ in told] == [name for name, _ in RECORDED]


@pytest.mark.parametrize("number", range(len(RECORDED)), ids=lambda n: f"{n:02d} {RECORDED[n][0]}")
def test_the_answer_is_the_recorded_one(told: list[Any], number: int) -> None:
    name, recorded = RECORDED[number]
    if name in LISTED:
        assert told[number][1] != recorded
    else:
        assert told[number][1] == recorded
