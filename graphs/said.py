"""What hosted graphs say, natively: messages of LangChain's as the session's, and what their models have taken.

Imports langchain-core: imported where a graph is carried out only.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from core.ids import derived_id
from core.text import clean
from runtime.configuration import current
from runtime.contract import Content, Message, ModelRecord, ToolCall, ToolRecord, Usage
from runtime.metadata import STATUS
from runtime.prices import price_of

# Under it a message's metadata has the id that LangGraph knows it by.
LANGGRAPH_ID = "langgraph_id"

Role = Literal["user", "assistant", "tool", "system"]
_ROLES: dict[type[BaseMessage], Role] = {
    HumanMessage: "user",
    AIMessage: "assistant",
    ToolMessage: "tool",
    SystemMessage: "system",
}


def native_id(run_id: UUID, message_id: str) -> str:
    """The session's id of a message that a run has brought: the same for its tokens and for itself."""
    return str(derived_id(run_id, int.from_bytes(sha256(message_id.encode()).digest()[:4])))


class Said:
    """Which messages of a graph the session has, and the calls that are open in them."""

    def __init__(self, run_id: str, known: Sequence[Message]):
        self._run_id = UUID(run_id)
        self._known = {message.metadata.get(LANGGRAPH_ID) for message in known}
        self._calls = {call.id: call for message in known for call in message.tool_calls}

    def new(self, values: Any) -> list[Message]:
        """The messages in the channel `messages` of these values that the session has not, from now on known.

        What a graph changes or takes out of its messages later stays said in the session.
        """
        messages = values.get("messages") if isinstance(values, Mapping) else None
        if not isinstance(messages, list):
            return []
        fresh = [message for message in messages if _role(message) is not None and message.id not in self._known]
        self._known |= {message.id for message in fresh}
        return [self._native(message, role) for message in fresh if (role := _role(message)) is not None]

    def results(self, messages: Iterable[Message]) -> list[ToolRecord]:
        """The tool calls that these messages answer."""
        return [
            ToolRecord(
                self._calls[message.tool_call_id],
                "error" if message.metadata.get(STATUS) == "error" else "ok",
                result=message.text,
            )
            for message in messages
            if message.role == "tool" and message.tool_call_id in self._calls
        ]

    def _native(self, message: BaseMessage, role: Role) -> Message:
        metadata: dict[str, Any] = {LANGGRAPH_ID: message.id}
        calls = []
        if isinstance(message, AIMessage):
            calls = [ToolCall(call["id"] or "", call["name"], clean(call["args"])) for call in message.tool_calls]
            self._calls |= {call.id: call for call in calls}
        if isinstance(message, ToolMessage) and message.status == "error":
            metadata[STATUS] = "error"
        return Message(
            id=native_id(self._run_id, message.id or ""),
            role=role,
            content=_content(message.content),
            tool_calls=calls,
            tool_call_id=message.tool_call_id if isinstance(message, ToolMessage) else None,
            name=message.name,
            metadata=metadata,
        )


def _role(message: Any) -> Role | None:
    return next((role for kind, role in _ROLES.items() if isinstance(message, kind)), None)


def _content(content: Any) -> Content:
    """Text, or parts that all have a `type`; what a model has thought is no part of what it says."""
    if isinstance(content, str):
        return content
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    if all(part.get("type") == "text" for part in parts):
        return "".join(part.get("text", "") for part in parts)
    return [part for part in parts if part.get("type") not in {"reasoning", "thinking", "tool_use", "tool_call"}]


class Spent(BaseCallbackHandler):
    """Adds up what a graph's models report, until it is taken."""

    run_inline = True
    ignore_chain = True
    ignore_agent = True
    ignore_retriever = True
    ignore_retry = True
    ignore_custom_event = True

    def __init__(self) -> None:
        self._record: ModelRecord | None = None

    def take(self) -> ModelRecord | None:
        """The model calls since the last time as one; None where there were none."""
        record, self._record = self._record, None
        return record

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """A call has ended; it may be one of a node's thread."""
        for generation in (generation for answers in response.generations for generation in answers[:1]):
            if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
                self._add(generation.message)

    def _add(self, message: AIMessage) -> None:
        provider = str(message.response_metadata.get("model_provider") or "graph")
        model = str(message.response_metadata.get("model_name") or "unknown")
        usage = Usage()
        if reported := message.usage_metadata:
            usage = Usage(reported["input_tokens"], reported["output_tokens"])
            if (price := price_of(provider, model, current().prices)) is not None:
                cached = (reported.get("input_token_details") or {}).get("cache_read") or 0
                usage.cost_usd = price.cost(usage, cached)
        if self._record is None:
            self._record = ModelRecord(provider, model, usage)
        else:
            self._record.provider, self._record.model = provider, model
            self._record.usage.add(usage)
