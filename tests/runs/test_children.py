"""A run that has others carry something out: it waits for them without a slot, and they end with it."""

from typing import Any
from uuid import UUID

import pytest

from accounts.models import Workspace
from assistants.services import create_assistant
from core.errors import Conflict, NotInterrupted
from core.validation import validate
from runs.announce import look_after, look_after_now
from runs.bodies import ResumeRun
from runs.family import unsettled
from runs.models import Run, RunEvent
from runs.queries import get_run
from runs.resuming import resume_run
from runs.services import cancel_run, close_session
from runs.worker.children import MAX_DEPTH
from runs.worker.outcomes import Cancelled, Failed, TimedOut
from runs.worker.rescue import put_back
from runs.worker.runner import Runner
from runtime.errors import AgentError
from sessions.models import Session
from sessions.queries import values_at
from tests.api import Api
from tests.runs.hand import Hand, Held
from tests.runs.worker import Tenant, in_thread, rows, until

pytestmark = pytest.mark.usefixtures("async_pool")

QUESTION = {"type": "custom", "value": "May I?"}
ECHO = {"provider": "fake", "model": "echo"}


async def run_of(run: UUID) -> Run:
    return await in_thread(lambda: Run.objects.get(id=run))


async def status_of(*runs: UUID) -> list[str]:
    return [(await run_of(run)).status for run in runs]


async def parent_of(tenant: Tenant, hand: Hand, *calls: str, **child: Any) -> tuple[Run, list[Held]]:
    """A run that waits for a child for each call, and these, claimed."""
    run = await in_thread(tenant.run)
    await (await hand.claim()).delegates(*calls, **child)
    return await run_of(run), await hand.claim_all()


def id_of(held: Held) -> UUID:
    run: UUID = held.claimed["id"]
    return run


def api_of(tenant: Tenant) -> Api:
    return Api(Workspace.objects.get(id=tenant.identity.workspace_id))


async def resume(tenant: Tenant, run: UUID, **body: Any) -> None:
    await in_thread(lambda: resume_run(tenant.identity, run, validate(ResumeRun, body)).run())
    await look_after([run])


async def told(run: UUID) -> list[dict[str, Any]]:
    """What the run's events say of its children."""
    events = await in_thread(lambda: list(RunEvent.objects.filter(run_id=run, event="custom")))
    return [event.data for event in events]


async def goes_on(hand: Hand, parent: Run) -> Held:
    """The parent, claimed again."""
    held = await hand.claim()
    assert id_of(held) == parent.id
    return held


# -- waiting -----------------------------------------------------------------------------------------------------------


async def test_a_run_that_delegates_waits_without_a_worker(tenant: Tenant, hand: Hand) -> None:
    parent, children = await parent_of(tenant, hand, "a", "b")
    assert (parent.status, parent.waiting, parent.ready, parent.lease_owner) == ("pending", True, False, None)
    (session,) = await rows("SELECT activity, head_run_id FROM sessions WHERE id = %(id)s", id=parent.session_id)
    assert session == {"activity": "running", "head_run_id": parent.id}
    assert [child.claimed["input"] for child in children] == [{"message": "a"}, {"message": "b"}]


async def test_children_are_their_parents(tenant: Tenant, hand: Hand) -> None:
    session = await in_thread(tenant.session)
    known = {"metadata": {"tier": "gold"}, "context": {"a": 1}, "state": {"metadata": {"a": 1}}}
    await in_thread(lambda: Session.objects.filter(id=session).update(**known))
    run = await in_thread(lambda: tenant.run(session, priority=7, metadata={"for": "ada"}))
    await (await hand.claim()).delegates("a", subagent="writer", title="Writing")
    (child,) = await in_thread(lambda: list(Run.objects.filter(parent_run=run).select_related("session", "parent_run")))
    parent = child.parent_run
    for name in (
        "workspace_id",
        "assistant_id",
        "assistant_version",
        "priority",
        "durability",
        "metadata",
        "timeout_s",
    ):
        assert getattr(child, name) == getattr(parent, name), name
    assert (child.parent_call_id, child.subagent) == ("call_a", "writer")
    of_child = child.session
    assert (of_child.parent_id, of_child.head_run_id, of_child.title) == (session, child.id, "Writing")
    assert {name: getattr(of_child, name) for name in known} == known
    # As of its first checkpoint, too: a fork or a rollback finds it.
    assert await values_at(of_child.checkpoint_id).arun() == of_child.state


