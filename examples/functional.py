"""A plain function as an agent: its tasks are not done again when it is, and it asks a person in the middle."""

import asyncio

from runtime.functional import Retry, entrypoint, final, interrupt, task


@task(retry=Retry(attempts=3))
async def outline(topic: str) -> list[str]:
    return [f"What {topic} is", f"What {topic} is good for"]


@task
async def write(heading: str) -> str:
    return f"# {heading}\n\n..."


@entrypoint("Essay")
async def essay(topic: str, *, previous: list[str] | None = None) -> final:
    """Writes an essay, and asks what it is to be called. It remembers the titles of a session."""
    headings = await outline(topic)
    sections = await asyncio.gather(*(write(heading) for heading in headings))
    title = interrupt({"question": "What shall it be called?", "not": previous or []})
    return final(value="\n\n".join([title, *sections]), save=[*(previous or []), title])
