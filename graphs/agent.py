"""The agent type `Graph`: a LangGraph graph that the deployment names in its langgraph.json.

Imports langgraph: imported when the first agent of the type is made.
"""

from graphs.hosted import Hosted
from graphs.registry import load_all
from runtime.contract import AgentSpec, BaseAgent, State, Step, StepIO


class GraphAgent(BaseAgent):
    """A LangGraph graph that this server hosts, by its `graph_id` in langgraph.json."""

    takes_any_input = True

    @classmethod
    def prepare(cls) -> None:
        load_all()

    def __init__(self, spec: AgentSpec):
        super().__init__(spec)
        self._hosted: dict[str, Hosted] = {}  # by run, for as long as it is carried out here

    async def step(self, state: State, io: StepIO) -> Step:
        hosted = self._hosted.get(io.run_id)
        if hosted is None:
            hosted = self._hosted[io.run_id] = Hosted(self.spec.config, state, io)
        return await hosted.step(state)

    def unfinished(self, run_id: str) -> Step | None:
        hosted = self._hosted.get(run_id)
        return None if hosted is None else hosted.unfinished()

    def left(self, run_id: str) -> None:
        if (hosted := self._hosted.pop(run_id, None)) is not None:
            hosted.leave()
