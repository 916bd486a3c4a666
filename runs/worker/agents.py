"""The agent of a claimed run."""

import logging

import psycopg
from psycopg_pool import PoolTimeout

from assistants.spec import agent_for
from core.db import Row
from core.redaction import in_logs
from runs.worker.branching import CheckpointGone
from runs.worker.conversation import Conversation
from runtime.contract import AgentSpec, BaseAgent, State, Step, StepIO
from runtime.errors import AgentError, NotSupported

log = logging.getLogger(__name__)


class _BrokenAgent(BaseAgent):
    """Stands in for an assistant that cannot be built, so that its runs end with the reason and nobody else's do."""

    def __init__(self, reason: AgentError):
        super().__init__(AgentSpec(type="broken", config={"step_timeout_s": 60.0}))
        self._reason = reason

    async def step(self, state: State, io: StepIO) -> Step:
        raise self._reason


class _BrokenGraph(_BrokenAgent):
    """The same for a hosted graph: what its session says and stands at is the graph's to say."""

    takes_any_input = True


async def agent_of(row: Row, conversation: Conversation) -> BaseAgent:
    """The agent that carries out a claimed run; one that ends it with the reason, where there is none.

    Raises what an outage of PostgreSQL does.
    """
    if conversation.checkpoint_gone:
        return _BrokenAgent(CheckpointGone())
    try:
        which = row["assistant_id"], row["assistant_version"], row["subagent"]
        agent = await agent_for(row["workspace_id"], *which).arun()
    except (psycopg.OperationalError, PoolTimeout):
        raise
    except AgentError as refusal:
        return _BrokenAgent(refusal)
    except Exception as error:
        # The edge: a configuration that worked when it was saved may name a tool that this process does not have.
        log.exception("assistant %s v%s cannot be built", row["assistant_id"], row["assistant_version"])
        return _BrokenAgent(
            AgentError(in_logs.text(f"The assistant cannot be built: {error}"), code="assistant_unusable")
        )
    branch = conversation.branch
    if agent.takes_any_input and branch is not None and branch.graph_checkpoint_id is None:
        # Where the run was accepted before this could be known.
        return _BrokenGraph(NotSupported("At the checkpoint no graph stood that could go on from there."))
    return agent
