"""What is another's cannot be told from what is nowhere: by nothing sent along, and by no state that it is in."""

from typing import Any

import pytest

from accounts.models import ApiKey
from assistants.services import archive_assistant
from core.ids import path_id
from runs.services import close_session
from tests.doors.cases import API, Case
from tests.doors.test_keys import named
from tests.doors.world import World

# With each of these a request has something else to be refused for, or to be answered from.
BESIDE: dict[str, dict[str, Any]] = {
    "an unknown field": {"body": {"nonsense": 1}},
    "no object for a body": {"body": [1]},
    "an unknown query key": {"query": "nonsense=1"},
    "a condition": {"headers": {"if-match": '"7"', "if-none-match": "*"}},
    "an event's id": {"headers": {"last-event-id": "1-1"}},
    "somebody's idempotency key": {"headers": {"idempotency-key": "mine"}},
}
HIDDEN = [case for case in API if any(f"{{{name}}}" in f"{case.path} {case.body}" for name in (*World.OBJECTS, "name"))]


def answers(world: World, case: Case, who: str, ids: dict[str, str], beside: dict[str, Any]) -> tuple[Any, Any]:
    """What such a caller gets for these ids, and for those of nothing."""
    # An assistant is nobody's own: a key that is bound to a user may know it.
    shared = {"assistant_id": ids["assistant_id"], "name": ids["name"]} if who == "bob" else {}
    path, _, query = case.path.partition("?")
    sent = f"{path}?{'&'.join(part for part in (query, beside.get('query')) if part)}"
    headers = {"x-api-key": world.keys[who], **beside.get("headers", {})}
    changed = Case(case.method, sent, case.scope, beside.get("body", case.body) if case.writes else None)
    first, second = (world.ask(changed, asked, headers) for asked in (ids, {**world.unknown(), **shared}))
    return first.told, second.told


def concerns(case: Case, who: str) -> bool:
    return case.for_stranger >= 400 if who == "stranger" else case.for_other in {404, 422}


def is_read_by(case: Case, what: str) -> bool:
    """Whether this could matter to such a request at all."""
    if what in {"an unknown query key", "a condition"}:
        return True
    return case.writes is (what != "an event's id")


@pytest.mark.parametrize("who", ["stranger", "bob"])
@pytest.mark.parametrize("case", HIDDEN, ids=named)
def test_nothing_that_is_sent_along_tells(world: World, case: Case, who: str) -> None:
    if not concerns(case, who):
        return
    for what, beside in BESIDE.items():
        if not is_read_by(case, what):
            continue
        if "idempotency-key" in beside.get("headers", {}):
            # What it stands for was made by one who may.
            made = world.ask(case, world.ids, {"x-api-key": world.keys["ann"], **beside["headers"]})
            assert made.status != 404
            world.mend()
        theirs, nothing = answers(world, case, who, world.ids, beside)
        assert (what, theirs) == (what, nothing)


@pytest.fixture(scope="module")
def over(world: World) -> dict[str, str]:
    """Things that have ended, so that who may is refused most of what could be done with them (409)."""
    ids, caller = world.fresh(), world.ours.identity
    close_session(caller, path_id(ids["session_id"])).run()
    archive_assistant(caller, path_id(ids["assistant_id"]))
    ApiKey.objects.filter(id=ids["api_key_id"]).update(revoked_at="2026-01-01T00:00:00Z")
    return ids


@pytest.mark.parametrize("who", ["stranger", "bob"])
@pytest.mark.parametrize("case", HIDDEN, ids=named)
def test_no_state_tells(world: World, over: dict[str, str], case: Case, who: str) -> None:
    if concerns(case, who):
        theirs, nothing = answers(world, case, who, over, {})
        assert theirs == nothing
