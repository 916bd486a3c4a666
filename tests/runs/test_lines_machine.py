"""The lines of a session as a state machine: wherever runs begin, however they end, nothing that was said is lost.

Hypothesis makes up the sequences, as in `test_state_machine`. One session, two workers that keep its conversation warm;
the model keeps of each checkpoint what was said and stood there when it was written.
"""

import asyncio
import json
import os
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import hypothesis
import pytest
from django.db import connection
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from core.db import close_pool, open_pool
from core.ids import new_id
from core.validation import validate
from runs.accepting import create_run
from runs.bodies import CreateRun
from runs.services import cancel_run
from runs.worker.outcomes import Cancelled, Finished, HandedBack, Outcome
from runs.worker.rescue import put_back
from runtime.contract import Message as Said
from runtime.contract import Step, ToolCall
from runtime.history import answers_to
from sessions.models import Message, Session
from sessions.queries import SEEN_AT, values_at
from tests.runs.hand import Hand, Held
from tests.runs.worker import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

ANY = st.integers(0, 7)

_SHOWN = f"""
SELECT c.id, coalesce(jsonb_agg(m.content ORDER BY m.seq) FILTER (WHERE m.id IS NOT NULL), '[]')
FROM checkpoints c LEFT JOIN messages m ON {SEEN_AT} GROUP BY c.id
"""


@dataclass(frozen=True)
class Point:
    """What was said and stood at one moment. `calls` have no answer yet; `goes_on`: something was to follow."""

    said: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    calls: tuple[str, ...] = ()
    goes_on: bool = False

    def says(self, *texts: str, calls: tuple[str, ...] = (), goes_on: bool = False) -> "Point":
        return replace(self, said=self.said + texts, calls=calls, goes_on=goes_on)

    def is_cancelled(self) -> "Point":
        texts = [answer.text for answer in answers_to((name, name) for name in self.calls)]
        return self.says(*texts)


@dataclass
class Begun:
    """The run that a worker holds; `base` until its first commit: where it begins."""

    held: Held
    base: Point | None
    message: str | None
    before: Point
    known: set[UUID]

    @property
    def id(self) -> UUID:
        return UUID(str(self.held.claimed["id"]))


