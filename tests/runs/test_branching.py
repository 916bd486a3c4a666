"""Runs that begin at an earlier checkpoint of their session: its line moves there, and nothing of the old is lost."""

import importlib
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection

from console.history import read_page
from core.db import Row
from core.errors import Invalid
from core.ids import new_id
from core.validation import validate
from runs.accepting import create_run
from runs.bodies import CreateRun
from runs.services import cancel_run
from runs.worker.agents import agent_of
from runs.worker.outcomes import Cancelled, Failed, Finished, HandedBack
from runs.worker.rescue import put_back
from runtime.contract import Message as Said
from runtime.contract import Step
from runtime.errors import AgentError, ModelTimeout
from sessions.bodies import ForkSession
from sessions.models import Checkpoint, Message, Session
from sessions.queries import messages_at, values_at
from sessions.services import fork_session
from tests.api import HELLO, Api, assert_refused
from tests.runs.conftest import make_session, scripted
from tests.runs.hand import Hand
from tests.runs.worker import Tenant, in_thread, one, rows
from tests.servers import Server


class Talk:
    """A session as its clients and one worker carry it on; what is said names who said it."""

    def __init__(self, tenant: Tenant, session: UUID, hand: Hand):
        self.tenant, self.session, self.hand = tenant, session, hand

    async def accept(self, said: Any, at: UUID | None = None, **options: Any) -> UUID:
        """A run that waits; `at` is where it begins, `said` None goes on there."""
        body = validate(CreateRun, {"input": said and {"message": said}, "checkpoint_id": at and str(at), **options})
        return UUID(str((await create_run(self.tenant.identity, self.session, body, new_id()).arun())["id"]))

    async def ask(self, said: str, answer: str, at: UUID | None = None, **changes: Any) -> UUID:
        """A whole run; gives the checkpoint of its answer."""
        await self.accept(said, at)
        await (await self.hand.claim()).says(answer, done=True, **changes)
        return UUID(str((await self.stands())["checkpoint_id"]))

    async def line(self) -> list[str]:
        """What the session says now. Its numbers are as they must be."""
        said = await rows(
            "SELECT seq, content FROM messages WHERE session_id = %(id)s AND dropped_at_step IS NULL ORDER BY seq",
            id=self.session,
        )
        assert [row["seq"] for row in said] == list(range(1, (await self.stands())["message_count"] + 1))
        return [row["content"] for row in said]

    async def stands(self) -> Row:
        row = await one("SELECT * FROM sessions WHERE id = %(id)s", id=self.session)
        return {name: row[name] for name in ("message_count", "step", "checkpoint_id", "state")}

    async def steps(self) -> list[Row]:
        return await rows("SELECT * FROM checkpoints WHERE session_id = %(id)s ORDER BY step", id=self.session)


@pytest.fixture
def talk(tenant: Tenant, session: UUID, hand: Hand, async_pool: None) -> Talk:
    return Talk(tenant, session, hand)


async def seen_at(checkpoint: UUID) -> list[str]:
    return [row["content"] for row in await messages_at(checkpoint).arun()]


# -- the line moves --------------------------------------------------------------------------------------------------


async def test_a_run_begins_at_its_checkpoint(talk: Talk) -> None:
    early = await talk.ask("one", "two", colour="red")
    await talk.ask("three", "four", colour="blue", size=1)
    await talk.ask("five", "six", at=early, shape="round")
    assert await talk.line() == ["one", "two", "five", "six"]
    state = (await talk.stands())["state"]
    assert (state["colour"], state.get("size"), state["shape"]) == ("red", None, "round")


async def test_its_first_checkpoint_comes_from_there_and_is_the_sessions_next_step(talk: Talk) -> None:
    early = await talk.ask("one", "two")
    await talk.ask("three", "four")
    await talk.ask("five", "six", at=early)
    *_, first, second = await talk.steps()
    assert (first["step"], first["source"], first["parent_id"], first["message_count"]) == (5, "input", early, 3)
    assert (second["step"], second["parent_id"]) == (6, first["id"])


