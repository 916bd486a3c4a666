"""LangChain's agents as graphs to host: one that asks before it calls a tool, and one that has another help it."""

from collections.abc import Sequence
from typing import Any

from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from examples.graphs.graphs import MadeUpModel, weather

careful = create_agent(
    MadeUpModel(), [weather], middleware=[HumanInTheLoopMiddleware(interrupt_on={"weather": True})], name="careful"
)


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
