"""What is sent to an agent's middleware while its run is carried out.

It waits here for the run's next step, which finds what the middleware made of it in the session's values and stores
that. A message to a run that has no other step is lost, as one to a session without a run is.
"""

import logging
from collections import deque

import orjson

from runs.notices import Said
from runs.worker.journal import Journal
from runs.worker.telemetry import Counted, count
from runtime.contract import BaseAgent, Json, State, Step
from runtime.values import Values

log = logging.getLogger(__name__)

# While a step takes long; what comes then is dropped.
MAX_WAITING = 100


class Outside:
    """The messages that wait for the next step of one run."""

    def __init__(self, run_id: str, agent: BaseAgent, journal: Journal):
        self._run_id, self._agent, self._journal = run_id, agent, journal
        self._waiting: deque[Said] = deque()

    def say(self, said: Said) -> None:
        """Keep the message for the next step."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(said)
        else:
            log.warning("run %s: a message to %r is dropped, for others wait", self._run_id, said.middleware_id)

    def heard(self, state: State) -> Values | None:
        """Hand over what waits; `state` is then what the step begins with. Gives what was changed, if anything was."""
        if not self._waiting:
            return None
        changed = Values(state.values)
        while self._waiting:
            said = self._waiting.popleft()
            # What fails in the middle changes nothing.
            trial = Values(dict(changed))
            if self._hands_over(said, trial):
                changed.update(trial.changes)
                for key in trial.removed:
                    del changed[key]
        state.values = dict(changed)
        return changed

    def _hands_over(self, said: Said, values: Values) -> bool:
        try:
            self._agent.notify(said.middleware_id, said.message, values)
            orjson.dumps(values.changes)
        except LookupError as error:
            log.warning("run %s: a message was not delivered: %s", self._run_id, error)
            return False
        except Exception:
            # The edge: middleware is anybody's code, and nobody waits for what it makes of a message.
            log.exception("run %s: the middleware %r did not take a message", self._run_id, said.middleware_id)
            return False
        count(Counted.MIDDLEWARE_MESSAGE)
        told: dict[str, Json] = {"name": "middleware_message", "value": {"middleware_id": said.middleware_id}}
        self._journal.tell("custom", told)
        return True


def with_changes(step: Step, changed: Values | None) -> Step:
    """The step, with what was changed before it; where both changed the same, the step did last."""
    if changed is not None:
        mended = {*step.changes, *step.removed}
        step.changes = {key: value for key, value in changed.changes.items() if key not in mended} | step.changes
        step.removed = [*step.removed, *(key for key in changed.removed if key not in mended)]
    return step