async def test_checkpoints_of_the_old_line_show_what_they_showed(talk: Talk) -> None:
    early = await talk.ask("one", "two", colour="red")
    old = await talk.ask("three", "four", colour="blue")
    shown = await messages_at(old).arun(), await values_at(old).arun()
    await talk.ask("five", "six", at=early)
    after = await messages_at(old).arun(), await values_at(old).arun()
    dropped = [{**row, "dropped_at_step": 5 if row["seq"] > 2 else None} for row in shown[0]]
    assert after == (dropped, shown[1])
    assert await seen_at(early) == ["one", "two"]


async def test_the_old_line_is_there_again_as_copies(talk: Talk) -> None:
    early = await talk.ask("one", "two")
    old = await talk.ask("three", "four", colour="blue")
    new = await talk.ask("five", "six", at=early)
    await talk.ask("seven", "eight", at=old)
    assert await talk.line() == ["one", "two", "three", "four", "seven", "eight"]
    assert (await talk.stands())["state"]["colour"] == "blue"
    assert (await seen_at(old), await seen_at(new)) == (["one", "two", "three", "four"], ["one", "two", "five", "six"])
    threes = await rows("SELECT id, run_id, created_at FROM messages WHERE content = '\"three\"'")
    assert len({row["id"] for row in threes}) == 2
    assert len({(row["run_id"], row["created_at"]) for row in threes}) == 1
    await talk.accept("nine")
    known = [message.id for message in (await talk.hand.claim()).conversation.messages]
    line = await rows("SELECT id FROM messages WHERE dropped_at_step IS NULL ORDER BY seq")
    assert known == [str(row["id"]) for row in line]


async def test_where_the_session_stands_it_is_as_any_run(talk: Talk) -> None:
    await talk.ask("one", "two")
    tip = (await talk.stands())["checkpoint_id"]
    await talk.ask("three", "four", at=tip)
    assert await talk.line() == ["one", "two", "three", "four"]
    assert await rows("SELECT id FROM messages WHERE dropped_at_step IS NOT NULL") == []


async def test_while_it_waits_it_changes_nothing(talk: Talk) -> None:
    early = await talk.ask("one", "two")
    await talk.ask("three", "four")
    before, said = await talk.stands(), await talk.line()
    run = await talk.accept("five", at=early)
    await cancel_run(talk.tenant.identity, run).arun()
    assert (await talk.stands(), await talk.line()) == (before, said)


async def test_what_is_said_while_it_waits_is_left_behind_too(talk: Talk) -> None:
    early = await talk.ask("one", "two")
    await talk.accept("three")
    await talk.accept("five", at=early)
    await (await talk.hand.claim()).says("four", done=True)
    held = await talk.hand.claim()
    assert [message.content for message in held.recorder.state().messages] == ["one", "two", "five"]
    await held.says("six", done=True)
    assert await talk.line() == ["one", "two", "five", "six"]


async def test_a_worker_that_lost_the_run_moves_nothing(talk: Talk) -> None:
    early = await talk.ask("one", "two")
    await talk.ask("three", "four")
    run = await talk.accept("five", at=early)
    late = await talk.hand.claim()
    await put_back(talk.hand.id, [run]).arun()
    said = await talk.line()
    assert not await late.says("too late", done=True)
    assert await talk.line() == said
    await (await talk.hand.claim()).says("six", done=True)
    assert await talk.line() == ["one", "two", "five", "six"]


@pytest.mark.parametrize("outcome", [HandedBack(), Failed(ModelTimeout("slow"))])
async def test_once_the_line_has_moved_the_run_is_as_any_other(talk: Talk, outcome: Any) -> None:
    early = await talk.ask("one", "two")
    await talk.ask("three", "four")
    run = await talk.accept("five", at=early)
    await (await talk.hand.claim()).commit(outcome)
    assert await talk.line() == ["one", "two", "five"]
    await rows("UPDATE runs SET next_attempt_at = NULL WHERE id = %(id)s RETURNING id", id=run)
    held = await (await in_thread(Hand)).claim()
    assert [message.content for message in held.recorder.state().messages] == ["one", "two", "five"]
    await held.says("six", done=True)
    assert await talk.line() == ["one", "two", "five", "six"]