async def test_its_readers_hear_of_its_children(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a", subagent="writer")
    run, session = str(id_of(child)), str(child.claimed["session_id"])
    began = {"tool_call_id": "call_a", "run_id": run, "session_id": session, "subagent": "writer"}
    assert await told(parent.id) == [{"name": "subagent_started", "value": began}]
    await child.says("done", done=True)
    await look_after([id_of(child)])
    ended = {"tool_call_id": "call_a", "run_id": run, "status": "success"}
    assert (await told(parent.id))[1:] == [{"name": "subagent_ended", "value": ended}]
    log = await in_thread(lambda: list(RunEvent.objects.filter(run_id=parent.id).values_list("seq", flat=True)))
    assert log == list(range(1, len(log) + 1))


async def test_it_goes_on_when_all_have_ended(tenant: Tenant, hand: Hand) -> None:
    parent, (first, second) = await parent_of(tenant, hand, "a", "b")
    await first.says("one", done=True)
    await look_after([id_of(first)])
    assert not await hand.claim_all()
    await second.commit(Failed(AgentError("It broke.")))
    assert await look_after([id_of(second)])
    held = await goes_on(hand, parent)
    results = held.recorder.state().children
    assert {call: (result.status, result.run_id) for call, result in results.items()} == {
        "call_a": ("success", str(id_of(first))),
        "call_b": ("error", str(id_of(second))),
    }
    assert results["call_a"].output["text"] == "one"
    assert results["call_b"].error["message"] == "It broke."


async def test_results_are_handed_over_until_a_step_has_taken_them(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    await child.says("one", done=True)
    await look_after()
    held = await goes_on(hand, parent)
    # Its worker dies before it has stored the step that takes them.
    await put_back(hand.id, [parent.id]).arun()
    held = await goes_on(hand, parent)
    assert held.recorder.state().children.keys() == {"call_a"}
    await held.says("thanks")
    assert held.recorder.state().children == {}
    await put_back(hand.id, [parent.id]).arun()
    assert (await goes_on(hand, parent)).recorder.state().children == {}


async def test_the_children_of_a_later_step_are_others(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    await child.says("one", done=True)
    await look_after()
    await (await goes_on(hand, parent)).delegates("b")
    (child,) = await hand.claim_all()
    await child.says("two", done=True)
    await look_after()
    assert (await goes_on(hand, parent)).recorder.state().children.keys() == {"call_b"}


async def test_a_worker_that_is_late_delegates_nothing(tenant: Tenant, hand: Hand) -> None:
    run = await in_thread(tenant.run)
    held = await hand.claim()
    await put_back(hand.id, [run]).arun()
    await held.delegates("a")
    assert not await in_thread(lambda: Run.objects.filter(parent_run=run).exists())
    assert not (await run_of(run)).waiting


async def test_a_run_that_is_to_be_cancelled_delegates_nothing(tenant: Tenant, hand: Hand) -> None:
    run = await in_thread(tenant.run)
    held = await hand.claim()
    await held.calls("a")
    await in_thread(lambda: cancel_run(tenant.identity, run).run())
    await held.delegates("a")
    assert not await in_thread(lambda: Run.objects.filter(parent_run=run).exists())
    again = await hand.claim()
    await again.commit(Cancelled())
    assert await status_of(run) == ["cancelled"]


async def test_what_a_crash_left_undone_is_done_by_the_next_look(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    await child.says("one", done=True)
    assert not await hand.claim_all()
    await in_thread(look_after_now)
    await goes_on(hand, parent)


async def test_two_that_look_at_once_let_it_go_on_once(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    await child.says("one", done=True)
    await look_after([id_of(child)])
    await look_after([id_of(child)])
    assert [event["name"] for event in await told(parent.id)] == ["subagent_started", "subagent_ended"]


# -- other assistants --------------------------------------------------------------------------------------------------


def another(tenant: Tenant, **config: Any) -> UUID:
    body = {"name": "other", "llm": {"provider": "fake", "model": "echo"}, **config}
    row = create_assistant(tenant.identity, body)
    found: UUID = UUID(str(row["id"] if isinstance(row, dict) else row.id))
    return found


async def test_a_child_may_be_another_assistant(tenant: Tenant, hand: Hand) -> None:
    other = await in_thread(lambda: another(tenant, run_timeout_s=12))
    _, (child,) = await parent_of(tenant, hand, "a", assistant_id=str(other), subagent="helper")
    run = await run_of(id_of(child))
    assert (run.assistant_id, run.assistant_version, run.subagent, run.timeout_s) == (other, 1, "", 12)


@pytest.mark.parametrize(
    ("choice", "fault"),
    [
        ({"assistant_id": "00000000-0000-7000-8000-000000000000"}, "There is no such assistant."),
        ({"version": 7}, "The assistant has no such version."),
        ({"tag": "none"}, "The assistant has no such version."),
    ],
)
async def test_a_child_that_cannot_begin_ends_at_once(
    tenant: Tenant, hand: Hand, choice: dict[str, Any], fault: str
) -> None:
    other = await in_thread(lambda: another(tenant))
    parent, children = await parent_of(tenant, hand, "a", **{"assistant_id": str(other), **choice})
    assert not children
    await look_after([parent.id])
    (result,) = (await goes_on(hand, parent)).recorder.state().children.values()
    assert (result.status, result.error["message"]) == ("error", fault)
    (session,) = await rows("SELECT activity, head_run_id FROM sessions WHERE parent_id IS NOT NULL")
    assert session == {"activity": "error", "head_run_id": None}


async def test_an_assistant_that_is_not_active_takes_no_task(tenant: Tenant, hand: Hand) -> None:
    other = await in_thread(lambda: another(tenant, status="created"))
    parent, _ = await parent_of(tenant, hand, "a", assistant_id=str(other))
    await look_after([parent.id])
    (result,) = (await goes_on(hand, parent)).recorder.state().children.values()
    assert result.error["message"] == "The assistant is created; only an active one takes runs."


async def test_sub_agents_stand_only_so_deep(tenant: Tenant, hand: Hand) -> None:
    await in_thread(tenant.run)
    for _ in range(MAX_DEPTH):
        await (await hand.claim()).delegates("a")
    deepest = await hand.claim()
    await deepest.delegates("a")
    await look_after([id_of(deepest)])
    (result,) = (await hand.claim()).recorder.state().children.values()
    assert result.error["message"] == f"Sub-agents may stand {MAX_DEPTH} deep, and no deeper."


# -- endings -----------------------------------------------------------------------------------------------------------


async def test_cancelling_a_run_cancels_its_children(tenant: Tenant, hand: Hand) -> None:
    parent, (running, asking, nesting) = await parent_of(tenant, hand, "a", "b", "c")
    await asking.asks(**QUESTION)
    await nesting.delegates("d")
    (grandchild,) = await in_thread(lambda: list(Run.objects.filter(parent_run=id_of(nesting))))
    await in_thread(lambda: api_of(tenant).post(f"/runs/{parent.id}/cancel"))
    assert await status_of(parent.id, id_of(asking), id_of(nesting), grandchild.id) == ["cancelled"] * 4
    assert await unsettled(None).arun() == []
    assert (await run_of(id_of(running))).cancel_requested_at is not None
    assert await running.commit(Cancelled())
    assert await status_of(id_of(running)) == ["cancelled"]


async def test_a_parent_that_is_over_time_ends_and_its_children_with_it(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    await in_thread(lambda: Run.objects.filter(id=parent.id).update(timeout_s=0))
    await look_after()
    held = await goes_on(hand, parent)
    assert held.claimed["time_left_s"] <= 0
    await held.commit(TimedOut())
    await look_after([parent.id])
    assert (await run_of(id_of(child))).cancel_requested_at is not None


async def test_a_child_that_is_cancelled_is_a_result(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    await in_thread(lambda: cancel_run(tenant.identity, id_of(child)).run())
    await child.commit(Cancelled())
    await look_after([id_of(child)])
    (result,) = (await goes_on(hand, parent)).recorder.state().children.values()
    assert (result.status, result.output) == ("cancelled", None)


async def test_closing_a_session_closes_those_of_its_sub_agents(tenant: Tenant, hand: Hand) -> None:
    parent, (child, nesting) = await parent_of(tenant, hand, "a", "b")
    await nesting.delegates("c")
    closed = await in_thread(lambda: close_session(tenant.identity, parent.session_id).run())
    assert len(closed.sessions) == 4
    assert {row["id"] for row in closed.ended} >= {parent.id, id_of(nesting)}
    assert {row["status"] for row in await rows("SELECT status FROM sessions")} == {"closed"}
    assert (await run_of(id_of(child))).cancel_requested_at is not None


async def test_a_new_message_that_takes_its_place_ends_the_children(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    await in_thread(lambda: tenant.run(parent.session_id, multitask_strategy="interrupt"))
    await look_after([parent.id])
    assert await status_of(parent.id) == ["cancelled"]
    assert (await run_of(id_of(child))).cancel_requested_at is not None


async def test_a_sub_agents_session_takes_no_other_runs(tenant: Tenant, hand: Hand) -> None:
    _, (child,) = await parent_of(tenant, hand, "a")
    with pytest.raises(Conflict):
        await in_thread(lambda: tenant.run(child.claimed["session_id"]))


# -- asking ------------------------------------------------------------------------------------------------------------


async def test_what_a_child_asks_its_parent_asks(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    await child.asks(**QUESTION)
    await look_after([id_of(child)])
    asking = await run_of(parent.id)
    asked = {"type": "subagent", "run_id": str(id_of(child)), "interrupt": QUESTION, "tool_call_id": "call_a"}
    assert (asking.status, asking.interrupt) == ("interrupted", asked)
    last = await in_thread(lambda: RunEvent.objects.filter(run_id=parent.id).last())
    assert (last.event, last.data, last.seq) == ("interrupt", asked, asking.last_seq)
    (session,) = await rows("SELECT activity FROM sessions WHERE id = %(id)s", id=parent.session_id)
    assert session == {"activity": "interrupted"}

    await resume(tenant, parent.id, value="yes")
    again = await hand.claim()
    assert (id_of(again), again.claimed["resume"]) == (id_of(child), {"value": "yes"})
    assert await status_of(parent.id) == ["pending"]
    await again.says("done", done=True)
    await look_after([id_of(child)])
    await goes_on(hand, parent)


async def test_it_is_answered_once(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    await child.asks(**QUESTION)
    await look_after()
    await resume(tenant, parent.id, value="yes")
    with pytest.raises(NotInterrupted):
        await resume(tenant, parent.id, value="no")


async def test_several_that_ask_are_answered_together(tenant: Tenant, hand: Hand) -> None:
    parent, (first, second, third) = await parent_of(tenant, hand, "a", "b", "c")
    await first.asks(**QUESTION)
    await second.asks(**QUESTION)
    await look_after()
    # The third one may still go on.
    assert await status_of(parent.id) == ["pending"]
    await third.says("done", done=True)
    await look_after([id_of(third)])
    assert (await run_of(parent.id)).interrupt["type"] == "multiple"
    responses = [{"tool_call_id": "call_b", "value": 2}, {"tool_call_id": "call_a", "value": 1}]
    await resume(tenant, parent.id, responses=responses)
    answers = {id_of(held): held.claimed["resume"] for held in await hand.claim_all()}
    assert answers == {id_of(first): {"value": 1}, id_of(second): {"value": 2}}


async def test_a_question_goes_up_through_all_that_wait(tenant: Tenant, hand: Hand) -> None:
    parent, (middle,) = await parent_of(tenant, hand, "a")
    await middle.delegates("b")
    (child,) = await hand.claim_all()
    await child.asks(**QUESTION)
    await look_after([id_of(child)])
    assert await status_of(parent.id, id_of(middle)) == ["interrupted", "interrupted"]
    assert (await run_of(parent.id)).interrupt["interrupt"]["interrupt"] == QUESTION
    await in_thread(lambda: api_of(tenant).post(f"/runs/{parent.id}/resume", {"value": "yes"}))
    assert await status_of(parent.id, id_of(middle)) == ["pending", "pending"]
    again = await hand.claim()
    assert (id_of(again), again.claimed["resume"]) == (id_of(child), {"value": "yes"})


async def test_a_child_may_be_answered_itself(tenant: Tenant, hand: Hand) -> None:
    parent, (middle,) = await parent_of(tenant, hand, "a")
    await middle.delegates("b", "c")
    child, other = await hand.claim_all()
    await child.asks(**QUESTION)
    await other.asks(**QUESTION)
    await look_after()
    await resume(tenant, id_of(child), value="yes")
    assert await status_of(parent.id, id_of(middle), id_of(other)) == ["pending", "pending", "interrupted"]
    again = await hand.claim()
    assert id_of(again) == id_of(child)
    await again.says("done", done=True)
    await look_after()
    # What is left of the question is asked anew.
    assert (await run_of(id_of(middle))).interrupt["run_id"] == str(id_of(other))


async def test_a_child_that_is_gone_needs_no_answer(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    await child.asks(**QUESTION)
    await look_after()
    await in_thread(lambda: cancel_run(tenant.identity, id_of(child)).run())
    # Nobody has looked after the parent yet, and somebody answers it.
    await resume(tenant, parent.id, value="yes")
    (result,) = (await goes_on(hand, parent)).recorder.state().children.values()
    assert result.status == "cancelled"


async def test_a_parent_asks_no_longer_what_nobody_asks_any_more(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    await child.asks(**QUESTION)
    await look_after()
    await in_thread(lambda: cancel_run(tenant.identity, id_of(child)).run())
    await look_after([id_of(child)])
    await goes_on(hand, parent)


async def test_a_parent_behind_which_another_run_waits_does_not_ask(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    waiting = await in_thread(lambda: tenant.run(parent.session_id))
    await child.asks(**QUESTION)
    await look_after()
    assert await status_of(parent.id, id_of(child)) == ["cancelled", "cancelled"]
    assert id_of(await hand.claim()) == waiting


async def test_the_time_of_a_question_is_not_the_parents(tenant: Tenant, hand: Hand) -> None:
    parent, (child,) = await parent_of(tenant, hand, "a")
    await child.asks(**QUESTION)
    await look_after()
    await rows("UPDATE runs SET interrupted_at = now() - interval '1 day' WHERE id = %(id)s RETURNING id", id=parent.id)
    await resume(tenant, parent.id, value="yes")
    assert (await run_of(parent.id)).waited_s >= 86_400


# -- a real worker -----------------------------------------------------------------------------------------------------


def scripted(*turns: dict[str, Any]) -> dict[str, Any]:
    return {"provider": "fake", "model": "script", "settings": {"turns": list(turns)}}


def supervisor(*tasks: str, **subagent: Any) -> Tenant:
    """A tenant whose assistant gives its sub-agent `writer` these tasks at once, and then says that it is done."""
    writer = {"name": "writer", "description": "Writes.", "system_prompt": "Write.", "llm": ECHO, **subagent}
    calls = [{"name": "task", "args": {"subagent_type": "writer", "instructions": task}} for task in tasks]
    turns = [{"tool_calls": calls}, {"text": "All done."}]
    middleware = [{"name": "subagents", "settings": {"subagents": [writer]}}]
    careful = {"tools": [{"name": "calculator"}], "interrupt_on": {"calculator": True}}
    return Tenant.make("supervised", llm=scripted(*turns), middleware=middleware, **careful)


@pytest.mark.parametrize(("slots", "durability"), [(1, "exit"), (2, "sync")])
async def test_children_need_no_slot_beside_their_parents(runner: Runner, slots: int, durability: str) -> None:
    runner.slots = slots
    tenant = await in_thread(supervisor, "one", "two", "three")
    run = await in_thread(lambda: tenant.run(durability=durability))
    runner.wake()
    await until(lambda: status_of(run), ["success"])
    said = await rows("SELECT content FROM messages WHERE run_id = %(run)s AND role = 'tool' ORDER BY seq", run=run)
    assert [row["content"] for row in said] == ["one", "two", "three"]
    shown = await in_thread(lambda: get_run(tenant.identity, run).run())
    assert (shown["output"]["text"], shown["attempt"]) == ("All done.", 2)


async def test_a_worker_stops_the_children_of_a_run_that_is_cancelled(runner: Runner) -> None:
    slow = {**ECHO, "settings": {"delay_ms": 60_000}}
    tenant = await in_thread(lambda: supervisor("one", "two", llm=slow))
    run = await in_thread(tenant.run)
    runner.wake()
    children = "SELECT status FROM runs WHERE parent_run_id = %(run)s ORDER BY id"
    await until(lambda: rows(children, run=run), [{"status": "running"}] * 2)
    await in_thread(lambda: cancel_run(tenant.identity, run).run())
    await look_after([run])
    await until(lambda: rows(children, run=run), [{"status": "cancelled"}] * 2)


async def test_a_person_decides_about_the_calls_of_a_sub_agent(runner: Runner) -> None:
    calculates = {"tool_calls": [{"name": "calculator", "args": {"expression": "6*7"}}]}
    tenant = await in_thread(lambda: supervisor("six", llm=scripted(calculates, {"text": "It is 42."})))
    run = await in_thread(tenant.run)
    runner.wake()
    await until(lambda: status_of(run), ["interrupted"])
    (request,) = (await run_of(run)).interrupt["interrupt"]["action_requests"]
    assert (request["tool_name"], request["arguments"]) == ("calculator", {"expression": "6*7"})
    await resume(tenant, run, decisions=[{"type": "approve"}])
    runner.wake()
    await until(lambda: status_of(run), ["success"])
    said = await rows("SELECT content FROM messages WHERE role = 'tool' ORDER BY created_at")
    assert [row["content"] for row in said] == ["42", "It is 42."]
