"""Runs that are carried out by hand, and read as LangGraph's clients read them."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from assistants.models import Assistant
from protocols.langgraph.streaming.frames import About
from protocols.langgraph.streaming.places import BEGINNING, Place
from protocols.langgraph.streaming.reading import about_of
from protocols.langgraph.streams import run_frames, thread_frames
from runs.queries import get_run_state
from tests.langgraph.heard import Heard, all_of, some_of
from tests.runs.hand import Hand, Held
from tests.runs.worker import Tenant, in_thread


@dataclass
class Carried:
    """A run in the hands of a test."""

    identity: Identity
    id: UUID
    session: UUID
    held: Held

    def part(self, mode: str, data: Any, *ns: str) -> None:
        """A piece of what a hosted graph streams."""
        self.held.journal.tell("graph", {"mode": mode, "ns": list(ns), "data": data})

    async def heard(
        self, about: About, after: Place | None = BEGINNING, modes: Collection[str] | None = None
    ) -> list[Heard]:
        """What a reader of the run hears, once it has ended or asks."""
        run = await get_run_state(self.identity, self.id).arun()
        return await all_of(run_frames(self.identity, run, about, after=after, modes=modes))

    async def heard_of_thread(self, count: int, after: Place | None = BEGINNING, *modes: str) -> list[Heard]:
        """The first few frames of its thread."""
        frames = thread_frames(self.identity, self.session, after=after, modes=modes or ("run_modes",))
        return await some_of(frames, count)


async def begun(hand: Hand, *, graph: str | None = None, session: UUID | None = None, tenant: Tenant) -> Carried:
    """A run that a worker has claimed; `graph`: of the hosted graph of this name."""

    def make() -> tuple[UUID, UUID]:
        own = session or tenant.session()
        if graph is not None:
            Assistant.objects.filter(id=tenant.assistant).update(type="Graph", graph_id=graph)
        return own, tenant.run(own)

    own, run = await in_thread(make)
    return Carried(tenant.identity, run, own, await hand.claim())


def hosted(*modes: str, **kwargs: Any) -> About:
    """A graph's run that was asked for these modes."""
    return about_of("graph", {"stream_mode": list(modes), "stream_resumable": True, **kwargs}, hosted=True)


def native(*modes: str) -> About:
    """A native assistant's."""
    return about_of("ReactAgent", {"stream_mode": list(modes), "stream_resumable": True}, hosted=False)