async def test_a_warm_conversation_forgets_the_line_that_it_knew(talk: Talk) -> None:
    early = await talk.ask("one", "two")
    await talk.ask("three", "four")
    elsewhere = Talk(talk.tenant, talk.session, await in_thread(Hand))
    await elsewhere.ask("five", "six", at=early)
    await talk.accept("seven")
    held = await talk.hand.claim()
    assert [message.content for message in held.conversation.messages] == ["one", "two", "five", "six"]


# -- rolled back -----------------------------------------------------------------------------------------------------


async def test_a_rollback_puts_the_old_line_back(talk: Talk) -> None:
    early = await talk.ask("one", "two", colour="red")
    old = await talk.ask("three", "four", colour="blue")
    await talk.ask("five", "six", at=early)
    before, said = await talk.stands(), await rows("SELECT * FROM messages ORDER BY id")
    run = await talk.accept("seven", at=old)
    held = await talk.hand.claim()
    await held.says("eight", colour="green")
    assert await talk.line() == ["one", "two", "three", "four", "seven", "eight"]
    await cancel_run(talk.tenant.identity, run, rollback=True).arun()
    await held.commit(Cancelled())
    assert await talk.stands() == before
    assert await rows("SELECT * FROM messages ORDER BY id") == said
    assert await talk.line() == ["one", "two", "five", "six"]


async def test_a_run_whose_checkpoint_was_taken_out_ends(talk: Talk) -> None:
    await talk.ask("one", "two")
    unwanted = await talk.accept("three")
    held = await talk.hand.claim()
    await held.says("four")
    gone = (await talk.stands())["checkpoint_id"]
    run = await talk.accept("five", at=gone)
    await cancel_run(talk.tenant.identity, unwanted, rollback=True).arun()
    await held.commit(Cancelled())
    before = await talk.stands()
    late = await talk.hand.claim()
    agent = await agent_of(late.claimed, late.conversation)
    with pytest.raises(AgentError) as refusal:
        await agent.step(late.recorder.state(), late)  # type: ignore[arg-type]
    await late.commit(Failed(refusal.value))
    ended = await one("SELECT status, error FROM runs WHERE id = %(id)s", id=run)
    assert (ended["status"], ended["error"]["code"]) == ("error", "checkpoint_gone")
    assert (await talk.stands(), await talk.line()) == (before, ["one", "two"])


async def test_a_checkpoint_that_the_new_run_takes_out_itself_is_refused(talk: Talk) -> None:
    await talk.accept("one")
    await (await talk.hand.claim()).commit(HandedBack())
    checkpoint = (await talk.stands())["checkpoint_id"]
    with pytest.raises(Invalid, match="no such checkpoint"):
        await talk.accept("two", at=checkpoint, multitask_strategy="rollback")
    assert await talk.line() == ["one"]


# -- tool calls under way, and no input ------------------------------------------------------------------------------


async def _calling(talk: Talk) -> UUID:
    """The checkpoint at which two calls are open; the session went on from there."""
    await talk.accept("one")
    held = await talk.hand.claim()
    await held.calls("search", "ask")
    (*_, called) = await talk.steps()
    answers = [
        Said(id=str(new_id()), role="tool", content=f"{name}: ok", tool_call_id=f"call_{name}", name=name)
        for name in ("search", "ask")
    ]
    await held.commit(Finished(Step(kind="tools", messages=answers, next=["model"])))
    await held.says("done", done=True)
    return UUID(str(called["id"]))


