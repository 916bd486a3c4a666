"""The agent that answers from documents."""

from runtime.contract import BaseAgent, State, Step, StepIO
from runtime.errors import NotSupported


class DocumentAssistant(BaseAgent):
    """Retrieves from knowledge bases before it answers, and cites what it used. Its tools only read."""

    read_only_tools = True

    async def step(self, state: State, io: StepIO) -> Step:
        raise NotSupported("This server cannot run assistants of the type DocumentAssistant yet.")
