"""LangChain's agents as graphs to host: some that ask before they call a tool, and one that has another help it."""

from collections.abc import Sequence
from typing import Any

from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from examples.graphs.graphs import MadeUpModel, weather

careful = create_agent(
    MadeUpModel(), [weather], middleware=[HumanInTheLoopMiddleware(interrupt_on={"weather": True})], name="careful"
)


class _Twice(MadeUpModel):
    """Calls its tool for two cities at once."""

    def _message(self, messages: list[BaseMessage]) -> AIMessage:
        message = super()._message(messages)
        if message.tool_calls:
            message.tool_calls.append({**message.tool_calls[0], "args": {"city": "Rome"}, "id": "call_1"})
        return message

    # Its stream knows of one call only.
    _astream = BaseChatModel._astream


one_by_one = create_agent(
    _Twice(),
    [weather],
    middleware=[HumanInTheLoopMiddleware(interrupt_on={"weather": True}, interrupt_mode="per_call")],
    name="one_by_one",
)


def _asks_as_agent_inbox(state: dict[str, Any]) -> dict[str, Any]:
    config = dict.fromkeys(("allow_accept", "allow_edit", "allow_respond", "allow_ignore"), True)
    request = {"action_request": {"action": "Send a mail", "args": {"to": "Ada"}}, "config": config}
    return {"answers": interrupt([{**request, "description": "To **Ada**"}])}


inbox = StateGraph(dict).add_node("ask", _asks_as_agent_inbox).add_edge(START, "ask").compile(name="inbox")


class _Delegating(BaseChatModel):
    """Has the helper do it, and says what that has said."""

    @property
    def _llm_type(self) -> str:
        return "made-up"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._message(messages))])

    def _message(self, messages: list[BaseMessage]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return _counted(f"I am told: {messages[-1].text}")
        call = {"name": "task", "args": {"description": "help", "subagent_type": "helper"}, "id": "c1"}
        return _counted("", tool_calls=[{**call, "type": "tool_call"}])


class _Helping(_Delegating):
    def _message(self, messages: list[BaseMessage]) -> AIMessage:
        return _counted("helped")


def _counted(text: str, **more: Any) -> AIMessage:
    return AIMessage(text, usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}, **more)


deep = create_deep_agent(
    _Delegating(),
    subagents=[{"name": "helper", "description": "Helps.", "system_prompt": "Help.", "model": _Helping()}],
)