async def test_with_an_input_open_calls_are_answered_first(talk: Talk) -> None:
    called = await _calling(talk)
    await talk.accept("two", at=called)
    held = await talk.hand.claim()
    state = held.recorder.state()
    assert [message.role for message in state.messages] == ["user", "assistant", "tool", "tool", "user"]
    assert [message.content for message in state.messages[state.run_start :]] == ["two"]
    await held.says("three", done=True)
    assert (await talk.line())[4:] == ["two", "three"]
    log = await rows("SELECT data FROM run_events WHERE run_id = %(id)s AND event = 'message'", id=held.claimed["id"])
    assert [(event["data"]["seq"], event["data"]["role"]) for event in log] == [
        (3, "tool"),
        (4, "tool"),
        (5, "user"),
        (6, "assistant"),
    ]
    assert "step" not in log[0]["data"]


async def test_without_an_input_it_goes_on_with_the_turn(talk: Talk) -> None:
    called = await _calling(talk)
    await talk.accept(None, at=called)
    held = await talk.hand.claim()
    state = held.recorder.state()
    assert ([message.role for message in state.messages], state.run_start) == (["user", "assistant"], 0)
    await held.says("other", done=True)
    assert await talk.line() == ["one", "", "other"]
    *_, first, _ = await talk.steps()
    assert (first["source"], first["next"], first["parent_id"]) == ("fork", ["tools"], called)


@pytest.mark.parametrize("durability", ["sync", "exit"])
async def test_handed_back_at_once_it_still_goes_on_with_the_turn(talk: Talk, durability: str) -> None:
    called = await _calling(talk)
    before, said = await talk.stands(), await talk.line()
    run = await talk.accept(None, at=called, durability=durability)
    await (await talk.hand.claim()).commit(HandedBack())
    held = await (await in_thread(Hand)).claim()
    state = held.recorder.state()
    assert ([message.role for message in state.messages], state.run_start) == (["user", "assistant"], 0)
    await cancel_run(talk.tenant.identity, run, rollback=True).arun()
    await held.commit(Cancelled())
    assert (await talk.stands(), await talk.line()) == (before, said)


@pytest.mark.parametrize("said", ["two", None])
async def test_with_durability_exit_the_line_moves_when_the_run_is_stored(talk: Talk, said: str | None) -> None:
    called = await _calling(talk)
    before, line = await talk.stands(), await talk.line()
    await talk.accept(said, at=called, durability="exit")
    held = await talk.hand.claim()
    thought = Said(id=str(new_id()), role="assistant", content="hm")
    assert held.recorder.record(Finished(Step(kind="model", messages=[thought])), held.journal.now(), 1) is None
    assert (await talk.stands(), await talk.line()) == (before, line)
    await held.says("three", done=True, colour="red")
    assert (await talk.line())[-2:] == ["hm", "three"]
    *_, last = await talk.steps()
    stands = await talk.stands()
    assert (last["parent_id"], last["step"]) == (called, before["step"] + 1)
    assert (stands["checkpoint_id"], stands["state"]["colour"]) == (last["id"], "red")


@pytest.mark.parametrize("held_by_a_worker", [True, False])
async def test_cancelled_it_answers_the_calls_that_it_went_on_with(talk: Talk, held_by_a_worker: bool) -> None:
    called = await _calling(talk)
    run = await talk.accept(None, at=called)
    held = await talk.hand.claim()
    if held_by_a_worker:
        await held.commit(Cancelled())
    else:
        await held.commit(HandedBack())
        await cancel_run(talk.tenant.identity, run).arun()
    line = await talk.line()
    assert len(line) == 4
    assert all("cancelled" in said for said in line[2:])


# -- what readers see ------------------------------------------------------------------------------------------------


async def test_readers_see_the_current_line(talk: Talk) -> None:
    early = await talk.ask("one", "two")
    old = await talk.ask("three", "four", colour="blue")
    await talk.ask("five", "six", at=early)

    def read() -> tuple[Any, ...]:
        api, path = Api(Session.objects.get(id=talk.session).workspace), f"/sessions/{talk.session}"
        shown = api.get(f"{path}/checkpoints/{old}").json()["state"]["messages"]
        page = read_page({"id": talk.session})
        return (
            [message["content"] for message in api.items(f"{path}/messages")],
            [message["content"] for message in api.get(f"{path}/state").json()["messages"]],
            [entry.text for turn in page.turns for entry in turn.entries],
            [message["content"] for message in shown],
        )

    line, old_line = ["one", "two", "five", "six"], ["one", "two", "three", "four"]
    assert await in_thread(read) == (line, line, line, old_line)