class Lines(RuleBasedStateMachine):
    """A session whose runs begin where it stands or at any checkpoint that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.tenant = Tenant.make()
        self.session = self.tenant.session()
        self.hands = [Hand(), Hand()]
        self.loop = asyncio.Runner()
        self.loop.run(open_pool(size=2))
        self.now = Point()
        self.points: dict[UUID, Point] = {}
        self.run: Begun | None = None
        self.late: Held | None = None
        self.texts = 0

    def teardown(self) -> None:
        self.loop.run(close_pool())
        self.loop.close()
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE runs, sessions, workers CASCADE")

    # -- what clients do ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.run is None)
    @rule(at=st.none() | ANY, silent=st.booleans(), hand=ANY)
    def begin(self, at: int | None, silent: bool, hand: int) -> None:
        going_on = [point for point, stood in self.points.items() if stood.goes_on and (stood.calls or at == 0)]
        choice = going_on if silent and going_on else list(self.points)
        found = None if at is None or not choice else choice[-1 - at % len(choice)]
        base = self.now if found is None else self.points[found]
        message = None if silent and found is not None and base.goes_on else self.text()
        self.accept(message, found)
        held = self.claim(hand)
        assert [m.content for m in held.conversation.messages] == list(base.said)
        assert held.conversation.values == base.values
        if found is None:
            line = Message.objects.filter(dropped_at_step=None).order_by("seq").values_list("id", flat=True)
            assert [m.id for m in held.conversation.messages] == [str(message) for message in line]
        self.run = Begun(held, base, message, self.now, set(self.points))

    @precondition(lambda self: self.run is None)
    @rule(at=st.none() | ANY, hand=ANY, calls=st.sampled_from([0, 0, 2]))
    def ask_and_be_answered(self, at: int | None, hand: int, calls: int) -> None:
        self.begin(at, silent=False, hand=hand)
        if calls:
            self.step(calls=calls, value=None, done=False)
            self.step(calls=0, value=None, done=False)
        self.step(calls=0, value=None, done=True)

    @precondition(lambda self: self.run is None)
    @rule(at=ANY, hand=ANY, end=st.sampled_from(["cancel", "cancel_while_nobody_holds_it", "roll_back", ""]))
    def go_on(self, at: int, hand: int, end: str) -> None:
        self.begin(at, silent=True, hand=hand)
        if end:
            getattr(self, end)()

    @precondition(lambda self: self.points)
    @rule(at=ANY)
    def begin_and_think_better_of_it(self, at: int) -> None:
        waiting = self.accept(self.text(), list(self.points)[at % len(self.points)])
        cancel_run(self.tenant.identity, waiting).run()

    @precondition(lambda self: self.run is not None)
    @rule()
    def roll_back(self) -> None:
        assert self.run is not None
        cancel_run(self.tenant.identity, self.run.id, rollback=True).run()
        assert self.loop.run(self.run.held.commit(Cancelled()))
        self.now = self.run.before
        self.points = {point: self.points[point] for point in self.points if point in self.run.known}
        self.run = None

    # -- what workers do ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.run is not None)
    @rule(calls=st.sampled_from([0, 0, 1, 2]), value=st.none() | st.integers(0, 9), done=st.booleans())
    def step(self, calls: int, value: int | None, done: bool) -> None:
        point = self.begun()
        if point.calls:
            texts = [self.text() for _ in point.calls]
            messages = [
                Said(id=str(new_id()), role="tool", content=text, tool_call_id=name, name=name)
                for text, name in zip(texts, point.calls, strict=True)
            ]
            step = Step(kind="tools", messages=messages, next=["model"])
            point = point.says(*texts, goes_on=True)
        else:
            text, names = self.text(), tuple(self.text() for _ in range(calls))
            made = [ToolCall(name, name, {}) for name in names]
            said = Said(id=str(new_id()), role="assistant", content=text, tool_calls=made)
            changes = {} if value is None else {"value": value}
            following = ["tools"] if names else []
            step = Step(kind="model", messages=[said], changes=changes, next=following, done=done and not names)
            point = replace(point.says(text, calls=names, goes_on=bool(names)), values={**point.values, **changes})
        self.commit(Finished(step), point, ends=step.done)

    @precondition(lambda self: self.run is not None)
    @rule()
    def cancel(self) -> None:
        point = self.begun()
        self.commit(Cancelled(), point.is_cancelled() if point.calls else None, ends=True)

    @precondition(lambda self: self.run is not None)
    @rule()
    def cancel_while_nobody_holds_it(self) -> None:
        run = self.run
        self.commit(HandedBack(), None, ends=True)
        assert run is not None
        cancel_run(self.tenant.identity, run.id).run()
        if self.now.calls:
            self.now = self.now.is_cancelled()
            self.points |= dict.fromkeys(self.written(), self.now)

    @precondition(lambda self: self.run is not None)
    @rule(hand=ANY)
    def hand_back(self, hand: int) -> None:
        run = self.run
        self.commit(HandedBack(), None, ends=True)
        assert run is not None
        self.run = replace(run, held=self.claim(hand))

    @precondition(lambda self: self.run is not None)
    @rule(hand=ANY)
    def take_over(self, hand: int) -> None:
        assert self.run is not None
        self.late = self.run.held
        assert put_back(self.late.hand.id, [self.run.id]).run()
        self.run = replace(self.run, held=self.claim(hand))

    @precondition(lambda self: self.late is not None)
    @rule()
    def write_too_late(self) -> None:
        assert self.late is not None
        assert not self.loop.run(self.late.says("too late", done=True))
        self.late = None

    # -- how -----------------------------------------------------------------------------------------------------------

    def text(self) -> str:
        self.texts += 1
        return f"no. {self.texts}"

    def accept(self, message: str | None, at: UUID | None) -> UUID:
        body = {"input": message and {"message": message}, "checkpoint_id": at and str(at)}
        row = create_run(self.tenant.identity, self.session, validate(CreateRun, body), new_id()).run()
        return UUID(str(row["id"]))

    def claim(self, hand: int) -> Held:
        return self.loop.run(self.hands[hand % 2].claim())

    def begun(self) -> Point:
        """Where the run stands; before its first commit, where it will with what it begins with."""
        assert self.run is not None
        base = self.run.base
        if base is None:
            return self.now
        if self.run.message is None:
            return base
        answered = base.is_cancelled() if base.calls else base
        return answered.says(self.run.message, goes_on=True)

    def commit(self, outcome: Outcome, point: Point | None, *, ends: bool) -> None:
        """Commit an outcome that leads to a point, None: to no other than it began with."""
        assert self.run is not None
        points = ([self.begun()] if self.run.base is not None else []) + ([point] if point else [])
        assert self.loop.run(self.run.held.commit(outcome))
        self.run.base = None
        written = self.written()
        self.points |= dict(zip(written, points, strict=True))
        if points:
            self.now = points[-1]
            assert values_at(written[-1]).run() == self.now.values
        if ends:
            self.run = None

    def written(self) -> list[UUID]:
        """The checkpoints that the model does not know yet."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM checkpoints WHERE NOT id = ANY(%s) ORDER BY step", [list(self.points)])
            return [row[0] for row in cursor.fetchall()]

    # -- what always holds ---------------------------------------------------------------------------------------------

    @invariant()
    def the_session_stands_at_its_line(self) -> None:
        line = list(Message.objects.filter(dropped_at_step=None).order_by("seq").values_list("seq", "content"))
        assert line == list(enumerate(self.now.said, start=1))
        session = Session.objects.get(id=self.session)
        assert (session.message_count, session.state) == (len(line), self.now.values)

    @invariant()
    def every_checkpoint_shows_what_it_showed(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_SHOWN)
            shown = {row[0]: row[1] for row in cursor.fetchall()}
        assert {point: tuple(_loads(said)) for point, said in shown.items()} == {
            point: expected.said for point, expected in self.points.items()
        }


def _loads(value: Any) -> list[str]:
    loaded: list[str] = json.loads(value) if isinstance(value, str) else value
    return loaded


def test_wherever_runs_begin_nothing_is_lost() -> None:
    sequences = int(os.environ.get("SEQUENCES", "10"))
    run_state_machine_as_test(
        Lines,
        settings=hypothesis.settings(
            max_examples=sequences,
            stateful_step_count=30,
            deadline=None,
            database=None,
            phases=set(hypothesis.Phase) - ({hypothesis.Phase.shrink} if sequences < 1_000 else set()),
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
