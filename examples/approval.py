"""A workflow with a person in it: draft, ask for approval, publish or draft again.

Where it stands is in the session's state, so that it goes on from there after a crash, a restart, or a week of waiting.
"""

from runtime.contract import BaseAgent, Message, State, Step, StepIO
from runtime.registry import register_agent


@register_agent("Approval")
class Approval(BaseAgent):
    """Drafts what it is asked for, and publishes it once a person approves."""

    async def step(self, state: State, io: StepIO) -> Step:
        now = state.values.get("approval", {})
        if now.get("run") != io.run_id:  # what an earlier run left is not this one's
            now = {"run": io.run_id, "remarks": []}
        if "draft" not in now:
            draft = " ".join([state.messages[state.run_start].text, *(f"({remark})" for remark in now["remarks"])])
            return Step(kind="custom", changes={"approval": {**now, "draft": draft}}, next=("ask",))
        if state.resume is None:
            call = {"tool_call_id": "publish", "tool_name": "publish", "arguments": {"text": now["draft"]}}
            return Step(kind="custom", interrupt={"type": "approval", "action_requests": [call]})
        (decision,) = state.resume["decisions"]
        if decision["type"] == "reject":
            remarks = [*now["remarks"], decision.get("message") or "again"]
            return Step(kind="custom", changes={"approval": {"run": io.run_id, "remarks": remarks}}, next=("draft",))
        text = decision["arguments"]["text"] if decision["type"] == "edit" else now["draft"]
        said = Message(id=io.new_id(), role="assistant", content=f"Published: {text}")
        return Step(kind="custom", messages=[said], removed=["approval"], done=True)