async def test_the_page_shows_no_words_for_a_run_that_has_none(talk: Talk) -> None:
    await talk.accept(None, at=await _calling(talk))

    def read() -> list[str]:
        return [entry.text for turn in read_page({"id": talk.session}).turns for entry in turn.entries]

    assert await in_thread(read) == ["one", "", "done"]


async def test_a_fork_of_an_old_lines_checkpoint_is_the_old_line(talk: Talk) -> None:
    early = await talk.ask("one", "two")
    old = await talk.ask("three", "four", colour="blue")
    await talk.ask("five", "six", at=early)
    forks = []
    for checkpoint in (old, None):
        forked = await fork_session(
            talk.tenant.identity, talk.session, validate(ForkSession, {"checkpoint_id": checkpoint and str(checkpoint)})
        ).arun()
        forks.append(Talk(talk.tenant, forked["id"], talk.hand))
    assert await forks[0].line() == ["one", "two", "three", "four"]
    assert await forks[1].line() == ["one", "two", "five", "six"]
    assert (await forks[0].stands())["state"]["colour"] == "blue"


def test_messages_that_were_there_before_get_the_step_that_brought_them(api: Api) -> None:
    session = api.session()
    for seq in range(1, 5):
        Message.objects.create(session_id=session, seq=seq, role="user", content="x")
    for step, count in enumerate([1, 3, 3], start=1):
        Checkpoint.objects.create(session_id=session, step=step, source="model", message_count=count)
    with connection.cursor() as cursor:
        cursor.execute(importlib.import_module("sessions.migrations.0003_lines")._STEPS)
    assert list(Message.objects.order_by("seq").values_list("step", flat=True)) == [1, 2, 2, 0]


# -- what is refused -------------------------------------------------------------------------------------------------


def _checkpoint(api: Api, session: str, *following: str) -> str:
    count = Checkpoint.objects.filter(session_id=session).count()
    made = Checkpoint.objects.create(
        session_id=session, step=count + 1, source="model", message_count=0, next=list(following)
    )
    return str(made.id)


@pytest.mark.parametrize("path", ["runs", "runs/wait"])
def test_only_a_checkpoint_of_the_session_will_do(api: Api, stranger: Api, path: str) -> None:
    session = api.session()
    others = _checkpoint(api, api.session()), _checkpoint(stranger, stranger.session())
    for checkpoint in [*others, str(uuid4()), "x", 3]:
        answer = api.post(f"/sessions/{session}/{path}", {**HELLO, "checkpoint_id": checkpoint})
        assert_refused(answer, 422, "invalid", "checkpoint_id")
    assert api.items("/runs") == []


def test_in_a_batch_the_place_names_the_run(api: Api) -> None:
    session = api.session()
    run = {**HELLO, "session_id": session, "checkpoint_id": str(uuid4())}
    assert_refused(
        api.post("/runs/batch", {"runs": [{**HELLO, "session_id": session}, run]}),
        422,
        "invalid",
        "runs",
        1,
        "checkpoint_id",
    )
    assert api.items("/runs") == []


def test_a_session_that_is_made_with_its_run_has_no_checkpoint(api: Api) -> None:
    checkpoint = _checkpoint(api, api.session())
    body = {**HELLO, "assistant_id": api.assistant(), "checkpoint_id": checkpoint}
    assert_refused(api.post("/runs", body), 422, "invalid", "checkpoint_id")
    assert len(api.items("/sessions")) == 1


def test_without_a_checkpoint_there_must_be_an_input(api: Api) -> None:
    assert_refused(api.post(f"/sessions/{api.session()}/runs", {"input": None}), 422, "invalid", "input")


def test_where_nothing_follows_there_must_be_an_input(api: Api) -> None:
    session = api.session()
    done, open_ = _checkpoint(api, session), _checkpoint(api, session, "tools")
    path = f"/sessions/{session}/runs"
    assert_refused(api.post(path, {"input": None, "checkpoint_id": done}), 422, "invalid", "input")
    assert api.post(path, {**HELLO, "checkpoint_id": done}).status_code == 202
    answer = api.post(path, {"input": None, "checkpoint_id": open_})
    assert (answer.status_code, answer.json()["input"]) == (202, None)


def test_an_input_schema_says_nothing_about_no_input(api: Api) -> None:
    session = api.session(api.assistant(input_schema={"type": "object", "required": ["topic"]}))
    checkpoint = _checkpoint(api, session, "model")
    path = f"/sessions/{session}/runs"
    assert_refused(api.post(path, {"input": {}, "checkpoint_id": checkpoint}), 422, "invalid", "input")
    assert api.post(path, {"input": None, "checkpoint_id": checkpoint}).status_code == 202


# -- with a whole server ---------------------------------------------------------------------------------------------


def _checkpoints(server: Server, session: str, **wanted: Any) -> list[str]:
    found = server.client.get(f"/sessions/{session}/checkpoints").json()["items"]
    return [c["id"] for c in reversed(found) if all(c[name] == value for name, value in wanted.items())]


def _said(server: Server, session: str) -> list[str]:
    return [m["content"] for m in server.client.get(f"/sessions/{session}/messages").json()["items"]]


@pytest.mark.servers
def test_a_question_is_asked_anew(server: Server) -> None:
    session = make_session(server)
    path = f"/sessions/{session}/runs/wait"
    for text in ("first", "second"):
        server.client.post(path, json={"input": {"message": text}})
    _, answered, *_ = _checkpoints(server, session)
    run = server.client.post(path, json={"input": {"message": "other"}, "checkpoint_id": answered}).json()
    assert (run["status"], run["output"]["text"]) == ("success", "other")
    assert _said(server, session) == ["first", "first", "other", "other"]


@pytest.mark.servers
def test_tools_are_called_anew_and_the_model_asked(server: Server) -> None:
    turns = [{"tool_calls": [{"name": "calculator", "args": {"expression": "6*7"}}]}, {"text": "42"}, {"text": "never"}]
    session = scripted(server, turns, tools=[{"name": "calculator"}])
    path = f"/sessions/{session}/runs/wait"
    server.client.post(path, json={"input": {"message": "go"}})
    before = _said(server, session)
    (called,) = _checkpoints(server, session, next=["tools"])
    run = server.client.post(path, json={"input": None, "checkpoint_id": called}).json()
    assert [step["kind"] for step in run["steps"]] == ["tools", "model"]
    # The model's turns are counted from there, too.
    assert (run["status"], run["output"]["text"], _said(server, session)) == ("success", "42", before)


@pytest.mark.servers
def test_where_a_person_decided_they_are_asked_again(server: Server) -> None:
    turns = [{"tool_calls": [{"name": "calculator", "args": {"expression": "6*7"}}]}, {"text": "done"}]
    session = scripted(server, turns, tools=[{"name": "calculator"}], interrupt_on={"calculator": True})
    path = f"/sessions/{session}/runs/wait"

    def decide(run: Any, **decision: Any) -> Any:
        server.client.post(f"/runs/{run['id']}/resume", json={"decisions": [decision]})
        return server.client.get(f"/runs/{run['id']}/join").json()

    first = server.client.post(path, json={"input": {"message": "go"}}).json()
    assert decide(first, type="approve")["status"] == "success"
    (asked,) = _checkpoints(server, session, source="interrupt")
    again = server.client.post(path, json={"input": None, "checkpoint_id": asked}).json()
    assert (again["status"], again["interrupt"]["type"]) == ("interrupted", "approval")
    assert decide(again, type="reject", message="no")["status"] == "success"
    assert "42" not in _said(server, session)
